// The sixty-two hostile inputs and where each is tested. A title that no longer exists, a test that is not listed here and an input
// without a test each fail. Titles are as they stand in the source; `${…}` stands for the rows of a table beside it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

interface Input {
  what: string;
  /** Titles by file: names of this folder's files without `.test.ts`, paths of others. */
  tests: Readonly<Record<string, readonly string[]>>;
  /** What of the input is not tested here, and why. */
  missing?: string;
}

const JWS = 'src/domain/jws.test.ts';
const JWK = 'src/domain/jwk.test.ts';
const JSON_READER = 'src/domain/json.test.ts';
const CSR = 'src/domain/csr.test.ts';
const DIALER = 'src/validators/dialer.test.ts';
const HTTP = 'src/validators/http-01.test.ts';
const DNS = 'src/validators/dns-01.test.ts';
const RESOLVER = 'src/validators/resolver.test.ts';
const ALPN = 'src/validators/tls-alpn-01.test.ts';
const DENIED = 'src/domain/deny-list.test.ts';
const REPLICAS = 'test/integration/hostile.test.ts';
/** Of every backend that asks a CA elsewhere: webhook, ejbca, certbot, acme. */
const CONTRACT = 'test/contract/backend.ts';
const EJBCA = 'test/operator/ejbca.test.ts';
const UPSTREAM = 'test/upstream/hostile.test.ts';
const CERTBOT = 'test/certbot/hostile.test.ts';
const ACME = 'src/backends/acme/index.test.ts';

