// JWS as accounts send them: hostile inputs 1 to 5, 11 to 16 and 20 to 22, each judged without a key operation unless it needs one.
import { createHmac, createPublicKey, randomBytes, sign } from 'node:crypto';
import fc from '../../test/support/property.ts';
import { FlattenedSign, importJWK } from 'jose';
import { expect, test } from 'vitest';
import {
  createSigningKey,
  type Jws as Flattened,
  macJws,
  type SigningKey,
  signEncoded,
  signJws,
} from '../../test/support/jws.ts';
import { importJwk } from './jwk.ts';
import {
  MAC_ALGORITHMS,
  MAX_JWS_BYTES,
  parseBindingJws,
  parseInnerJws,
  parseJws,
  verifyBinding,
  verifyJws,
} from './jws.ts';
import { Problem } from './problem.ts';

const URL = 'https://ca.example/acme/x/new-order';
const KID = 'https://ca.example/acme/x/account/1';
const keys = {
  ES256: createSigningKey('ES256'),
  ES384: createSigningKey('ES384'),
  EdDSA: createSigningKey('EdDSA'),
  RS256: createSigningKey('RS256'),
};
const key = keys.ES256;
const header = { alg: 'ES256', nonce: 'abc', url: URL, kid: KID };
const body = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const b64 = (text: string | Buffer) => Buffer.from(text).toString('base64url');
const parse = (value: unknown) => parseJws(body(value));
const good = signJws(key, header, { a: 1 });

/** Parses and verifies; returns the key operations, or the problem with them. */
function judge(value: unknown, signer: SigningKey = key): { problem?: Problem; operations: number } {
  const account = importJwk(signer.jwk);
  const work = { operations: 0 };
  try {
    verifyJws(parseJws(Buffer.isBuffer(value) ? value : body(value)), account, work);
    return { operations: work.operations };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { problem: error, operations: work.operations };
  }
}

test.each(Object.entries(keys))('%s: a good JWS is taken with one key operation', (alg, signer) => {
  const jws = signJws(signer, { ...header, alg }, { a: 1 });
  expect(judge(jws, signer)).toEqual({ operations: 1 });
  expect(parse(jws)).toEqual({
    header: { ...header, alg },
    payload: Buffer.from('{"a":1}'),
    signature: Buffer.from(jws.signature, 'base64url'),
    signingInput: Buffer.from(`${jws.protected}.${jws.payload}`),
  });
});

test.each(Object.entries(keys))('%s: a JWS of an independent library is taken', async (alg, signer) => {
  const privateKey = await importJWK(signer.privateKey.export({ format: 'jwk' }) as Record<string, string>, alg);
  const jws = await new FlattenedSign(Buffer.from('payload'))
    .setProtectedHeader({ alg, kid: KID, url: URL, nonce: 'n' })
    .sign(privateKey);
  expect(judge(jws, signer)).toEqual({ operations: 1 });
});

test('the header has what we know and nothing else; an empty payload stays empty', () => {
  const jwk = { ...key.jwk };
  const jws = parse(
    signJws(
      key,
      { alg: 'ES256', jwk, url: URL, typ: 'x', jku: 'https://evil.example', x5u: 'x', constructor: 1 },
      undefined,
    ),
  );
  expect(Object.keys(jws.header).sort()).toEqual(['alg', 'jwk', 'url']);
  expect(jws.header.jwk).toEqual(jwk);
  expect(jws.payload).toHaveLength(0);
  expect(parse({ ...good, other: 1 }).header.kid).toBe(KID);
});

const compact = `${good.protected}.${good.payload}.${good.signature}`;
const encoded = (text: string) => signEncoded(key, b64(text), good.payload);
const signed = (changes: object) => signJws(key, { ...header, ...changes }, {});

