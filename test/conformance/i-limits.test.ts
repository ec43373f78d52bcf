// Checklist section I, limits and errors: lines 110 to 113.
import { expect } from 'vitest';
import { attempt, challengeOf, identifiersOf, newOrder } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { createSigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { loseBackend } from './broken-backend.ts';
import { expectClientError, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import { resources } from './resources.ts';

const line = conformance(import.meta.filename);

/** Error types of RFC 8555 section 6.7 and of its IANA registry. */
const REGISTERED = [
  'accountDoesNotExist',
  'alreadyReplaced',
  'alreadyRevoked',
  'badCSR',
  'badNonce',
  'badPublicKey',
  'badRevocationReason',
  'badSignatureAlgorithm',
  'caa',
  'compound',
  'connection',
  'dns',
  'externalAccountRequired',
  'incorrectResponse',
  'invalidContact',
  'invalidProfile',
  'malformed',
  'orderNotReady',
  'rateLimited',
  'rejectedIdentifier',
  'serverInternal',
  'tls',
  'unauthorized',
  'unsupportedContact',
  'unsupportedIdentifier',
  'userActionRequired',
];

/** One reply for each way to be refused that a client can bring about. */
function refusals(acme: AcmeWire, urls: Readonly<Record<string, string>>): Record<string, () => Promise<Reply>> {
  const { newOrder: orders, newAccount, revokeCert, keyChange } = acme.directory;
  const order = (value: string, extra: object = {}): Promise<Reply> =>
    acme.post(orders, { identifiers: [{ type: 'dns', value }], ...extra });
  return {
    'another media type': () => acme.post(orders, {}, { contentType: 'text/plain' }),
    GET: () => acme.transport.request('GET', orders),
    'a PUT': () => acme.transport.request('PUT', orders),
    'no JSON': () => acme.post(orders, {}, { tamper: () => 'not JSON' }),
    'a bad nonce': () => acme.post(orders, {}, { nonce: 'AAAA' }),
    'a bad algorithm': () => acme.post(orders, {}, { header: { alg: 'none' } }),
    'a bad key': () => acme.post(newAccount, {}, { jwkOf: createSigningKey(), header: { jwk: { kty: 'EC' } } }),
    'an unknown account': () => acme.post(newAccount, { onlyReturnExisting: true }, { jwkOf: createSigningKey() }),
    'a bad contact': () => acme.post(urls['account'] ?? '', { contact: ['tel:1'] }),
    'a denied name': () => order('www.denied.test'),
    'a bad name': () => order('a_b.example.test'),
    'a bad profile': () => order(freshName(), { profile: 'example' }),
    'another url': () => acme.post(orders, {}, { header: { url: urls['order'] } }),
    'a finalized order': () => acme.post(urls['finalize'] ?? '', { csr: 'AAAA' }),
    'no certificate': () => acme.post(revokeCert, {}),
    'no key change': () => acme.post(keyChange, {}),
  };
}

line(111, 'every error body has type, detail and status, and a registered type', async (t) => {
  const { acme, urls } = await resources(t);
  for (const [name, refuse] of Object.entries(refusals(acme, urls))) {
    const reply = await refuse();
    expectClientError(reply);
    expect(reply.headers['content-type'], name).toMatch(/^application\/problem\+json/);
    const { type, detail, status } = reply.problem;
    expect(status, name).toBe(reply.status);
    expect(detail, name).toMatch(/\w/);
    expect(
      REGISTERED.map((each) => `urn:ietf:params:acme:error:${each}`),
      name,
    ).toContain(type);
  }
});

line(111, 'the 404 of an unknown resource, and of an unknown issuer, is a problem document', async (t) => {
  const acme = await t.shared();
  for (const path of ['new-order/x', '../nowhere/directory', '/', '/acme/']) {
    const reply = await acme.get(new URL(path, acme.directoryUrl).href);
    expectProblem(reply, 'malformed/404');
    expect(reply.problem.detail).toMatch(/\w/);
  }
});

line(111, 'errors show nothing of the inside', async (t) => {
  const { acme, urls } = await resources(t);
  for (const refuse of Object.values(refusals(acme, urls))) {
    const { text } = await refuse();
    expect(text).not.toMatch(/node:|\.ts:\d|\bat [\w.<>]+ \(|\/(work|tmp|root|home)\/|undefined|\[object/);
  }
});

const hostile: Record<string, string> = {
  'a prototype': '{"__proto__":{"identifiers":[{"type":"dns","value":"a.example.test"}]}}',
  'a number beyond doubles': '{"identifiers":1e400}',
  'a lone surrogate': '{"identifiers":[{"type":"dns","value":"\\ud800.example.test"}]}',
  'a byte order mark': '\ufeff{"identifiers":[]}',
  'many keys': JSON.stringify(Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`k${index}`, index]))),
  'objects for texts': '{"identifiers":[{"type":{"toString":1},"value":{"length":9}}]}',
  'arrays for objects': '{"identifiers":[[["dns"]]]}',
  'keys of arrays': '{"identifiers":{"length":1,"0":{"type":"dns","value":"a.example.test"}}}',
};
for (const [name, payload] of Object.entries(hostile)) {
  line(112, `hostile input is no server error: ${name}`, async (t) => {
    const { acme, urls } = await resources(t);
    for (const url of ['newOrder', 'account', 'finalize', 'challenge', 'authorization', 'revokeCert', 'keyChange']) {
      const reply = await acme.post(urls[url] ?? '', payload);
      expect(reply.status, `${url}: ${reply.text}`).toBeLessThan(500);
    }
    const reply = await acme.post(acme.directory.newAccount, payload, { jwkOf: createSigningKey() });
    expect(reply.status, reply.text).toBeLessThan(500);
  });
}

line(112, 'a server error is serverInternal with Retry-After and a correlation id, and shows no stack', async (t) => {
  const { reply } = await loseBackend(t, await t.client('broken'));
  expectProblem(reply, 'serverInternal/500', 'serverInternal/503');
  expect(reply.headers['retry-after']).toMatch(/\w/);
  expect(reply.text).not.toMatch(/node:|\.ts:\d|\bat [\w.<>]+ \(|missing-ca/);
  expect(reply.text + JSON.stringify(reply.headers)).toMatch(/correlation[^0-9a-f]{0,20}[0-9a-f]{8,}/i);
});

line(113, 'an issuer that takes no orders for now is 503 with Retry-After and a nonce; reading goes on', async (t) => {
  const acme = await t.client('suspended');
  const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([freshName()]) });
  expectProblem(reply, 'serverInternal/503', 'rateLimited/503');
  expect(reply.headers['retry-after']).toMatch(/\w/);
  expect(reply.nonce).toMatch(/^[A-Za-z0-9_-]+$/);
  expectReply(await acme.get(acme.account.url, { nonce: reply.nonce ?? '' }), 200);
  expectReply(await t.transport.request('GET', acme.directoryUrl), 200);
});