const INPUTS: Readonly<Record<number, Input>> = {
  1: {
    what: 'alg none',
    tests: { 'jws-transport': ['alg none, in any spelling and with or without a signature'], [JWS]: ['none', 'None'] },
  },
  2: {
    what: 'HS256 with the public key as secret',
    tests: {
      'jws-transport': ['HS256 with the public key as the secret'],
      [JWS]: ['HS256 with the public key as secret'],
    },
  },
  3: {
    what: 'ES256 in the header of an RSA account',
    tests: { 'jws-transport': ['ES256 in the header of an RSA account'], [JWS]: ['ES256 for an RSA key'] },
  },
  4: {
    what: 'ES384 on a P-256 key',
    tests: {
      'jws-transport': ['ES384, RS256 or EdDSA in the header of a P-256 account'],
      [JWS]: ['ES384 for a P-256 key'],
    },
  },
  5: {
    what: 'both jwk and kid, or neither',
    tests: { 'jws-transport': ['both jwk and kid, or neither'], [JWS]: ['both jwk and kid', 'neither jwk nor kid'] },
  },
  6: {
    what: 'kid of another account',
    tests: { 'jws-transport': ["another account's kid under one's own signature"] },
  },
  7: {
    what: 'kid of another issuer or host',
    tests: { 'jws-transport': ['a kid of another issuer or host, or that is no account URL'] },
  },
  8: {
    what: 'url that differs from the one handed out',
    tests: { 'jws-transport': ['a url that differs in host, port, path, query, case or encoding'] },
  },
  9: {
    what: 'nonces replayed, changed, foreign, empty, long',
    tests: {
      'jws-transport': [
        'a nonce replayed, changed in any byte, empty, long, missing or of another kind',
        'a nonce of another process, such as this server before it was restarted',
      ],
      'test/conformance/b-nonces.test.ts': ['forged nonce is badNonce: random, or an issued one with any byte changed'],
      [REPLICAS]: [
        '9: a nonce is accepted by another replica once, and by none after that or when a bit of it is changed',
      ],
    },
  },
  10: {
    what: 'parallel requests with one nonce',
    tests: {
      'jws-transport': ['parallel requests with one nonce: exactly one is accepted'],
      [REPLICAS]: ['10: of parallel uses of one nonce at both replicas exactly one is accepted'],
    },
  },
  11: {
    what: 'crit, b64, zip',
    tests: {
      'jws-transport': ['crit, b64, zip and unknown critical members in the header'],
      [JWS]: ['crit', 'b64 false', 'b64 false, critical', 'zip'],
    },
  },
  12: {
    what: 'unprotected header',
    tests: { 'jws-transport': ['an unprotected header'], [JWS]: ['an unprotected header with the nonce'] },
  },
  13: {
    what: 'other serializations',
    tests: {
      'jws-transport': ['compact serialization, and the general form with one or two signatures'],
      [JWS]: ['general serialization with two signatures', 'both serializations'],
    },
  },
  14: {
    what: 'base64 that is not canonical base64url',
    tests: {
      'jws-transport': ['base64 with padding, other letters, white space, NUL or loose bits'],
      [JWS]: ['spare bits that are not zero', 'NUL in base64url'],
    },
  },
  15: {
    what: 'ECDSA signatures in DER, of zeros, beyond n, mirrored',
    tests: {
      'jws-transport': [
        'an ECDSA signature in DER, of zeros, or beyond the order',
        'the mirrored ECDSA signature is no way round the nonce',
      ],
      [JWS]: ['with r = n', 'with s = n', 'in DER'],
    },
  },
  16: {
    what: 'signatures of another length',
    tests: {
      'jws-transport': ['a signature of 0, 63, 65 or 96 bytes, or of another request'],
      [JWS]: ['of 63 bytes', 'of 65 bytes', 'of 96 bytes'],
    },
  },
  17: {
    what: 'EC keys off the curve, at infinity, on other curves',
    tests: {
      'jws-transport': ['an account key off the curve, at infinity, or on another curve'],
      [JWK]: ['secp256k1 called P-256', 'a point off the curve', 'the point at infinity as zeros', 'P-521'],
    },
  },
  18: {
    what: 'weak RSA keys',
    tests: {
      'jws-transport': ['an RSA account key that is short, long, even, with a bad exponent or a known fault'],
      [JWK]: ['RSA 1024', 'RSA 16384', 'an even modulus'],
      'src/domain/weak-keys.test.ts': ['the product of two primes of the faulty generator has the fingerprint'],
    },
    missing: "Debian's weak keys of 2008: a list of 32,768 keys a size, which is not carried",
  },
  19: {
    what: 'private members in a JWK',
    tests: {
      'jws-transport': ['an account key with private members: refused by their name, never shown or logged'],
      [JWK]: ['a private member is named and its value is not'],
    },
  },
  20: {
    what: 'duplicate JSON keys',
    tests: {
      'jws-transport': ['a key twice in a JSON object: body, header or payload'],
      [JSON_READER]: ['a key twice', 'a key twice, once escaped', 'a key twice deep inside'],
    },
  },
  21: {
    what: '__proto__, constructor and their like',
    tests: {
      'jws-transport': [
        '__proto__ as a key anywhere',
        'names of what objects inherit, as keys, values, headers and parameters, mean nothing',
      ],
      [JSON_READER]: ['names of what objects inherit are members and nothing else', '__proto__ escaped'],
    },
  },
  22: {
    what: 'JSON bombs and bad Unicode',
    tests: {
      'jws-transport': ['JSON with ${what}: body, header or payload'],
      [JSON_READER]: [
        'depth is limited, and nothing is read past the limit',
        'members are limited over all objects, and nothing is read past the limit',
      ],
    },
  },
  23: {
    what: 'bodies that are too large, endless, of another type or compressed',
    tests: {
      'jws-transport': [
        'a body of the limit is read, one of a byte more is not',
        'a body declared as 1 GB is refused by its header',
        'a body poured without end, chunked or declared, is cut off at the limit',
        'chunks with endless extensions or sizes beyond a number',
        'another Content-Type',
        'a compressed body: a bomb of 106 bytes, or a good request, is not decoded',
      ],
    },
  },
  24: {
    what: 'HTTP that is bent or broken',
    tests: {
      'jws-transport': [
        'methods that a resource does not have',
        '${what}: no HTTP request, and the answer repeats nothing of it',
        'a path with ${what}: refused, and not repeated',
        'an absolute-form target names no other server: RFC 9112 has it read, and the URL still has to match',
        'an upgrade to HTTP/2 or WebSocket is not taken up',
        'a request without Host, and an expectation nobody can meet',
        'a sender that is slow with headers or body is cut off with 408',
        'the plain HTTP listener: methods, paths and bodies it has no use for',
      ],
    },
  },
  25: {
    what: 'payloads where none belongs, and none where one does',
    tests: {
      'jws-transport': [
        '{} instead of the empty payload where only reading is meant',
        'an empty payload, or one that is no object, where an object is needed',
      ],
    },
  },
  26: {
    what: 'no binding where one is required',
    tests: { accounts: ['newAccount without the binding that is required'] },
  },
  27: {
    what: 'bad external account bindings',
    tests: {
      accounts: [
        'a binding with ${what}',
        'a binding by a key that may bind one account, the second time',
        'a binding by a key that may bind one account, by many at once',
        'a binding by a key that was withdrawn',
      ],
    },
    missing: 'the key of another namespace: keys have no namespace yet',
  },
  28: {
    what: 'kids of bindings that are no names',
    tests: { accounts: ['a kid like a path, a Kubernetes name, a prototype or a novel'] },
  },
  29: {
    what: 'onlyReturnExisting, and one key under two issuers',
    tests: {
      accounts: [
        'onlyReturnExisting for a key nobody knows, with or without a binding',
        'the same key under a second issuer is another account, and no passport to the first',
      ],
    },
  },
  30: { what: 'bad contacts', tests: { accounts: ['contacts with ${what}: of a new account and of an old one'] } },
  31: {
    what: 'deactivated accounts',
    tests: {
      accounts: ['a deactivated account, on every route'],
      [REPLICAS]: ['31: a deactivated account is refused on every route by both replicas at once'],
    },
  },
  32: {
    what: 'bad key changes',
    tests: {
      accounts: [
        'a key change ${what}',
        'a key change to the key of another account is 409 with the URL of that account',
        'after a key change the old key is refused at once, everywhere, and never comes back',
      ],
      'test/conformance/d-key-change.test.ts': ['of two accounts that change to one key at once, one gets it'],
    },
    missing: 'the old key at another replica: as 31',
  },
  33: {
    what: '0, 101, 10 000 identifiers',
    tests: { orders: ['no identifiers, 101, 10 000, or too many characters'] },
  },
  34: { what: 'duplicates', tests: { orders: ['duplicates and other letters are one name, a trailing dot is none'] } },
  35: { what: 'wildcards', tests: { orders: ['a wildcard with ${what}', 'a wildcard of an address'] } },
  36: { what: 'characters no name has', tests: { orders: ['a name with ${what}'] } },
  37: { what: 'Unicode, xn--, lengths', tests: { orders: ['a name with ${what}'] } },
  38: {
    what: 'addresses in disguise, and where nobody lives',
    tests: {
      orders: [
        'an address as a dns name, in any notation',
        'an address in another than its canonical notation, or none',
        'an address that policy does not allow: unspecified, link-local, metadata, API server',
      ],
      'validation-targets': ['${type} of the address ${address}, which policy allows'],
    },
  },
  39: {
    what: 'other identifier types',
    tests: { orders: ['identifiers of another type', 'identifiers and values of another JSON type'] },
  },
  40: {
    what: "names of other namespaces' Services, short forms, nodes",
    tests: {
      orders: ['names that policy denies, one by one: subproblems name each of them and no other'],
      [REPLICAS]: [
        '40: Services of other namespaces, short forms and nodes that exist are denied at both replicas, each by its name',
      ],
    },
    missing: 'proof by a Service of the namespace: needs a cluster with Services',
  },
  41: {
    what: 'validity',
    tests: {
      orders: [
        'notBefore and notAfter that make no sense',
        'notAfter beyond the profile is refused at once, not shortened',
        'notBefore in the past is refused at once',
        'notAfter beyond the CA is never in a certificate',
      ],
    },
  },
  42: {
    what: 'profile and replaces',
    tests: {
      orders: [
        'a profile that is not offered',
        'replaces: what is no certificate, is unknown, of somebody else, or replaced already',
      ],
    },
  },
  43: {
    what: 'URLs of others, forged, swapped, from elsewhere',
    tests: {
      orders: [
        'order, finalize, authorization, challenge and certificate of another account',
        'a sealed URL with ${what} is unknown, each kind in the same words',
        'a sealed part under a URL of another kind or another issuer',
      ],
      'src/acme-server/keyring.test.ts': ['sealed text changed in any byte does not open'],
    },
  },
  44: {
    what: 'challenges posted twice, late, or not offered',
    tests: {
      orders: [
        'a challenge that is not offered, or of another type',
        'a challenge posted to many times at once is tried once, and after it is valid no more',
        'a challenge and finalize of an order that has expired',
      ],
    },
  },
  45: {
    what: 'finalize before its time, or again',
    tests: {
      orders: [
        'finalize of an order that is not ready, or only half',
        'finalize of a valid order with another CSR',
        'finalize with a csr that is no base64url of bytes',
      ],
    },
  },
  46: {
    what: 'finalize 50 times in parallel',
    tests: {
      orders: [
        'finalize 50 times in parallel: one certificate',
        'finalize 50 times in parallel with 50 keys: one certificate, for one of them',
      ],
      [REPLICAS]: ['46: of fifty finalizes in parallel over both replicas there is one certificate'],
    },
  },
  47: {
    what: 'CSR: names',
    tests: { csr: ['a CSR with ${what}'], [CSR]: ['two common names in one RDN', 'a common name of 65 characters'] },
  },
  48: {
    what: 'CSR: other kinds of names',
    tests: { csr: ['a CSR with ${what} beside the name'], [CSR]: ['an ediPartyName', 'a constructed dNSName'] },
  },
  49: {
    what: 'CSR: second SAN, second request, Microsoft',
    tests: { csr: ['a CSR with ${what}'], [CSR]: ['a second SAN extension', 'two values in an extension request'] },
  },
  50: {
    what: 'CSR: extensions',
    tests: {
      csr: ['a CSR with ${what}', 'a forged subject key identifier and a challengePassword are not in the certificate'],
      [CSR]: ['a path length without CA', 'keyUsage with trailing zeros', 'must-staple'],
    },
  },
  51: {
    what: 'CSR: signatures',
    tests: { csr: ['a CSR with a signature ${what}'], [CSR]: ['an ECDSA signature as r and s', 'an RSA-PSS key'] },
  },
  52: {
    what: 'CSR: keys of accounts, of the CA, compromised',
    tests: {
      csr: [
        'a CSR with the key of its account, or of another account',
        'a CSR with the key of the CA',
        'a CSR with a key that somebody revoked as compromised',
      ],
    },
  },
  53: {
    what: 'CSR: encodings',
    tests: {
      csr: [
        'a CSR with ${what}',
        'a CSR of a megabyte does not fit into a request',
        'after all of these the order gives its certificate, with its name and nothing else',
      ],
      [CSR]: ['10 000 nested SETs', '5000 values', 'an OID with an arc of 2^128', 'a megabyte'],
    },
  },
  54: {
    what: 'names at loopback, metadata, the API server, ourselves',
    tests: {
      'validation-targets': [
        '${type} of a name at ${what}',
        'http-01 of a name that is an alias of one at loopback',
        '${type} of the address ${address}, which policy allows',
      ],
      [DENIED]: ['any IPv4 address that is denied is denied in every IPv6 form of it'],
      [ALPN]: ['loopback is never asked by serve'],
    },
  },
  55: {
    what: 'DNS rebinding',
    tests: {
      'validation-targets': [
        'a name that is elsewhere at first and at loopback from then on: each attempt looks up and judges anew',
      ],
      validation: [
        'a name that moves once it was looked up: one look-up, and what was judged is what is dialled',
        'a name that moves between attempts',
        'a name that moves between redirects',
      ],
      [DIALER]: ['the name is looked up once and the address judged is the one dialled (rebinding, hostile input 55)'],
    },
  },
  56: {
    what: 'redirects',
    tests: {
      validation: [
        'a redirect to ${what}',
        'eleven redirects, where ten are followed',
        'redirects in a circle',
        'a redirect of an issuer that follows none',
      ],
      [HTTP]: [
        'to loopback are refused where the name itself is not there (hostile input 56)',
        'to https are followed without a look at the certificate',
      ],
      'src/validators/redirect.test.ts': ['a path of 2,000 bytes is the longest'],
    },
  },
  57: {
    what: 'responses that are large, slow, compressed or no HTTP',
    tests: {
      validation: ['a response ${what}'],
      [HTTP]: [
        '1,024 bytes are read, 1,025 are not, announced or not',
        'a second response after the first changes nothing',
      ],
    },
  },
  58: {
    what: 'values nearly right',
    tests: {
      validation: ['a key authorization ${what}', 'the right key authorization before ${what} is right'],
      [HTTP]: ['hostile input 58: values'],
    },
  },
  59: {
    what: 'DNS answers',
    tests: {
      validation: [
        'a TXT record of ${what}',
        'the right TXT record among hundreds of others is found',
        'the right TXT record at the name itself, or under another label',
        '${failure} for the TXT record, every time',
        'NXDOMAIN at first and then the right record',
        'a DNS that never answers',
        'addresses that are none: records of other types under the name of an A record',
      ],
      [DNS]: ['an alias loop', 'truncation without TCP', '1,001 records'],
      [RESOLVER]: [
        'a truncated answer is asked for again over TCP, up to 1,000 records and 64 kB',
        'records of wrong types, names and classes in an answer are ignored (CVE-2026-25518)',
      ],
    },
  },
  60: {
    what: 'tls-alpn-01 certificates',
    tests: {
      validation: [
        'tls-alpn-01 with ${variant}',
        'tls-alpn-01 of an address whose certificate has the reverse name, or another address',
        'tls-alpn-01 of a peer that speaks no TLS, or says nothing',
      ],
      [ALPN]: ['the name asked for is the name, or the reverse name of an address'],
    },
  },
  61: {
    what: 'a CA elsewhere that answers with another certificate, or with none',
    tests: {
      [CONTRACT]: ['an answer with wrong %s is never released', 'an answer that is %s is no answer'],
      [EJBCA]: [
        'wrong %s',
        'an answer that is %s',
        'a refusal ends the order, in words without the inside of EJBCA',
        'no secret stands in the log or in the audit log',
      ],
      'src/backends/ejbca/index.test.ts': [
        'the password is shown to nobody',
        'a certificate longer than approved is not released, whoever decides when it begins',
      ],
      'src/backends/ejbca/xml.test.ts': [
        'a document type',
        'an external entity',
        'any bytes at all end in an element or an XmlError',
      ],
      [UPSTREAM]: [
        'with wrong %s ends the order, is stored nowhere as valid, and is revoked',
        'an answer that is %s is asked for again, and one order comes to a certificate',
      ],
      [CERTBOT]: [
        'with wrong %s ends the order, is stored nowhere as valid, and is revoked',
        'an answer that is %s is none',
        'after an answer that was none the next one may be',
      ],
      'src/backends/certbot/child-runner.test.ts': ['what certbot says of a Secret is passed on without it'],
      'src/issuance/verify.test.ts': ['a chain that is cut (hostile input 61)'],
      'test/operator/remote.test.ts': ['a certificate with wrong %s is not released but revoked'],
    },
  },
  62: {
    what: 'an ACME server elsewhere with hostile tokens, URLs and nonces, and that never ends',
    tests: {
      [ACME]: [
        'a token %j is never answered',
        'whose %s is at %s is not followed',
        'whose nonces are none',
        'stuck in processing is waited for, again and again, and is one',
        'whose directory is on loopback is not dialled',
      ],
      'test/upstream/pebble.test.ts': ['nonces refused, in percent: %s'],
      'test/upstream/operator.test.ts': ['an issuer of a tenant is never sent to %s'],
      [CERTBOT]: [
        'a token %s is never answered',
        'nonces that are refused at a rate of nine in ten are no refusal: it is tried again',
        'an order that stays in processing is no refusal: it is tried again',
        'a directory that leads elsewhere begins nothing',
      ],
      'src/backends/certbot/child-runner.test.ts': ['hands on nothing that is no answer: %j'],
      'src/backends/certbot/index.test.ts': ['%s are not laid out'],
      'src/api/certbot-backend.test.ts': ['a CAIssuer does not run certbot'],
    },
  },
};