const malformed: [what: string, value: unknown, reason: RegExp][] = [
  ['not JSON', 'protected=1', /JSON/],
  ['nothing', '', /ends too early/],
  ['compact serialization', compact, /JSON/],
  ['compact serialization as JSON text', JSON.stringify(compact), /flattened/],
  ['a list', [good], /flattened/],
  ['null', 'null', /flattened/],
  [
    'general serialization',
    { payload: good.payload, signatures: [{ protected: good.protected, signature: good.signature }] },
    /one signature/,
  ],
  ['general serialization with two signatures', { payload: good.payload, signatures: [good, good] }, /one signature/],
  ['both serializations', { ...good, signatures: [] }, /one signature/],
  ['an unprotected header', { ...good, header: { alg: 'ES256' } }, /unprotected/],
  [
    'an unprotected header with the nonce',
    { ...signJws(key, { alg: 'ES256', url: URL, kid: KID }, {}), header: { nonce: 'abc' } },
    /unprotected/,
  ],
  ['no protected', { payload: good.payload, signature: good.signature }, /"protected"/],
  ['no payload', { protected: good.protected, signature: good.signature }, /"payload"/],
  ['no signature', { protected: good.protected, payload: good.payload }, /"signature"/],
  ['a payload that is no text', { ...good, payload: { a: 1 } }, /"payload"/],
  ['a payload of null', { ...good, payload: null }, /"payload"/],
  ['a protected header that is an object', { ...good, protected: header }, /"protected"/],
  ['an empty protected header', signEncoded(key, '', good.payload), /ends too early/],
  ['padding in the payload', { ...good, payload: `${good.payload}==` }, /"payload" is not canonical/],
  ['padding in the signature', { ...good, signature: `${good.signature}==` }, /"signature" is not canonical/],
  ['padding in the header', { ...good, protected: `${good.protected}=` }, /"protected" is not canonical/],
  ['the alphabet of base64', { ...good, payload: '+/+/' }, /canonical/],
  ['white space in base64url', { ...good, payload: 'YQ \n' }, /canonical/],
  ['a newline after base64url', { ...good, payload: `${good.payload}\n` }, /canonical/],
  ['spare bits that are not zero', { ...good, payload: 'YR' }, /canonical/],
  ['one character', { ...good, payload: 'Y' }, /canonical/],
  ['NUL in base64url', { ...good, payload: 'YQ\0' }, /canonical/],
  ['a header that is not JSON', encoded('alg=ES256'), /JSON/],
  ['a header that is a list', encoded('[]'), /header is a JSON object/],
  ['a header with a byte order mark', encoded(`\ufeff${JSON.stringify(header)}`), /JSON/],
  ['alg twice in the header', encoded(`{"alg":"ES256","alg":"none","kid":"k"}`), /"alg" twice/],
  ['__proto__ in the header', encoded(`{"__proto__":{"kid":"k"},"alg":"ES256"}`), /__proto__/],
  ['a member twice in the body', `{"payload":"","payload":"","protected":"","signature":""}`, /"payload" twice/],
  ['crit', signed({ crit: ['exp'], exp: 1 }), /"crit"/],
  ['an empty crit', signed({ crit: [] }), /"crit"/],
  ['b64 false', signed({ b64: false }), /"b64"/],
  ['b64 false, critical', signed({ b64: false, crit: ['b64'] }), /"crit"/],
  ['zip', signed({ zip: 'DEF' }), /"zip"/],
  ['no alg', signed({ alg: undefined }), /"alg"/],
  ['alg that is no text', signed({ alg: ['ES256'] }), /"alg"/],
  ['both jwk and kid', signed({ jwk: key.jwk }), /either "jwk" or "kid"/],
  ['neither jwk nor kid', signed({ kid: undefined }), /either "jwk" or "kid"/],
  ['a kid that is no text', signed({ kid: 5 }), /"kid"/],
  ['a kid of null beside a jwk', signed({ kid: null, jwk: key.jwk }), /"kid"/],
  ['a nonce that is no text', signed({ nonce: 5 }), /"nonce"/],
  ['a url that is no text', signed({ url: [URL] }), /"url"/],
  ['a jwk that is text', signed({ kid: undefined, jwk: 'key' }), /"jwk"/],
  ['a jwk of null', signed({ kid: undefined, jwk: null }), /"jwk"/],
  ['a header nested deeply', encoded('{"a":[[[[]]]]}'), /nested/],
  [
    'a header of many members',
    encoded(`{${Array.from({ length: 65 }, (_, i) => `"m${i}":1`).join(',')}}`),
    /more than 64/,
  ],
  ['200 000 nested arrays', `{"payload":${'['.repeat(60_000)}`, /nested/],
];

