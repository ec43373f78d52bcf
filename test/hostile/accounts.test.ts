// Hostile inputs 26 to 32: accounts, external account bindings and key changes.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { AccountKind } from '../../src/api/acme.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import type { Cluster } from '../../src/ports.ts';
import { complete, newOrder, readyOrder, register } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { base64url, createSigningKey, type Jws, macJws, type SigningKey, signJws } from '../support/jws.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import { hostile, refused } from './input.ts';

const SECRETS = {
  'kid-1': base64url(Buffer.alloc(48, 'planted-binding-key-1')),
  'kid-2': base64url(Buffer.alloc(48, 'planted-binding-key-2')),
  withdrawn: base64url(Buffer.alloc(48, 'planted-binding-key-3')),
  once: base64url(Buffer.alloc(48, 'planted-binding-key-4')),
  race: base64url(Buffer.alloc(48, 'planted-binding-key-5')),
  short: 'AA',
};
const keyOf = (keyID: string, name = 'eab-keys') => ({ keyID, secretRef: { name, key: keyID } });
/** Creates take as long as those of a real API, so that requests overlap. */
const slowCreates = (cluster: Cluster): Cluster =>
  new Proxy(cluster, {
    get: (target, member) => {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      return member === 'create' ? (...args: unknown[]) => sleep(5).then(() => call(...args)) : call;
    },
  });

const input = hostile({
  harness: () => ({ wrap: slowCreates }),
  secrets: { 'eab-keys': SECRETS },
  issuers: {
    second: {},
    eab: {
      acme: {
        externalAccountBinding: {
          mode: 'Required',
          keys: [...Object.keys(SECRETS).map((keyID) => keyOf(keyID)), keyOf('lost', 'no-such-secret')],
        },
      },
    },
    'eab-once': {
      acme: { externalAccountBinding: { mode: 'Required', reuse: 'Never', keys: [keyOf('once'), keyOf('race')] } },
    },
  },
});

interface BindingOptions {
  kid?: unknown;
  macKey?: string;
  header?: object;
  payload?: object;
}

function binding(acme: AcmeWire, key: SigningKey, options: BindingOptions = {}): Jws {
  const { kid = 'kid-1', macKey = SECRETS['kid-1'], header = {}, payload = key.jwk } = options;
  return macJws(
    Buffer.from(macKey, 'base64url'),
    { alg: 'HS256', kid, url: acme.directory.newAccount, ...header },
    payload,
  );
}

const bound = (acme: AcmeWire, key: SigningKey, externalAccountBinding: unknown): Promise<Reply> =>
  acme.post(acme.directory.newAccount, { externalAccountBinding }, { jwkOf: key });

/** No account was made, whatever the reply said. */
async function noAccount(a: Arena, acme: AcmeWire, key: SigningKey): Promise<void> {
  const reply = await acme.post(
    acme.directory.newAccount,
    { onlyReturnExisting: true },
    { jwkOf: key, retryBadNonce: true },
  );
  await refused(a, reply, 'accountDoesNotExist/400');
}

/** Signed by a client whose pool of nonces `refused` has drunk from. */
const patient = { retryBadNonce: true };

input(26, 'newAccount without the binding that is required', async (a) => {
  const acme = await a.connect('eab');
  const key = createSigningKey();
  await refused(a, await bound(acme, key, undefined), 'externalAccountRequired/403');
  for (const value of [null, {}, [], '', 'kid-1', 7, { protected: '', payload: '', signature: '' }]) {
    const reply = await acme.post(
      acme.directory.newAccount,
      { externalAccountBinding: value },
      { jwkOf: key, ...patient },
    );
    await refused(a, reply, 'malformed/400');
  }
  await noAccount(a, acme, key);
});

