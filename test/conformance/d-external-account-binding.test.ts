// Checklist section D, terms that change and external account binding: lines 42 to 46.
import { expect } from 'vitest';
import { newOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, Directory, Reply } from '../support/acme-wire.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey, type Jws, signJws, type SigningKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { binding, EAB_KEYS } from './external-account-keys.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const bound = (acme: AcmeWire, key: SigningKey, externalAccountBinding: unknown): Promise<Reply> =>
  acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true, externalAccountBinding }, { jwkOf: key });

line(43, 'a required binding that is absent is externalAccountRequired', async (t) => {
  const acme = await t.connect('eab');
  const reply = await acme.post(
    acme.directory.newAccount,
    { termsOfServiceAgreed: true },
    { jwkOf: createSigningKey() },
  );
  expectProblem(reply, 'externalAccountRequired/403');
});

line(44, 'a good binding makes an account that reflects it', async (t) => {
  for (const issuer of ['eab', 'eab-optional'] as const) {
    const acme = await t.connect(issuer);
    const key = createSigningKey();
    const sent = binding(acme, key);
    const reply = await bound(acme, key, sent);
    expectReply(reply, 201);
    expect(reply.json.externalAccountBinding).toEqual(sent);
    acme.account = { key, url: reply.location };
    expect((await acme.get(reply.location)).json.externalAccountBinding).toEqual(sent);
    await newOrder(acme, [freshName()]);
  }
});

line(44, 'a bound account comes back by its key alone', async (t) => {
  const acme = await t.connect('eab');
  const key = createSigningKey();
  const { location } = await bound(acme, key, binding(acme, key));
  const again = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
  expectReply(again, 200);
  expect(again.location).toBe(location);
});

line(44, 'where a binding is optional, an account is made without', async (t) => {
  const acme = await t.connect('eab-optional');
  expect((await register(acme)).json).not.toHaveProperty('externalAccountBinding');
});

const badBindings: Record<string, (acme: AcmeWire, key: SigningKey) => unknown> = {
  'a signature instead of a MAC': (acme, key) =>
    signJws(key, { alg: key.alg, kid: 'kid-1', url: acme.directory.newAccount }, key.jwk),
  'alg none': (acme, key) => ({ ...binding(acme, key, { header: { alg: 'none' } }), signature: '' }),
  'a nonce': (acme, key) => binding(acme, key, { header: { nonce: 'AAAA' } }),
  'another url': (acme, key) => binding(acme, key, { header: { url: acme.directory.newOrder } }),
  'no url': (acme, key) => binding(acme, key, { header: { url: undefined } }),
  'an unknown kid': (acme, key) => binding(acme, key, { kid: 'kid-unknown' }),
  'a kid in other letters': (acme, key) => binding(acme, key, { kid: 'KID-1', macKey: EAB_KEYS['kid-1'] }),
  'a kid like a path': (acme, key) => binding(acme, key, { kid: '../eab/kid-1' }),
  'no kid': (acme, key) => binding(acme, key, { header: { kid: undefined } }),
  'a bad MAC': (acme, key) => binding(acme, key, { macKey: EAB_KEYS['kid-2'] }),
  'a MAC cut short': (acme, key) => {
    const jws = binding(acme, key);
    return { ...jws, signature: jws.signature.slice(0, 20) };
  },
  'the key of somebody else': (acme, key) => binding(acme, key, { payload: createSigningKey().jwk }),
  'no JWS': () => ({ kid: 'kid-1' }),
  'a text': () => 'kid-1',
  'an unprotected header': (acme, key) => ({ ...binding(acme, key), header: { kid: 'kid-1' } }),
};
for (const [name, make] of Object.entries(badBindings)) {
  line(45, `a bad binding is refused, and no account is made: ${name}`, async (t) => {
    const acme = await t.connect('eab');
    const key = createSigningKey();
    const sent = make(acme, key);
    expectProblem(await bound(acme, key, sent), 'unauthorized/403', 'malformed/400');
    const existing = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
    expectProblem(existing, 'accountDoesNotExist/400');
  });
}

line(45, 'a key that may bind but one account is refused the second time', async (t) => {
  const acme = await t.connect('eab-once');
  const [first, second] = [createSigningKey(), createSigningKey()];
  expectReply(await bound(acme, first, binding(acme, first)), 201);
  expectProblem(await bound(acme, second, binding(acme, second)), 'unauthorized/403', 'malformed/400');
});

line(45, 'a key that may bind several accounts does', async (t) => {
  const acme = await t.connect('eab');
  const locations = new Set<string>();
  for (const key of [createSigningKey(), createSigningKey()]) {
    const reply = await bound(acme, key, binding(acme, key, { kid: 'kid-2' }));
    expectReply(reply, 201);
    locations.add(reply.location);
  }
  expect(locations.size).toBe(2);
});

/** Reads the directory until it is as wanted. */
async function directoryWhen(acme: AcmeWire, wanted: (directory: Directory) => boolean): Promise<void> {
  await eventually('the directory shows the changed manifest', async () => {
    const reply = await acme.transport.request('GET', acme.directoryUrl);
    return reply.status === 200 && wanted(JSON.parse(reply.text) as Directory) ? reply : undefined;
  });
}

line(45, 'a key that has been withdrawn is refused', async (t) => {
  const acme = await t.connect('eab-optional');
  const [before, after] = [createSigningKey(), createSigningKey()];
  expectReply(await bound(acme, before, binding(acme, before, { kid: 'kid-2' })), 201);
  await t.edit('eab-optional.yaml', (text) =>
    text
      .replace(/ +- keyID: kid-2\n.*\n/, '')
      .replace('website: https://before.example.test/', 'website: https://after.example.test/'),
  );
  await directoryWhen(acme, ({ meta }) => meta?.website === 'https://after.example.test/');
  expectProblem(await bound(acme, after, binding(acme, after, { kid: 'kid-2' })), 'unauthorized/403', 'malformed/400');
});

line(46, 'a binding that nobody asked for is not reflected', async (t) => {
  const acme = await t.connect('main');
  const key = createSigningKey();
  const foreign: Jws = binding(acme, key, { kid: 'foreign' });
  const reply = await bound(acme, key, foreign);
  expectReply(reply, 201);
  expect(reply.json).not.toHaveProperty('externalAccountBinding');
});

line(42, 'terms that have changed are userActionRequired with a link to them and an instance', async (t) => {
  const acme = await t.client('tos');
  const terms = 'https://pki.example.test/terms-2';
  await t.edit('tos.yaml', (text) => text.replace('https://pki.example.test/terms-1', terms));
  await directoryWhen(acme, ({ meta }) => meta?.termsOfService === terms);
  const reply = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: freshName() }] });
  expectProblem(reply, 'userActionRequired/403');
  expect(reply.links['terms-of-service']).toEqual([terms]);
  expect(new URL(String(reply.problem['instance'])).protocol).toMatch(/^https?:$/);
});
