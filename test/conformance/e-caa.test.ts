// Checklist section E, line 76: Certification Authority Authorization.
import { expect } from 'vitest';
import { attempt, challengeOf, newOrder, provision, readyOrder } from '../support/acme-flow.ts';
import type { ChallengeObject } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import type { CaaData } from '../support/dns-server.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { expectProblem } from './expectations.ts';
import { conformance } from './line.ts';
import type { Target } from './target.ts';

const line = conformance(import.meta.filename);
/** What comes of one challenge under the given CAA records of the name. */
async function underCaa(
  t: Target,
  records: readonly CaaData[],
  names: { order: string; caa: string },
  type = 'http-01',
): Promise<ChallengeObject> {
  const acme = await t.shared('caa');
  t.dns.set(names.caa, 'CAA', records);
  const { object } = await newOrder(acme, [names.order]);
  const [url = ''] = object.authorizations;
  const challenge = await challengeOf(acme, url, type);
  provision(t, challenge, (await acme.get(url)).json.identifier, acme.account.key);
  return attempt(acme, challenge);
}

const IDENTITY = 'pki.example.test';
const issueTag = (value: string): CaaData => ({ tag: 'issue', value });

/** A name below one of its own, so that climbing the tree (RFC 8659 section 3) meets no other test. */
function caaNames(): { base: string; name: string } {
  const base = freshName();
  return { base, name: `a.b.${base}` };
}

const forbidding: Record<string, readonly CaaData[]> = {
  'another CA': [issueTag('other.example')],
  'no CA at all': [issueTag(';')],
  'an unknown critical tag': [issueTag(IDENTITY), { flags: 128, tag: 'example', value: 'x' }],
  'another account': [issueTag(`${IDENTITY}; accounturi=https://acme.example/acct/1`)],
  'another method': [issueTag(`${IDENTITY}; validationmethods=dns-01`)],
  'a malformed value': [issueTag(`${IDENTITY} nonsense ===`)],
};
for (const [name, records] of Object.entries(forbidding)) {
  line(76, `CAA that permits ${name} makes the challenge fail with caa/403`, async (t) => {
    const { base, name: order } = caaNames();
    for (const caa of [order, base]) {
      t.dns.clear(order);
      const { status, error } = await underCaa(t, records, { order, caa });
      expect(status).toBe('invalid');
      expect([error?.type, error?.status]).toEqual(['urn:ietf:params:acme:error:caa', 403]);
    }
  });
}

const permitting: Record<string, readonly CaaData[]> = {
  'none at all': [],
  'this CA': [issueTag(IDENTITY)],
  'this CA among others': [issueTag('other.example'), issueTag(IDENTITY)],
  'this method': [issueTag(`${IDENTITY}; validationmethods=dns-01,http-01`)],
  'reports only': [{ tag: 'iodef', value: 'mailto:a@example.test' }],
};
for (const [name, records] of Object.entries(permitting)) {
  line(76, `CAA that names ${name} permits`, async (t) => {
    const { base, name: order } = caaNames();
    const { status } = await underCaa(t, records, { order, caa: base });
    expect(status).toBe('valid');
    expect(t.dns.queries(base, 'CAA') + t.dns.queries(order, 'CAA'), 'CAA was asked for').toBeGreaterThan(0);
  });
}

line(76, 'CAA with the accounturi of this account permits', async (t) => {
  const { base, name: order } = caaNames();
  const { url } = (await t.shared('caa')).account;
  const { status } = await underCaa(t, [issueTag(`${IDENTITY}; accounturi=${url}`)], { order, caa: base });
  expect(status).toBe('valid');
  expect(t.dns.queries(base, 'CAA'), 'CAA was asked for').toBeGreaterThan(0);
});

line(76, 'issuewild rules wildcards, and issue does where there is no issuewild', async (t) => {
  const wild = (value: string): CaaData => ({ tag: 'issuewild', value });
  const cases: [readonly CaaData[], string][] = [
    [[issueTag(IDENTITY), wild('other.example')], 'invalid'],
    [[issueTag('other.example'), wild(IDENTITY)], 'valid'],
    [[issueTag('other.example')], 'invalid'],
  ];
  for (const [records, expected] of cases) {
    const { base } = caaNames();
    const { status } = await underCaa(t, records, { order: `*.${base}`, caa: base }, 'dns-01');
    expect(status, JSON.stringify(records)).toBe(expected);
  }
});

line(76, 'CAA is checked again before signing', async (t) => {
  const acme = await t.client('caa');
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  t.dns.set(name, 'CAA', [issueTag('other.example')]);
  const reply = await acme.post(order.object.finalize, { csr: base64url(buildCsr({ names: [name] }).der) });
  expectProblem(reply, 'caa/403');
});