const badBindings: Record<string, (acme: AcmeWire, key: SigningKey) => unknown> = {
  'the key of somebody else in its payload': (acme, key) => binding(acme, key, { payload: createSigningKey().jwk }),
  'a payload that is no key': (acme, key) => binding(acme, key, { payload: { kty: 'oct', k: 'AAAA' } }),
  'a private key in its payload': (acme, key) =>
    binding(acme, key, { payload: key.privateKey.export({ format: 'jwk' }) }),
  'another url': (acme, key) => binding(acme, key, { header: { url: acme.directory.newOrder } }),
  'the url of another issuer': (acme, key) =>
    binding(acme, key, { header: { url: acme.directory.newAccount.replace('/eab/', '/main/') } }),
  'no url': (acme, key) => binding(acme, key, { header: { url: undefined } }),
  'alg none': (acme, key) => ({ ...binding(acme, key, { header: { alg: 'none' } }), signature: '' }),
  'alg RS256': (acme, key) => binding(acme, key, { header: { alg: 'RS256' } }),
  'a signature instead of a MAC': (acme, key) =>
    signJws(key, { alg: key.alg, kid: 'kid-1', url: acme.directory.newAccount }, key.jwk),
  'HS512 over a MAC of HS256': (acme, key) => binding(acme, key, { header: { alg: 'HS512' } }),
  'a nonce': (acme, key) => binding(acme, key, { header: { nonce: 'AAAA' } }),
  'a jwk beside the kid': (acme, key) => binding(acme, key, { header: { jwk: key.jwk } }),
  crit: (acme, key) => binding(acme, key, { header: { crit: ['exp'], exp: 1 } }),
  'a MAC of one byte': (acme, key) => ({ ...binding(acme, key), signature: 'AA' }),
  'a MAC of no bytes': (acme, key) => ({ ...binding(acme, key), signature: '' }),
  'a MAC cut short': (acme, key) => {
    const jws = binding(acme, key);
    return { ...jws, signature: base64url(Buffer.from(jws.signature, 'base64url').subarray(0, 31)) };
  },
  'a MAC by another key': (acme, key) => binding(acme, key, { macKey: SECRETS['kid-2'] }),
  'a MAC by the text of the key': (acme, key) => binding(acme, key, { macKey: base64url(SECRETS['kid-1']) }),
  'a MAC by the empty key': (acme, key) => binding(acme, key, { macKey: '' }),
  'a key of one byte': (acme, key) => binding(acme, key, { kid: 'short', macKey: SECRETS.short }),
  'a key whose Secret is not there': (acme, key) => binding(acme, key, { kid: 'lost' }),
  'a key of another issuer': (acme, key) => binding(acme, key, { kid: 'once-only', macKey: SECRETS.once }),
  'a kid in other letters': (acme, key) => binding(acme, key, { kid: 'KID-1' }),
  'a kid with a space': (acme, key) => binding(acme, key, { kid: 'kid-1 ' }),
  'a kid with NUL': (acme, key) => binding(acme, key, { kid: 'kid-1\0' }),
  'no kid': (acme, key) => binding(acme, key, { header: { kid: undefined } }),
  'an unprotected header': (acme, key) => ({ ...binding(acme, key), header: { kid: 'kid-1' } }),
  'members of nine kilobytes': (acme, key) => ({ ...binding(acme, key), more: 'x'.repeat(9000) }),
  'a key with members of nine kilobytes': (acme, key) =>
    binding(acme, key, { payload: { ...key.jwk, more: 'x'.repeat(9000) } }),
};
for (const [what, make] of Object.entries(badBindings)) {
  input(27, `a binding with ${what}`, async (a) => {
    const acme = await a.connect('eab');
    const key = createSigningKey();
    await refused(a, await bound(acme, key, make(acme, key)), 'unauthorized/403', 'malformed/400', 'badPublicKey/400');
    await noAccount(a, acme, key);
  });
}

input(27, 'a binding by a key that may bind one account, the second time', async (a) => {
  const acme = await a.connect('eab-once');
  const [first, second] = [createSigningKey(), createSigningKey()];
  const once = { kid: 'once', macKey: SECRETS.once };
  await a.given(async () => {
    expect((await bound(acme, first, binding(acme, first, once))).status).toBe(201);
  });
  await refused(a, await bound(acme, second, binding(acme, second, once)), 'unauthorized/403');
  await noAccount(a, acme, second);
});

input(27, 'a binding by a key that may bind one account, by many at once', async (a) => {
  const acme = await a.connect('eab-once');
  const race = { kid: 'race', macKey: SECRETS.race };
  const requests = Array.from({ length: 10 }, () => createSigningKey()).map((key) => ({
    key,
    jws: binding(acme, key, race),
  }));
  // Opens the connections, so that the requests arrive together.
  await Promise.all(requests.map(() => a.transport.request('GET', acme.directoryUrl)));
  const replies = await a.given(() => Promise.all(requests.map(({ key, jws }) => bound(acme, key, jws))));
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  for (const reply of replies.filter(({ status }) => status !== 201)) await refused(a, reply, 'unauthorized/403');
});

