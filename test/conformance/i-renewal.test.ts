// Checklist section I, renewal information and profiles: lines 107 to 109.
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import {
  attempt,
  challengeOf,
  complete,
  finalize,
  identifiersOf,
  issue,
  newOrder,
  readyOrder,
} from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { certificateID, readCertificate } from './certificates.ts';
import { expectInstant, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import type { Target } from './target.ts';

const line = conformance(import.meta.filename);

const information = (t: Target, acme: AcmeWire, id: string): Promise<Reply> =>
  t.transport.request('GET', `${acme.directory.renewalInfo}/${id}`);

async function issuedID(t: Target, acme: AcmeWire, names: readonly string[], extra: object = {}): Promise<string> {
  return certificateID(await readCertificate(acme, await issue(acme, t, names, extra)));
}

line(107, 'renewal information is 200 JSON, without authentication', async (t) => {
  const acme = await t.shared();
  const reply = await information(t, acme, await issuedID(t, acme, [freshName()]));
  expectReply(reply, 200);
  expect(reply.headers['content-type']).toMatch(/^application\/json\b/);
  expect(reply.headers['retry-after']).toMatch(/^(\d+|\w{3}, .* GMT)$/);
});

line(107, 'the suggested window begins before it ends, within the life of the certificate', async (t) => {
  const acme = await t.shared();
  const leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  const { start, end } = (await information(t, acme, certificateID(leaf))).json.suggestedWindow;
  for (const instant of [start, end]) expectInstant(instant);
  expect(Date.parse(start)).toBeLessThan(Date.parse(end));
  expect(Date.parse(start)).toBeGreaterThan(Date.parse(leaf.validFrom));
  expect(Date.parse(end)).toBeLessThan(Date.parse(leaf.validTo));
});

line(107, 'an unknown certificate is 404', async (t) => {
  const acme = await t.shared();
  const [keyId = ''] = (await issuedID(t, acme, [freshName()])).split('.');
  const serial = randomBytes(16);
  serial[0] = 0x11;
  const reply = await information(t, acme, `${keyId}.${base64url(serial)}`);
  expectReply(reply, 404);
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
});

line(107, 'a malformed identifier is malformed/400', async (t) => {
  const acme = await t.shared();
  const id = await issuedID(t, acme, [freshName()]);
  const [keyId = '', serial = ''] = id.split('.');
  for (const bad of [
    'x',
    `${keyId}.`,
    `.${serial}`,
    `${keyId}${serial}`,
    `${id}.x`,
    `${keyId}=.${serial}`,
    `${keyId}.${serial}=`,
    '%00.%00',
    'ä.ä',
  ]) {
    expectProblem(await information(t, acme, encodeURI(bad).replaceAll('%2500', '%00')), 'malformed/400');
  }
});

line(107, 'the window of a revoked certificate is in the past', async (t) => {
  const acme = await t.shared();
  const leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  expectReply(await acme.post(acme.directory.revokeCert, { certificate: base64url(leaf.raw) }), 200);
  const { start, end } = (await information(t, acme, certificateID(leaf))).json.suggestedWindow;
  expect(Date.parse(start)).toBeLessThan(Date.parse(end));
  expect(Date.parse(end)).toBeLessThanOrEqual(Date.now());
});

line(108, 'replaces is reflected in the order, at once and later', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const replaces = await issuedID(t, acme, [name]);
  const order = await readyOrder(acme, t, [name], { replaces });
  expect(order.object.replaces).toBe(replaces);
  expect((await acme.get(order.url)).json.replaces).toBe(replaces);
  await complete(acme, order);
  expect((await acme.get(order.url)).json.replaces).toBe(replaces);
});

line(108, 'replacing a certificate twice is alreadyReplaced', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const replaces = await issuedID(t, acme, [name]);
  await complete(acme, await readyOrder(acme, t, [name], { replaces }));
  const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([name]), replaces });
  expectProblem(reply, 'alreadyReplaced/409');
});