test.each(malformed)('%s is malformed, without a key operation', (_, value, reason) => {
  const { problem, operations } = judge(value);
  expect(problem).toMatchObject({ type: 'malformed', status: 400, detail: expect.stringMatching(reason) });
  expect(operations).toBe(0);
});

test('a body beyond the limit is refused before it is read', () => {
  const { problem, operations } = judge(Buffer.alloc(MAX_JWS_BYTES + 1, 0x20));
  expect(problem).toMatchObject({ type: 'malformed', status: 413 });
  expect(operations).toBe(0);
  expect(judge(Buffer.alloc(MAX_JWS_BYTES, 0x20)).problem).toMatchObject({ status: 400 });
});

const publicPem = createPublicKey(key.publicKey.export({ type: 'spki', format: 'pem' })).export({
  type: 'spki',
  format: 'pem',
});
/** Input 2: the public key as the secret of a MAC. */
const macWithPublicKey = macJws(Buffer.from(publicPem), { ...header, alg: 'HS256' }, {});

const badAlgorithms: [what: string, jws: Flattened, signer: SigningKey][] = [
  ['none', { ...signed({ alg: 'none' }), signature: '' }, key],
  ['None', { ...signed({ alg: 'None' }), signature: '' }, key],
  ['no text at all', { ...signed({ alg: '' }), signature: '' }, key],
  ['HS256 with the public key as secret', macWithPublicKey, key],
  ['ES512', signed({ alg: 'ES512' }), key],
  ['ES256K', signed({ alg: 'ES256K' }), key],
  ['PS256', signed({ alg: 'PS256' }), keys.RS256],
  ['RS512', signed({ alg: 'RS512' }), keys.RS256],
  ['es256', signed({ alg: 'es256' }), key],
  ['an inherited name', signed({ alg: 'constructor' }), key],
];

test.each(badAlgorithms)(
  'alg %s is refused with the list of those accepted, without a key operation',
  (_, jws, signer) => {
    const { problem, operations } = judge(jws, signer);
    expect(problem?.toJSON()).toMatchObject({
      type: 'urn:ietf:params:acme:error:badSignatureAlgorithm',
      status: 400,
      algorithms: ['ES256', 'ES384', 'EdDSA', 'RS256'],
    });
    expect(operations).toBe(0);
  },
);

const mismatches: typeof badAlgorithms = [
  ['ES256 for an RSA key', signJws(keys.RS256, header, {}), keys.RS256],
  ['ES384 for a P-256 key', signJws(key, { ...header, alg: 'ES384' }, {}), key],
  ['RS256 for a P-256 key', signJws(key, { ...header, alg: 'RS256' }, {}), key],
  ['EdDSA for a P-256 key', signJws(key, { ...header, alg: 'EdDSA' }, {}), key],
  ['ES256 for an Ed25519 key', signJws(keys.EdDSA, header, {}), keys.EdDSA],
];

