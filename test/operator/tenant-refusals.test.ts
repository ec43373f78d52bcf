// Hostile: what belongs to one issuer is shown to another of the same name, by the holder of the same key. Nothing of it is taken,
// nothing is told, nothing is written, in either direction.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificateID, readCertificate } from '../conformance/certificates.ts';
import { type ExpectedProblem, expectProblem } from '../conformance/expectations.ts';
import { complete, identifiersOf, newOrder, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { countingCluster } from '../bench/writes.ts';
import { base64url, signJws } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { prefixOf, startTenants, type Tenants } from './tenants.ts';

/** Everything an account of an issuer has. */
interface Holdings {
  /** Its prefix, `/ns/team-a` for example. */
  prefix: string;
  acme: AcmeWire;
  /** Issued for `name`, whose authorization is still valid. */
  name: string;
  urls: { order: string; finalize: string; authorization: string; challenge: string; certificate: string };
  certificate: Buffer;
  certificateID: string;
}

const HOMES = [undefined, 'team-a', 'team-b'] as const;
const titleOf = (home: string | undefined): string => home ?? 'the cluster';

const writes: string[] = [];
const holdings = new Map<string | undefined, Holdings>();
let t: Tenants;

beforeAll(async () => {
  t = await startTenants({ wrap: (cluster) => countingCluster(cluster, writes) });
  const first = await t.client('main');
  for (const home of HOMES) {
    const acme = await t.connect('main', home);
    // One key everywhere: what is refused is refused for the issuer, not for the key.
    await register(acme, first.account.key);
    holdings.set(home, await holdingsOf(acme, prefixOf(home)));
  }
}, 120_000);

afterAll(() => t.stop());

async function holdingsOf(acme: AcmeWire, prefix: string): Promise<Holdings> {
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const issued = await complete(acme, order);
  const [authorization = ''] = order.object.authorizations;
  const { challenges } = (await acme.get(authorization)).json;
  const leaf = await readCertificate(acme, issued);
  const { url, object } = order;
  const challenge = challenges[0]?.url ?? '';
  return {
    prefix,
    acme,
    name,
    urls: { order: url, finalize: object.finalize, authorization, challenge, certificate: issued.certificateUrl },
    certificate: leaf.raw,
    certificateID: certificateID(leaf),
  };
}

/** The URL of one issuer with the path of the other before it. */
function moved(url: string, from: Holdings, to: Holdings): string {
  const { origin } = t.operator;
  const own = `${origin}${from.prefix}/acme/main/`;
  expect(url.startsWith(own), `${url} is one of ${own}`).toBe(true);
  return `${origin}${to.prefix}/acme/main/${url.slice(own.length)}`;
}

type Attempt = readonly [
  title: string,
  problem: ExpectedProblem,
  send: (from: Holdings, to: Holdings) => Promise<Reply>,
];

const NEW_ORDER = { identifiers: identifiersOf(['x.example.test']) };
const csrFor = (name: string): object => ({ csr: base64url(buildCsr({ names: [name] }).der) });

/** Each is sent to `to` with something of `from`. */
const ATTEMPTS: readonly Attempt[] = [
  [
    'the account of the other',
    'accountDoesNotExist/400',
    (from, to) => to.acme.post(to.acme.directory.newOrder, NEW_ORDER, { header: { kid: from.acme.account.url } }),
  ],
  [
    'the account of the other under its own path',
    'accountDoesNotExist/400',
    (from, to) => {
      const kid = moved(from.acme.account.url, from, to);
      return to.acme.post(to.acme.directory.newOrder, NEW_ORDER, { header: { kid } });
    },
  ],
  [
    'a request signed for the other',
    'unauthorized/401',
    (from, to) =>
      to.acme.post(to.acme.directory.newOrder, NEW_ORDER, { header: { url: from.acme.directory.newOrder } }),
  ],
  ['an order', 'malformed/404', (from, to) => to.acme.get(moved(from.urls.order, from, to))],
  [
    'finalize of an order',
    'malformed/404',
    (from, to) => to.acme.post(moved(from.urls.finalize, from, to), csrFor(from.name)),
  ],
  ['an authorization', 'malformed/404', (from, to) => to.acme.get(moved(from.urls.authorization, from, to))],
  [
    'deactivation of an authorization',
    'malformed/404',
    (from, to) => to.acme.post(moved(from.urls.authorization, from, to), { status: 'deactivated' }),
  ],
  ['a challenge', 'malformed/404', (from, to) => to.acme.post(moved(from.urls.challenge, from, to), {})],
  ['a certificate', 'malformed/404', (from, to) => to.acme.get(moved(from.urls.certificate, from, to))],
  ['an account URL', 'unauthorized/403', (from, to) => to.acme.get(moved(from.acme.account.url, from, to))],
  [
    'the list of orders',
    'unauthorized/403',
    (from, to) => to.acme.get(`${moved(from.acme.account.url, from, to)}/orders`),
  ],
  [
    'deactivation of an account',
    'unauthorized/403',
    (from, to) => to.acme.post(moved(from.acme.account.url, from, to), { status: 'deactivated' }),
  ],
  [
    'revocation of a certificate',
    'malformed/404',
    (from, to) => to.acme.post(to.acme.directory.revokeCert, { certificate: base64url(from.certificate) }),
  ],
  [
    'revocation of a certificate signed by a key',
    'malformed/404',
    (from, to) => {
      const payload = { certificate: base64url(from.certificate) };
      return to.acme.post(to.acme.directory.revokeCert, payload, { jwkOf: from.acme.account.key });
    },
  ],
  [
    'renewal information',
    'malformed/404',
    (from, to) => t.transport.request('GET', `${to.acme.directory.renewalInfo}/${from.certificateID}`),
  ],
  [
    'replacement of a certificate',
    'malformed/404',
    (from, to) =>
      to.acme.post(to.acme.directory.newOrder, {
        identifiers: identifiersOf([from.name]),
        replaces: from.certificateID,
      }),
  ],
  [
    'a key change of the account',
    'malformed/400',
    (from, to) => {
      const { key } = to.acme.account;
      const payload = { account: from.acme.account.url, oldKey: key.jwk };
      const inner = signJws(key, { alg: key.alg, jwk: key.jwk, url: to.acme.directory.keyChange }, payload);
      return to.acme.post(to.acme.directory.keyChange, inner);
    },
  ],
];

const PAIRS = HOMES.flatMap((from) => HOMES.filter((to) => to !== from).map((to) => ({ from, to })));

describe.each(PAIRS)('of $from at $to', ({ from, to }) => {
  const both = (): [Holdings, Holdings] => {
    const [a, b] = [holdings.get(from), holdings.get(to)];
    if (!a || !b) throw new Error('the holdings were not made');
    return [a, b];
  };

  test.each(ATTEMPTS)(`%s of ${titleOf(from)} is nothing to ${titleOf(to)}: %s`, async (_title, problem, send) => {
    const [a, b] = both();
    writes.length = 0;
    expectProblem(await send(a, b), problem);
    expect(writes).toEqual([]);
  });

  test(`a name that ${titleOf(from)} validated is validated anew by ${titleOf(to)}`, async () => {
    const [a, b] = both();
    expect((await newOrder(a.acme, [a.name])).object.status).toBe('ready');
    expect((await newOrder(b.acme, [a.name])).object.status).toBe('pending');
  });
});

test('paths that only look like those of an issuer lead nowhere', async () => {
  const paths = [
    '/ns/team-a/acme/nobody/directory',
    '/ns/nobody/acme/main/directory',
    '/ns//acme/main/directory',
    '/ns/acme/main/directory',
    '/acme/team-a%2Fmain/directory',
    '/ns/team-a%2Fmain/acme/main/directory',
    '/ns/team-a/acme/%2Fmain/directory',
    '/ns/%00/acme/main/directory',
    '/ns/..%2F/acme/main/directory',
    '/ns/constructor/acme/__proto__/directory',
    '/NS/team-a/acme/main/directory',
  ];
  for (const path of paths) {
    const reply = await t.transport.request('GET', `${t.operator.origin}${path}`);
    expect(`${path} ${reply.status}`).toBe(`${path} 404`);
    expect(reply.links.index ?? []).toEqual([]);
  }
  expect(writes.filter((write) => !write.startsWith('create Event'))).toEqual([]);
});

test('one key has an account of its own at each issuer', () => {
  const accounts = HOMES.map((home) => holdings.get(home)?.acme.account.url.split('/').at(-1));
  expect(new Set(accounts).size).toBe(3);
});