line(108, 'an order that failed does not use the replacement up', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const replaces = await issuedID(t, acme, [name]);
  const extra = freshName();
  const failed = await newOrder(acme, [name, extra], { replaces });
  for (const url of failed.object.authorizations) {
    if ((await acme.get(url)).json.status === 'valid') continue;
    const challenge = await challengeOf(acme, url, 'http-01');
    t.http01.set(challenge.token, { body: 'wrong' });
    expect((await attempt(acme, challenge)).status).toBe('invalid');
  }
  const again = await newOrder(acme, [name], { replaces });
  expect(again.object.replaces).toBe(replaces);
});

line(108, 'replacing the certificate of another account is refused', async (t) => {
  const [acme, other] = [await t.shared(), await t.client()];
  const name = freshName();
  const replaces = await issuedID(t, acme, [name]);
  const reply = await other.post(other.directory.newOrder, { identifiers: identifiersOf([name]), replaces });
  expectProblem(reply, 'unauthorized/403', 'malformed/400', 'malformed/404');
});

line(108, 'replacing a certificate that shares no name is refused', async (t) => {
  const acme = await t.shared();
  const replaces = await issuedID(t, acme, [freshName()]);
  const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]), replaces });
  expectProblem(reply, 'malformed/400', 'malformed/403', 'malformed/409', 'unauthorized/403');
});

line(108, 'replacing what does not exist, or is no identifier, is refused', async (t) => {
  const acme = await t.shared();
  const [keyId = ''] = (await issuedID(t, acme, [freshName()])).split('.');
  for (const replaces of ['x', 7, `${keyId}.`, {}]) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]), replaces });
    expectProblem(reply, 'malformed/400');
  }
  const unknown = {
    identifiers: identifiersOf([freshName()]),
    replaces: `${keyId}.${base64url(Buffer.alloc(16, 0x11))}`,
  };
  expectProblem(await acme.post(acme.directory.newOrder, unknown), 'malformed/404', 'malformed/400');
});

const HOUR = 3_600_000;
const lifetime = ({ validFrom, validTo }: { validFrom: string; validTo: string }): number =>
  (Date.parse(validTo) - Date.parse(validFrom)) / HOUR;

line(109, 'an advertised profile is reflected and shapes the certificate', async (t) => {
  const acme = await t.shared('profiles');
  const lifetimes = [];
  for (const profile of ['server', 'short']) {
    const issued = await issue(acme, t, [freshName()], { profile });
    expect(issued.order.object.profile).toBe(profile);
    expect((await acme.get(issued.order.url)).json.profile).toBe(profile);
    lifetimes.push(lifetime(await readCertificate(acme, issued)));
  }
  expect(lifetimes[0]).toBeGreaterThan(60 * 24);
  expect(lifetimes[1]).toBeGreaterThan(22);
  expect(lifetimes[1]).toBeLessThan(27);
});

line(109, 'a profile that is not advertised is invalidProfile', async (t) => {
  const acme = await t.shared('profiles');
  for (const profile of ['example', 'Server', '__proto__']) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]), profile });
    expectProblem(reply, 'invalidProfile/400');
  }
});

line(109, 'a profile asked of an issuer that has none is invalidProfile', async (t) => {
  const acme = await t.shared();
  const reply = await acme.post(acme.directory.newOrder, {
    identifiers: identifiersOf([freshName()]),
    profile: 'server',
  });
  expectProblem(reply, 'invalidProfile/400');
});

line(109, 'the default profile is chosen and reflected where none is asked for', async (t) => {
  const acme = await t.shared('profiles');
  for (let count = 0; count < 30; count++) {
    expect((await newOrder(acme, [freshName()])).object.profile).toBe('server');
  }
});

line(109, 'a profile that was withdrawn before finalize is invalidProfile', async (t) => {
  const acme = await t.client('profiles');
  const name = freshName();
  const order = await readyOrder(acme, t, [name], { profile: 'short' });
  await t.edit('profiles.yaml', (text) => text.replace(/ +- name: short\n( {6}.*\n)+/, ''));
  await eventually('the directory no longer offers the profile', async () => {
    const directory = await t.transport.request('GET', acme.directoryUrl);
    return directory.text.includes('"short"') ? undefined : directory;
  });
  expectProblem(await finalize(acme, order, buildCsr({ names: [name] }).der), 'invalidProfile/400');
});
