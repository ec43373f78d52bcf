// Checklist section E, orders before they are finalized: lines 56, 57 and 63 to 68.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import {
  attempt,
  authorize,
  challengeOf,
  complete,
  finalize,
  identifiersOf,
  issue,
  newOrder,
  poll,
  readyOrder,
} from '../support/acme-flow.ts';
import type { AcmeWire, Identifier, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { freshName } from '../support/names.ts';
import { readCertificate } from './certificates.ts';
import { expectClientError, expectInstant, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const HOUR = 3_600_000;

const order = (acme: AcmeWire, identifiers: unknown, extra: object = {}): Promise<Reply> =>
  acme.post(acme.directory.newOrder, { identifiers, ...extra });

const sorted = (identifiers: readonly Identifier[]): string[] =>
  identifiers.map(({ type, value }) => `${type}:${value}`).sort();

line(56, 'newOrder is 201 with Location and every member', async (t) => {
  const acme = await t.shared();
  const names = [freshName('b'), freshName('a'), freshName('c')];
  const reply = await order(acme, identifiersOf(names));
  expectReply(reply, 201);
  expect(reply.location).toMatch(/^https:/);
  expect(reply.json.status).toBe('pending');
  expect(sorted(reply.json.identifiers)).toEqual(names.map((name) => `dns:${name}`).sort());
  expect(new Set(reply.json.authorizations).size).toBe(3);
  expect(reply.json.finalize).toMatch(/^https:/);
  expect(reply.json).not.toHaveProperty('certificate');
  const authorized = [];
  for (const url of reply.json.authorizations) authorized.push((await acme.get(url)).json.identifier);
  expect(sorted(authorized)).toEqual(sorted(reply.json.identifiers));
});

line(57, 'expires is an instant in the future, in pending, ready and valid orders', async (t) => {
  const acme = await t.shared();
  const pending = await newOrder(acme, [freshName()]);
  await authorize(acme, t, pending.object.authorizations[0] ?? '');
  const ready = (await acme.get(pending.url)).json;
  const { url } = (await complete(acme, pending)).order;
  const valid = (await acme.get(url)).json;
  expect([pending.object.status, ready.status, valid.status]).toEqual(['pending', 'ready', 'valid']);
  for (const { expires } of [pending.object, ready, valid]) {
    expectInstant(expires);
    expect(Date.parse(expires)).toBeGreaterThan(Date.now());
  }
});

line(63, 'wildcard is absent where the order did not ask for one', async (t) => {
  const acme = await t.shared();
  const { object } = await newOrder(acme, [freshName(), 'ip:127.0.0.1']);
  for (const url of object.authorizations) expect((await acme.get(url)).json).not.toHaveProperty('wildcard');
});

const seconds = (instant: number): string =>
  new Date(Math.floor(instant / 1000) * 1000).toISOString().replace('.000', '');

line(64, 'notAfter within the limit is honoured exactly', async (t) => {
  const acme = await t.shared();
  const notAfter = seconds(Date.now() + 5 * HOUR);
  const issued = await issue(acme, t, [freshName()], { notAfter });
  expect(Date.parse(issued.order.object.notAfter ?? '')).toBe(Date.parse(notAfter));
  expect(Date.parse((await readCertificate(acme, issued)).validTo)).toBe(Date.parse(notAfter));
});

line(64, 'notBefore is honoured exactly or refused', async (t) => {
  const acme = await t.shared();
  const [notBefore, notAfter] = [seconds(Date.now() + HOUR), seconds(Date.now() + 5 * HOUR)];
  const name = freshName();
  const reply = await order(acme, identifiersOf([name]), { notBefore, notAfter });
  if (reply.status !== 201) return expectProblem(reply, 'malformed/400', 'rejectedIdentifier/403', 'unauthorized/403');
  const leaf = await readCertificate(acme, await issue(acme, t, [name], { notBefore, notAfter }));
  expect([Date.parse(leaf.validFrom), Date.parse(leaf.validTo)]).toEqual([Date.parse(notBefore), Date.parse(notAfter)]);
});

line(64, 'notAfter beyond the limit is refused, not clamped', async (t) => {
  const acme = await t.shared();
  const reply = await order(acme, identifiersOf([freshName()]), {
    notAfter: seconds(Date.now() + 30 * 365 * 24 * HOUR),
  });
  expectClientError(reply);
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(reply.problem.detail).toMatch(/\d/);
});

for (const [name, times] of Object.entries({
  'notAfter before notBefore': { notBefore: seconds(Date.now() + 2 * HOUR), notAfter: seconds(Date.now() + HOUR) },
  'notAfter in the past': { notAfter: seconds(Date.now() - HOUR) },
  'a notAfter that is no instant': { notAfter: 'tomorrow' },
  'a notAfter without a zone': { notAfter: '2040-01-01T00:00:00' },
  'a notAfter that is a number': { notAfter: 7 },
})) {
  line(64, `${name} is refused`, async (t) => {
    const reply = await order(await t.shared(), identifiersOf([freshName()]), times);
    expectClientError(reply);
  });
}

line(65, 'identifiers, authorizations and finalize stay the same from pending to valid', async (t) => {
  const acme = await t.shared();
  const start = await newOrder(acme, [freshName(), freshName()]);
  const shape = ({ identifiers, authorizations, finalize: url }: typeof start.object) => [
    sorted(identifiers),
    [...authorizations].sort(),
    url,
  ];
  const seen = [start.object, (await acme.get(start.url)).json];
  for (const url of start.object.authorizations) {
    await authorize(acme, t, url);
    seen.push((await acme.get(start.url)).json);
  }
  await complete(acme, start);
  seen.push((await acme.get(start.url)).json);
  for (const object of seen) expect(shape(object)).toEqual(shape(start.object));
  expect(seen.at(-1)?.status).toBe('valid');
});

line(66, 'a valid authorization serves a later order, which is ready at once', async (t) => {
  const acme = await t.client();
  const name = freshName();
  await readyOrder(acme, t, [name]);
  const again = await newOrder(acme, [name]);
  expect(again.object.status).toBe('ready');
  expect((await acme.get(again.object.authorizations[0] ?? '')).json.status).toBe('valid');
  await complete(acme, again);
});

line(
  66,
  "a valid authorization serves neither another account, nor another name, nor the name's wildcard",
  async (t) => {
    const acme = await t.client();
    const name = freshName();
    await readyOrder(acme, t, [name]);
    for (const [client, other] of [
      [await t.client(), name],
      [acme, `a.${name}`],
      [acme, `*.${name}`],
    ] as const) {
      expect((await newOrder(client, [other])).object.status).toBe('pending');
    }
  },
);

line(67, 'POST-as-GET of the order is 200 with what newOrder said', async (t) => {
  const acme = await t.shared();
  const { url, object } = await newOrder(acme, [freshName()]);
  const reply = await acme.get(url);
  expectReply(reply, 200);
  expect(reply.json).toEqual(object);
});

line(67, "another account's order is unauthorized, and so is finalizing it", async (t) => {
  const acme = await t.shared();
  const other = await t.client();
  const name = freshName();
  const foreign = await readyOrder(other, t, [name]);
  expectProblem(await acme.get(foreign.url), 'unauthorized/403');
  expectProblem(await finalize(acme, foreign, buildCsr({ names: [name] }).der), 'unauthorized/403');
  expect((await other.get(foreign.url)).json.status).toBe('ready');
});

line(67, 'an unknown order is malformed/404', async (t) => {
  const acme = await t.shared();
  const { url } = await newOrder(acme, [freshName()]);
  for (const unknown of [`${url}x`, url.slice(0, -4), url.replace(/[^/]+$/, 'x'), url.replace(/[^/]+$/, '__proto__')]) {
    expectProblem(await acme.get(unknown), 'malformed/404');
  }
});

line(68, 'a failed authorization makes the order invalid, with an error', async (t) => {
  const acme = await t.shared();
  const failed = await newOrder(acme, [freshName()]);
  const challenge = await challengeOf(acme, failed.object.authorizations[0] ?? '', 'http-01');
  t.http01.set(challenge.token, { body: 'wrong' });
  expect((await attempt(acme, challenge)).status).toBe('invalid');
  const { status, error } = await poll(acme, failed.url, (object) => object.status !== 'pending');
  expect(status).toBe('invalid');
  expect(error?.type).toMatch(/^urn:ietf:params:acme:error:/);
});

line(68, 'a deactivated authorization makes the order invalid', async (t) => {
  const acme = await t.shared();
  const { url, object } = await newOrder(acme, [freshName()]);
  expectReply(await acme.post(object.authorizations[0] ?? '', { status: 'deactivated' }), 200);
  expect((await acme.get(url)).json.status).toBe('invalid');
});

line(68, 'an expired order is invalid or gone, and cannot be finalized', async (t) => {
  const acme = await t.shared('brief');
  const name = freshName();
  const brief = await readyOrder(acme, t, [name]);
  while (Date.now() < Date.parse(brief.object.expires) + 1000) await sleep(200);
  const read = await acme.get(brief.url);
  if (read.status === 200) expect(read.json.status).toBe('invalid');
  else expectProblem(read, 'malformed/404');
  const reply = await finalize(acme, brief, buildCsr({ names: [name] }).der);
  expectProblem(reply, 'orderNotReady/403', 'malformed/404');
});