input(27, 'a binding by a key that was withdrawn', async (a) => {
  const acme = await a.connect('eab');
  const key = createSigningKey();
  await a.given(async () => {
    const { cluster } = a.operator;
    const issuer = await cluster.get(ClusterCAIssuerKind, { name: 'eab' });
    if (!issuer?.spec.acme?.externalAccountBinding) throw new Error('the issuer is not there');
    const settings = issuer.spec.acme.externalAccountBinding;
    const keys = (settings.keys ?? []).filter(({ keyID }) => keyID !== 'withdrawn');
    const acmeSpec = { ...issuer.spec.acme, externalAccountBinding: { ...settings, keys } };
    await cluster.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, acme: acmeSpec } });
    await eventually('the issuer is seen without the key', () => {
      const seen = a.operator.operator.issuers.get({ name: 'eab' })?.spec.acme?.externalAccountBinding?.keys ?? [];
      return Promise.resolve(seen.some(({ keyID }) => keyID === 'withdrawn') ? undefined : true);
    });
    await a.settled();
  });
  const sent = binding(acme, key, { kid: 'withdrawn', macKey: SECRETS.withdrawn });
  await refused(a, await bound(acme, key, sent), 'unauthorized/403');
  await noAccount(a, acme, key);
});

input(28, 'a kid like a path, a Kubernetes name, a prototype or a novel', async (a) => {
  const acme = await a.connect('eab');
  const key = createSigningKey();
  const kids = [
    '../x',
    '../eab-keys/kid-1',
    'a/b',
    'countersign-system/eab-keys',
    'x'.repeat(300),
    'x'.repeat(30_000),
    'UPPER',
    '',
    'kid-1\r\nX: y',
    '__proto__',
    'constructor',
    '0',
    '*',
    7,
    null,
    ['kid-1'],
    { kid: 'kid-1' },
  ];
  for (const kid of kids) {
    const reply = await acme.post(
      acme.directory.newAccount,
      { externalAccountBinding: binding(acme, key, { header: { kid } }) },
      { jwkOf: key, ...patient },
    );
    await refused(a, reply, 'unauthorized/403', 'malformed/400');
  }
  await noAccount(a, acme, key);
});

input(29, 'onlyReturnExisting for a key nobody knows, with or without a binding', async (a) => {
  for (const issuer of ['main', 'eab']) {
    const acme = await a.connect(issuer);
    const key = createSigningKey();
    await noAccount(a, acme, key);
    const payload = { onlyReturnExisting: true, externalAccountBinding: binding(acme, key) };
    const reply = await acme.post(acme.directory.newAccount, payload, { jwkOf: key, ...patient });
    await refused(a, reply, 'accountDoesNotExist/400');
  }
});

input(29, 'the same key under a second issuer is another account, and no passport to the first', async (a) => {
  const second = await a.connect('second');
  await refused(
    a,
    await second.post(second.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: a.acme.account.key }),
    'accountDoesNotExist/400',
  );
  const third = await a.connect('second');
  await a.given(() => register(third, a.acme.account.key));
  second.account = third.account;
  expect(second.account.url.split('/').at(-1)).not.toBe(a.acme.account.url.split('/').at(-1));
  const order = await newOrder(a.acme, [freshName()]);
  const elsewhere = order.url.replace('/acme/main/', '/acme/second/');
  await refused(a, await second.post(elsewhere, undefined, patient), 'malformed/404');
  await refused(a, await second.post(order.url, undefined, patient), 'accountDoesNotExist/400');
});

