// Checklist section F: certificates, lines 77 to 80.
import { X509Certificate } from 'node:crypto';
import { expect } from 'vitest';
import { issue } from '../support/acme-flow.ts';
import { freshName } from '../support/names.ts';
import { readChain } from './certificates.ts';
import { expectAmong, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const BLOCK = /-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=]{1,64}\r?\n)+-----END CERTIFICATE-----(\r?\n|$)/g;

function expectChain(chain: readonly X509Certificate[], leafNames: string): void {
  expect(chain.length).toBeGreaterThan(0);
  expect(chain[0]?.subjectAltName).toContain(leafNames);
  for (const [index, certificate] of chain.slice(0, -1).entries()) {
    const issuer = chain[index + 1];
    expect(certificate.checkIssued(issuer as X509Certificate), `certificate ${index} is issued by the next`).toBe(true);
    expect(certificate.verify((issuer as X509Certificate).publicKey)).toBe(true);
    expect(issuer?.ca).toBe(true);
  }
}

line(77, 'POST-as-GET of the certificate is 200 application/pem-certificate-chain', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const reply = await acme.get(certificateUrl);
  expectReply(reply, 200);
  expect(reply.headers['content-type']).toMatch(/^application\/pem-certificate-chain\b/);
});

line(77, 'the chain begins with the leaf, each certificate is issued by the next, the last by the root', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const { certificateUrl } = await issue(acme, t, [name]);
  const chain = readChain((await acme.get(certificateUrl)).text);
  expectChain(chain, name);
  const root = new X509Certificate(await t.issuerRoot());
  const last = chain.at(-1) as X509Certificate;
  expect(last.fingerprint256 === root.fingerprint256 || last.verify(root.publicKey)).toBe(true);
});

line(77, 'there is no text outside the certificates and no private key', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const { text } = await acme.get(certificateUrl);
  expect(text.replace(BLOCK, '')).toBe('');
  expect(text).not.toContain('PRIVATE KEY');
});

line(77, 'the root is not in the chain, and the chain has at most five certificates', async (t) => {
  const acme = await t.shared('alternates');
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const chain = readChain((await acme.get(certificateUrl)).text);
  expect(chain.length).toBeLessThanOrEqual(5);
  expect(chain.length).toBeGreaterThan(1);
  for (const certificate of chain) expect(certificate.subject).not.toBe(certificate.issuer);
});

line(78, 'alternate chains are linked and can be fetched: same leaf, other root', async (t) => {
  const acme = await t.shared('alternates');
  const name = freshName();
  const { certificateUrl } = await issue(acme, t, [name]);
  const reply = await acme.get(certificateUrl);
  const alternates = reply.links['alternate'] ?? [];
  expect(alternates).toHaveLength(2);
  const chains = [reply.text];
  for (const url of alternates) {
    const alternate = await acme.get(url);
    expectReply(alternate, 200);
    expect(alternate.headers['content-type']).toMatch(/^application\/pem-certificate-chain\b/);
    chains.push(alternate.text);
  }
  const parsedChains = chains.map(readChain);
  for (const chain of parsedChains) expectChain(chain, name);
  expect(new Set(parsedChains.map(([leaf]) => leaf?.fingerprint256)).size).toBe(1);
  expect(new Set(parsedChains.map((chain) => chain.at(-1)?.issuer)).size).toBe(3);
});

line(78, 'an alternate chain links to the others, and is no other account’s', async (t) => {
  const acme = await t.shared('alternates');
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const [first = '', second = ''] = (await acme.get(certificateUrl)).links['alternate'] ?? [];
  const links = (await acme.get(first)).links['alternate'] ?? [];
  expect([...links].sort()).toEqual([certificateUrl, second].sort());
  expectProblem(await (await t.client('alternates')).get(first), 'unauthorized/403');
});

line(78, 'where there is one chain, none is linked as alternate', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  expect((await acme.get(certificateUrl)).links['alternate']).toBeUndefined();
});

line(79, 'whatever Accept asks for, the answer is PEM or a DER form with rel=up, or 406', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  for (const accept of [
    'application/pkix-cert',
    'application/pkcs7-mime',
    'application/pem-certificate-chain',
    '*/*',
    'text/html',
  ]) {
    const reply = await acme.get(certificateUrl, { headers: { accept } });
    expectAmong(reply.status, [200, 406], accept);
    if (reply.status !== 200) continue;
    const contentType = reply.headers['content-type'] ?? '';
    if (contentType.startsWith('application/pem-certificate-chain'))
      expect(readChain(reply.text).length).toBeGreaterThan(0);
    else expect(reply.links['up']?.length, `${contentType} has rel=up`).toBeGreaterThan(0);
  }
});

line(80, "another account's certificate is unauthorized", async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  expectProblem(await (await t.client()).get(certificateUrl), 'unauthorized/403');
});

line(80, 'an unknown certificate is malformed/404', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  for (const last of ['unknown', '__proto__', '..%2f..', 'a'.repeat(300)]) {
    expectProblem(await acme.get(certificateUrl.replace(/[^/]+$/, last)), 'malformed/404');
  }
});

line(80, 'the same URL always returns the same bytes', async (t) => {
  const acme = await t.shared();
  const { certificateUrl } = await issue(acme, t, [freshName()]);
  const first = await acme.get(certificateUrl);
  await issue(acme, t, [freshName()]);
  expect((await acme.get(certificateUrl)).body).toEqual(first.body);
});