const sources = new Map<string, string>();
const sourceOf = (path: string): string => {
  const known = sources.get(path) ?? readFileSync(join(ROOT, path), 'utf8');
  sources.set(path, known);
  return known;
};

/** Whether the text is a whole string literal of the file. */
const hasTitle = (path: string, title: string): boolean =>
  ["'", '"', '`'].some((quote) => sourceOf(path).includes(quote + title + quote));

interface Defined {
  file: string;
  number: number;
  title: string;
}

/** Every test that the files of this folder define, by the number of its input. */
function defined(): Defined[] {
  const files = readdirSync(import.meta.dirname).filter((name) => /^(?!coverage).*\.test\.ts$/.test(name));
  return files.flatMap((name) => {
    const calls = sourceOf(`test/hostile/${name}`).matchAll(/\b(?:input|validation)\(\s*(\d+),\s*(['"`])(.*?)\2,/gs);
    return [...calls].map(([, number, , title = '']) => ({ file: name.slice(0, -8), number: Number(number), title }));
  });
}

test('every input from 1 to 62 has a test', () => {
  expect(Object.keys(INPUTS).map(Number)).toEqual(Array.from({ length: 62 }, (_, index) => index + 1));
  const empty = Object.entries(INPUTS).filter(([, { tests }]) => Object.values(tests).flat().length === 0);
  expect(empty).toEqual([]);
});

test('every title in the table exists', () => {
  const own = new Set(defined().map(({ file, title }) => `${file} ${title}`));
  const lost = Object.entries(INPUTS).flatMap(([number, { tests }]) =>
    Object.entries(tests).flatMap(([file, titles]) =>
      titles
        .filter((title) => (file.includes('/') ? !hasTitle(file, title) : !own.has(`${file} ${title}`)))
        .map((title) => `${number} ${file}: ${title}`),
    ),
  );
  expect(lost).toEqual([]);
});

test('every test of this folder is in the table, under its number', () => {
  const all = defined();
  expect(all.length).toBeGreaterThan(100);
  const unlisted = all.filter(({ file, number, title }) => !INPUTS[number]?.tests[file]?.includes(title));
  expect(unlisted).toEqual([]);
});

test('a title that does not exist is noticed', () => {
  expect(hasTitle(JWS, 'none')).toBe(true);
  expect(hasTitle(JWS, 'no such title')).toBe(false);
  expect(defined()).toContainEqual({ file: 'csr', number: 52, title: 'a CSR with the key of the CA' });
});