test.each(mismatches)('alg %s is badPublicKey naming what the key needs, without a key operation', (_, jws, signer) => {
  const { problem, operations } = judge(jws, signer);
  expect(problem?.toJSON()).toMatchObject({
    type: 'urn:ietf:params:acme:error:badPublicKey',
    status: 400,
    detail: expect.stringContaining('does not fit the key, which needs'),
  });
  expect(operations).toBe(0);
});

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const hex32 = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
const number = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`);
const raw = Buffer.from(good.signature, 'base64url');
const [r, s] = [number(raw.subarray(0, 32)), number(raw.subarray(32))];
const withSignature = (signature: Buffer) => ({ ...good, signature: b64(signature) });
const derSignature = sign('sha256', Buffer.from(`${good.protected}.${good.payload}`), key.privateKey);

test.each([
  ['of 63 bytes', raw.subarray(0, 63), 0],
  ['of 65 bytes', Buffer.concat([raw, Buffer.of(0)]), 0],
  ['of 96 bytes', Buffer.concat([raw, Buffer.alloc(32)]), 0],
  ['of no bytes', Buffer.alloc(0), 0],
  ['in DER', derSignature, 0],
  ['with r = 0', Buffer.concat([Buffer.alloc(32), hex32(s)]), 1],
  ['with s = 0', Buffer.concat([hex32(r), Buffer.alloc(32)]), 1],
  ['of zeros', Buffer.alloc(64), 1],
  ['with r = n', Buffer.concat([hex32(N), hex32(s)]), 1],
  ['with s = n', Buffer.concat([hex32(r), hex32(N)]), 1],
  ['with r above n', Buffer.concat([Buffer.alloc(32, 0xff), hex32(s)]), 1],
  ['with one bit changed', Buffer.from(raw.map((byte, i) => (i === 40 ? byte ^ 1 : byte))), 1],
])('an ES256 signature %s is malformed', (_, signature, operations) => {
  const result = judge(withSignature(signature));
  expect(result.problem).toMatchObject({ type: 'malformed', status: 400 });
  expect(result.operations).toBe(operations);
});

test('the mirrored ECDSA signature is as good; it is the nonce that keeps it from being a replay', () => {
  expect(judge(withSignature(Buffer.concat([hex32(r), hex32(N - s)])))).toEqual({ operations: 1 });
});

test('an Ed25519 signature whose S is not reduced is refused', () => {
  const jws = signJws(keys.EdDSA, { ...header, alg: 'EdDSA' }, {});
  const bytes = Buffer.from(jws.signature, 'base64url');
  const order = (1n << 252n) + 27_742_317_777_372_353_535_851_937_790_883_648_493n;
  const scalar = number(Buffer.from(bytes.subarray(32).toReversed())) + order;
  const signature = Buffer.concat([bytes.subarray(0, 32), Buffer.from(hex32(scalar).toReversed())]);
  expect(judge({ ...jws, signature: b64(signature) }, keys.EdDSA).problem).toMatchObject({ type: 'malformed' });
});

test('a signature of another key, or over other parts, is malformed', () => {
  const stranger = createSigningKey('ES256');
  expect(judge(signJws(stranger, header, {})).problem).toMatchObject({
    type: 'malformed',
    detail: 'the signature is wrong',
  });
  const other = signJws(key, { ...header, nonce: 'abd' }, { a: 1 });
  expect(judge({ ...good, protected: other.protected }).problem).toMatchObject({ type: 'malformed' });
  expect(judge({ ...good, payload: b64('{"a":2}') }).problem).toMatchObject({ type: 'malformed' });
  const rsa = signJws(keys.RS256, { ...header, alg: 'RS256' }, {});
  expect(
    judge({ ...rsa, signature: b64(Buffer.from(rsa.signature, 'base64url').subarray(1)) }, keys.RS256),
  ).toMatchObject({
    problem: { type: 'malformed' },
    operations: 0,
  });
});

test('property: changed bytes never give anything but a Problem or the same signed content', () => {
  const sample = body(good);
  const changed = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(changed, (changes) => {
      const bytes = Buffer.from(sample);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      const { problem } = judge(bytes);
      if (problem) expect(['malformed', 'badPublicKey', 'badSignatureAlgorithm']).toContain(problem.type);
      else expect(parseJws(bytes)).toEqual(parse(good));
    }),
    { numRuns: 1000 },
  );
});

// ---- Key change: inner JWS (RFC 8555 section 7.3.5) -----------------------------------------------------------------

const innerHeader = { alg: 'ES256', jwk: key.jwk, url: URL };

test('the inner JWS of a key change needs jwk and url and must not have a nonce', () => {
  const inner = parseInnerJws(signJws(key, innerHeader, { account: KID }));
  expect(inner.header).toEqual(innerHeader);
  verifyJws(inner, importJwk(inner.header.jwk));
  for (const [changes, reason] of [
    [{ nonce: 'abc' }, /must not have "nonce"/],
    [{ url: undefined }, /must have "url"/],
    [{ jwk: undefined, kid: KID }, /must have "jwk"/],
    [{ kid: KID }, /either/],
    [{ jwk: undefined }, /either/],
  ] as const) {
    expect(() => parseInnerJws(signJws(key, { ...innerHeader, ...changes }, {}))).toThrow(
      expect.objectContaining({ type: 'malformed', detail: expect.stringMatching(reason) }),
    );
  }
  for (const value of [undefined, null, 'text', [], {}]) expect(() => parseInnerJws(value)).toThrow(Problem);
  expect(() => parseInnerJws(signJws(key, { ...innerHeader, alg: 'HS256' }, {}))).toThrow(
    expect.objectContaining({ type: 'badSignatureAlgorithm' }),
  );
});

// ---- External account binding: inner JWS (RFC 8555 section 7.3.4, hostile input 27) ---------------------------------

const macKey = randomBytes(64);
const bindingHeader = { alg: 'HS256', kid: 'team-1', url: URL };

test.each(MAC_ALGORITHMS)('a binding under %s is taken', (alg) => {
  const [protectedHeader, payload] = [b64(JSON.stringify({ ...bindingHeader, alg })), b64(JSON.stringify(key.jwk))];
  const hash = alg.replace('HS', 'sha');
  const mac = createHmac(hash, macKey).update(`${protectedHeader}.${payload}`).digest();
  const binding = { protected: protectedHeader, payload, signature: b64(mac) };
  const jws = parseBindingJws(binding);
  expect(jws.header).toEqual({ ...bindingHeader, alg });
  expect(jws.payload).toEqual(Buffer.from(JSON.stringify(key.jwk)));
  verifyBinding(jws, macKey);
  const refused = expect.objectContaining({ type: 'unauthorized', status: 403 });
  // RFC 7518 section 3.2: even the right key is none if it is shorter than the hash.
  const short = macKey.subarray(0, mac.length - 1);
  const shortMac = createHmac(hash, short).update(`${protectedHeader}.${payload}`).digest();
  expect(() => verifyBinding(parseBindingJws({ ...binding, signature: b64(shortMac) }), short)).toThrow(refused);
  expect(() => verifyBinding(jws, randomBytes(64))).toThrow(refused);
  for (const signature of [
    Buffer.alloc(0),
    mac.subarray(0, 1),
    mac.subarray(0, -1),
    Buffer.concat([mac, Buffer.of(0)]),
    Buffer.from(mac.map((byte) => byte ^ 1)),
  ]) {
    expect(() => verifyBinding(parseBindingJws({ ...binding, signature: b64(signature) }), macKey)).toThrow(refused);
  }
});

test.each([
  ['no JWS', 'text', /flattened/],
  ['alg none', macJws(macKey, { ...bindingHeader, alg: 'none' }, {}), /HS256, HS384, HS512/],
  ['alg RS256', signJws(keys.RS256, { ...bindingHeader, alg: 'RS256' }, {}), /HS256, HS384, HS512/],
  ['a nonce', macJws(macKey, { ...bindingHeader, nonce: 'abc' }, {}), /must not have "nonce"/],
  ['a jwk', macJws(macKey, { ...bindingHeader, jwk: key.jwk }, {}), /not "jwk"/],
  ['no kid', macJws(macKey, { ...bindingHeader, kid: undefined }, {}), /must have "kid"/],
  ['an empty kid', macJws(macKey, { ...bindingHeader, kid: '' }, {}), /must have "kid"/],
  ['a kid that is no text', macJws(macKey, { ...bindingHeader, kid: 5 }, {}), /must have "kid"/],
  ['no url', macJws(macKey, { ...bindingHeader, url: undefined }, {}), /must have "url"/],
  ['crit', macJws(macKey, { ...bindingHeader, crit: ['x'] }, {}), /"crit"/],
  ['an unprotected header', { ...macJws(macKey, bindingHeader, {}), header: {} }, /unprotected/],
])('a binding with %s is malformed', (_, value, reason) => {
  expect(() => parseBindingJws(value)).toThrow(
    expect.objectContaining({ type: 'malformed', detail: expect.stringMatching(reason) }),
  );
});