const badContacts: Record<string, { contact: unknown; type: `${string}/400` }> = {
  'two addresses in one mailto': { contact: ['mailto:a@example.test,b@example.test'], type: 'invalidContact/400' },
  'header fields': { contact: ['mailto:a@example.test?subject=hello'], type: 'invalidContact/400' },
  'CRLF and a header': { contact: ['mailto:a@example.test\r\nBcc: b@example.test'], type: 'invalidContact/400' },
  'an encoded CRLF': { contact: ['mailto:a@example.test%0d%0aBcc:b@example.test'], type: 'invalidContact/400' },
  'letters beyond ASCII': { contact: ['mailto:jürgen@bücher.example'], type: 'invalidContact/400' },
  NUL: { contact: ['mailto:a\0@example.test'], type: 'invalidContact/400' },
  'no address': { contact: ['mailto:'], type: 'invalidContact/400' },
  'no domain': { contact: ['mailto:a@'], type: 'invalidContact/400' },
  'a quoted local part': { contact: ['mailto:"a b"@example.test'], type: 'invalidContact/400' },
  'angle brackets': { contact: ['mailto:<a@example.test>'], type: 'invalidContact/400' },
  'a label of dots': { contact: [`mailto:a@${'a.'.repeat(20_000)}`], type: 'invalidContact/400' },
  'a thousand contacts': { contact: Array<string>(1000).fill('mailto:a@example.test'), type: 'invalidContact/400' },
  'another scheme': { contact: ['tel:+12025551212'], type: 'unsupportedContact/400' },
  javascript: { contact: ['javascript:alert(1)'], type: 'unsupportedContact/400' },
  'no scheme': { contact: ['a@example.test'], type: 'unsupportedContact/400' },
  'an empty text': { contact: [''], type: 'unsupportedContact/400' },
  'a text': { contact: 'mailto:a@example.test', type: 'malformed/400' },
  null: { contact: null, type: 'malformed/400' },
  'an object': { contact: { 0: 'mailto:a@example.test', length: 1 }, type: 'malformed/400' },
  'objects in the list': { contact: [{ toString: 'mailto:a@example.test' }], type: 'malformed/400' },
  'null in the list': { contact: [null], type: 'malformed/400' },
};
for (const [what, { contact, type }] of Object.entries(badContacts)) {
  input(30, `contacts with ${what}: of a new account and of an old one`, async (a) => {
    const key = createSigningKey();
    await refused(a, await a.acme.post(a.acme.directory.newAccount, { contact }, { jwkOf: key }), type);
    await noAccount(a, a.acme, key);
    await refused(a, await a.acme.post(a.acme.account.url, { contact }), type);
  });
}

input(31, 'a deactivated account, on every route', async (a) => {
  const { acme, urls, orders } = await a.given(async () => {
    const acme = await a.connect();
    const { json } = await register(acme);
    const order = await readyOrder(acme, a, [freshName()]);
    const { certificateUrl } = await complete(acme, order);
    const open = await readyOrder(acme, a, [freshName()]);
    const [authorization = ''] = open.object.authorizations;
    const [challenge] = (await acme.get(authorization)).json.challenges;
    const urls = [order.url, open.url, open.object.finalize, authorization, challenge?.url ?? '', certificateUrl];
    expect((await acme.post(acme.account.url, { status: 'deactivated' })).json.status).toBe('deactivated');
    return { acme, urls, orders: String(json.orders) };
  });
  const { newOrder, keyChange, revokeCert, newNonce, renewalInfo } = acme.directory;
  const routes = [...urls, orders, acme.account.url, newOrder, keyChange, revokeCert, newNonce, acme.directoryUrl];
  for (const url of [...routes, `${renewalInfo}/AAAA.AAAA`]) {
    for (const payload of [undefined, {}, { status: 'valid' }])
      await refused(a, await acme.post(url, payload, patient), 'unauthorized/401');
  }
  for (const payload of [{}, { onlyReturnExisting: true }, { status: 'valid', contact: ['mailto:a@example.test'] }]) {
    const reply = await acme.post(acme.directory.newAccount, payload, { jwkOf: acme.account.key, ...patient });
    await refused(a, reply, 'unauthorized/401');
  }
});

/** The inner JWS of a key change, RFC 8555 section 7.3.5. */
function inner(acme: AcmeWire, next: SigningKey, header: object = {}, payload: object = {}): Jws {
  const { key, url } = acme.account;
  return signJws(
    next,
    { alg: next.alg, jwk: next.jwk, url: acme.directory.keyChange, ...header },
    { account: url, oldKey: key.jwk, ...payload },
  );
}

