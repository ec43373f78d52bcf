// Checklist section C: the directory, lines 32 to 35.
import { expect } from 'vitest';
import { issue } from '../support/acme-flow.ts';
import { certificateID, readCertificate } from './certificates.ts';
import { expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import type { IssuerName, Target } from './target.ts';

const line = conformance(import.meta.filename);

line(32, 'GET is 200 with absolute https URLs', async (t) => {
  const { directoryUrl } = await t.connect();
  const reply = await t.transport.request('GET', directoryUrl);
  expectReply(reply, 200);
  expect(reply.headers['content-type']).toMatch(/^application\/json\b/);
  for (const name of ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange']) {
    const url = new URL(String(reply.json[name]));
    expect(url.protocol, name).toBe('https:');
    expect(url.origin, name).toBe(new URL(directoryUrl).origin);
  }
});

line(32, 'POST-as-GET is 200 with the same content', async (t) => {
  const acme = await t.shared();
  const reply = await acme.get(acme.directoryUrl);
  expectReply(reply, 200);
  expect(reply.json).toEqual((await t.transport.request('GET', acme.directoryUrl)).json);
});

line(32, 'the Host header does not change the URLs', async (t) => {
  const { directoryUrl, directory } = await t.connect();
  const reply = await t.transport.request('GET', directoryUrl, { headers: { host: 'attacker.example' } });
  if (reply.status === 200) expect(reply.json['newOrder']).toBe(directory.newOrder);
  else expect(reply.status).toBeLessThan(500);
});

line(33, 'newAuthz is not advertised', async (t) => {
  for (const issuer of ['main', 'eab', 'tos', 'profiles'] as const) {
    expect((await t.connect(issuer)).directory).not.toHaveProperty('newAuthz');
  }
});

line(33, 'renewalInfo is advertised and answers for an issued certificate', async (t) => {
  const acme = await t.shared();
  const id = certificateID(await readCertificate(acme, await issue(acme, t, ['renewal.example.test'])));
  const reply = await t.transport.request('GET', `${acme.directory.renewalInfo}/${id}`);
  expectReply(reply, 200);
});

line(34, 'each advertised URL is routed', async (t) => {
  const acme = await t.shared();
  const { newNonce, newAccount, newOrder, revokeCert, keyChange, renewalInfo } = acme.directory;
  expectReply(await t.transport.request('HEAD', newNonce), 200);
  for (const url of [newAccount, newOrder, revokeCert, keyChange]) {
    const reply = await acme.post(url, {});
    expectReply(reply, 400);
    expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
  }
  const reply = await t.transport.request('GET', `${renewalInfo}/malformed`);
  expectReply(reply, 400);
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
});

const meta = async (t: Target, issuer: IssuerName) => (await t.connect(issuer)).directory.meta ?? {};

line(35, 'meta names the terms of service where there are some', async (t) => {
  expect((await meta(t, 'tos')).termsOfService).toMatch(/^(https|data):/);
});

line(35, 'meta names no terms of service where there are none', async (t) => {
  expect(await meta(t, 'main')).not.toHaveProperty('termsOfService');
});

line(35, 'meta names the website', async (t) => {
  expect((await meta(t, 'tos')).website).toBe('https://pki.example.test/');
});

line(35, 'meta names the CAA identities', async (t) => {
  const { caaIdentities } = await meta(t, 'caa');
  expect(caaIdentities).toHaveLength(1);
  expect(caaIdentities?.[0]).toMatch(/^[a-z0-9.-]+$/);
});

line(35, 'externalAccountRequired is true where a binding is required, and only there', async (t) => {
  expect((await meta(t, 'eab')).externalAccountRequired).toBe(true);
  expect((await meta(t, 'main')).externalAccountRequired ?? false).toBe(false);
  expect((await meta(t, 'eab-optional')).externalAccountRequired ?? false).toBe(false);
});

line(35, 'profiles map names to texts', async (t) => {
  const { profiles = {} } = await meta(t, 'profiles');
  expect(Object.keys(profiles).sort()).toEqual(['server', 'short']);
  for (const text of Object.values(profiles)) expect(text).toMatch(/\w/);
});

line(35, 'meta has no flags of extensions that are not implemented', async (t) => {
  for (const issuer of ['main', 'profiles', 'tos'] as const) {
    const known = ['termsOfService', 'website', 'caaIdentities', 'externalAccountRequired', 'profiles'];
    expect(known).toEqual(expect.arrayContaining(Object.keys(await meta(t, issuer))));
  }
});