function expectLimited(reply: Reply): void {
  expectProblem(reply, 'rateLimited/429');
  expect(reply.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  expect(reply.nonce).toMatch(/^[A-Za-z0-9_-]+$/);
}

line(110, 'failed validations of one name are limited, of that name and account alone', async (t) => {
  const acme = await t.client();
  const name = freshName();
  let refused: Reply | undefined;
  for (let count = 0; count < 100 && refused === undefined; count++) {
    const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf([name]) });
    if (reply.status !== 201) refused = reply;
    else {
      const challenge = await challengeOf(acme, reply.json.authorizations[0] ?? '', 'http-01');
      t.http01.set(challenge.token, { body: 'wrong' });
      const started = await acme.post(challenge.url, {});
      if (started.status === 200) await attempt(acme, challenge).catch(() => undefined);
      else refused = started;
    }
  }
  if (refused === undefined) throw new Error('no limit on 100 failed validations of one name');
  expectLimited(refused);
  await newOrder(acme, [freshName()]);
  await newOrder(await t.client(), [name]);
});

line(110, 'new accounts are limited; those that exist go on', async (t) => {
  const acme = await t.shared();
  let refused: Reply | undefined;
  for (let count = 0; count < 2000 && refused === undefined; count++) {
    const reply = await acme.post(
      acme.directory.newAccount,
      { termsOfServiceAgreed: true },
      { jwkOf: createSigningKey('ES256') },
    );
    if (reply.status !== 201) refused = reply;
  }
  if (refused === undefined) throw new Error('no limit on 2000 new accounts');
  expectLimited(refused);
  await newOrder(acme, [freshName()]);
});