const badChanges: Record<string, (acme: AcmeWire, next: SigningKey, other: AcmeWire) => unknown> = {
  'signed by the old key': (acme, next) => {
    const { key, url } = acme.account;
    const header = { alg: key.alg, jwk: next.jwk, url: acme.directory.keyChange };
    return signJws(key, header, { account: url, oldKey: key.jwk });
  },
  'to the same key': (acme) => inner(acme, acme.account.key),
  'with a url of its own': (acme, next) => inner(acme, next, { url: acme.directory.newAccount }),
  'with the url of another issuer': (acme, next) =>
    inner(acme, next, { url: acme.directory.keyChange.replace('/main/', '/second/') }),
  'without url': (acme, next) => inner(acme, next, { url: undefined }),
  'with a nonce': (acme, next) => inner(acme, next, { nonce: 'AAAA' }),
  'with a kid': (acme, next) => inner(acme, next, { jwk: undefined, kid: acme.account.url }),
  'with jwk and kid': (acme, next) => inner(acme, next, { kid: acme.account.url }),
  'for the account of somebody else': (acme, next, other) => inner(acme, next, {}, { account: other.account.url }),
  "with somebody else's account and key": (acme, next, other) =>
    inner(acme, next, {}, { account: other.account.url, oldKey: other.account.key.jwk }),
  'for no account': (acme, next) => inner(acme, next, {}, { account: undefined }),
  'for a list of accounts': (acme, next) => inner(acme, next, {}, { account: [acme.account.url] }),
  'from a key it has not': (acme, next) => inner(acme, next, {}, { oldKey: createSigningKey().jwk }),
  'from no key': (acme, next) => inner(acme, next, {}, { oldKey: null }),
  'to a key under alg none': (acme, next) => ({ ...inner(acme, next, { alg: 'none' }), signature: '' }),
  'to a key that is weak': (acme) => inner(acme, createSigningKey('RS256', 1024)),
  'to a key on a curve not taken': (acme) => inner(acme, createSigningKey('ES512')),
  'with its signature changed': (acme, next) => ({ ...inner(acme, next), signature: base64url(Buffer.alloc(64, 1)) }),
  'with an unprotected header': (acme, next) => ({ ...inner(acme, next), header: {} }),
  'with a key change inside': (acme, next) => ({
    protected: base64url('{}'),
    payload: inner(acme, next),
    signature: '',
  }),
};
for (const [what, make] of Object.entries(badChanges)) {
  input(32, `a key change ${what}`, async (a) => {
    const other = await a.given(() => a.client());
    const next = createSigningKey();
    const reply = await a.acme.post(a.acme.directory.keyChange, make(a.acme, next, other) as object);
    await refused(a, reply, 'malformed/400', 'badSignatureAlgorithm/400', 'badPublicKey/400');
    await noAccount(a, a.acme, next);
  });
}

input(
  32,
  'a key change to the key of another account is 409 with the URL of that account',
  async (a) => {
    const other = await a.given(() => a.client());
    const reply = await a.acme.post(a.acme.directory.keyChange, inner(a.acme, other.account.key));
    await refused(a, reply, 'malformed/409');
    expect(reply.location).toBe(other.account.url);
  },
  // The name of the new key is asked for by a create, which finds it taken.
  { writes: ['create Account'] },
);

input(
  32,
  'after a key change the old key is refused at once, everywhere, and never comes back',
  async (a) => {
    const acme = await a.given(() => a.client());
    const [old, next] = [acme.account.key, createSigningKey()];
    const order = await newOrder(acme, [freshName()]);
    await a.given(async () => {
      expect((await acme.post(acme.directory.keyChange, inner(acme, next))).status).toBe(200);
    });
    const { newOrder: orders, keyChange, revokeCert } = acme.directory;
    for (const url of [acme.account.url, order.url, order.object.finalize, orders, keyChange, revokeCert]) {
      await refused(a, await acme.post(url, undefined, patient), 'malformed/400');
    }
    await noAccount(a, acme, old);
    const again = await acme.post(acme.directory.newAccount, {}, { jwkOf: old, ...patient });
    await refused(a, again, 'unauthorized/403');
    acme.account = { key: next, url: acme.account.url };
    const back = await acme.post(acme.directory.keyChange, inner(acme, old), patient);
    await refused(a, back, 'malformed/400');
    expect(
      (await a.operator.cluster.list(AccountKind)).items.filter(({ spec }) => spec.thumbprint === old.thumbprint),
    ).toEqual([]);
  },
  // newAccount asks for the name of the old key by a create, which finds it taken.
  { writes: ['create Account'] },
);

input.finish();
