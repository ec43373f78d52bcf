import { generateKeyPairSync } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anIssuer, createMemorySecrets, type MemorySecrets } from '../../../test/contract/authorities.ts';
import {
  backendContract,
  type BackendUnderTest,
  remoteBackendContract,
  type RemoteUnderTest,
} from '../../../test/contract/backend.ts';
import { aSigningRequest } from '../../../test/contract/models.ts';
import { createFakeClock } from '../../../test/fakes/clock.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { type AcmeDouble, startAcmeDouble } from '../../../test/support/acme-double.ts';
import { stubResolver } from '../../../test/support/validation.ts';
import { RAW } from '../../../test/support/webhook-signer-words.ts';
import type { AcmeBackendSpec } from '../../api/acme-backend.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { createDenyList } from '../../domain/deny-list.ts';
import { Problem } from '../../domain/problem.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import type { Backend, BackendDeps, ProofTools, SigningOutcome, SigningRequest } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { createJudgedAddresses } from '../../validators/judged-addresses.ts';
import { acmeBackend } from './index.ts';

const none = new AbortController().signal;
let double: AcmeDouble;

beforeAll(async () => {
  double = await startAcmeDouble();
});

afterAll(() => double.server.stop());

beforeEach(() => double.reset());

/** Finds every answer laid out. */
const SEEING: ProofTools = {
  validators: {
    'http-01': { validate: () => Promise.resolve({ valid: true, addresses: [] }) },
    'dns-01': { validate: () => Promise.resolve({ valid: true, addresses: [] }) },
  },
  resolver: () => stubResolver({}),
  dnsUpdater: { add: () => Promise.reject(new Error('no')), remove: () => Promise.reject(new Error('no')) },
};

interface Made {
  backend: Backend;
  secrets: MemorySecrets;
  /** What is on record, by id. */
  kept: Map<string, { handle: string; answers: readonly string[] }>;
  /** DER of the CSR, by id. */
  csrs: Map<string, Buffer>;
}

const specOf = (more: Partial<AcmeBackendSpec> = {}): AcmeBackendSpec => ({
  directory: double.directory,
  caBundle: double.caBundle,
  trustAnchors: double.root,
  account: { keySecretRef: { name: 'account' } },
  ...more,
});

/** With a record for each request, as the program has. */
function make(more: Partial<AcmeBackendSpec> = {}, deps: Partial<BackendDeps> = {}): Made {
  const secrets = createMemorySecrets();
  const kept: Made['kept'] = new Map();
  const csrs: Made['csrs'] = new Map();
  const acme = specOf(more);
  const all = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined, ...deps };
  const own = acmeBackend.create({ proof: SEEING, ...all }, anIssuer({ acme }), { acme });
  const backend: Backend = {
    ...own,
    sign(request, signal) {
      csrs.set(request.id, request.csr);
      const handle = request.handle ?? kept.get(request.id)?.handle;
      const keep = async (next: string, answers: readonly string[] = []) =>
        void kept.set(request.id, { handle: next, answers });
      return own.sign({ ...request, ...(handle === undefined ? {} : { handle }), keep }, signal);
    },
  };
  return { backend, secrets, kept, csrs };
}

function underTest(): BackendUnderTest & { remote: RemoteUnderTest } {
  const made = make();
  const set = (change: Partial<AcmeDouble['behaviour']>) => {
    double.reset();
    Object.assign(double.behaviour, change);
    return Promise.resolve();
  };
  const remote: RemoteUnderTest = {
    live: (id) =>
      Promise.resolve(
        double.orders.filter(({ csr, isRevoked }) => !isRevoked && csr?.equals(made.csrs.get(id) ?? Buffer.alloc(0)))
          .length,
      ),
    loseAnswer: () => set({ lose: /^\/finalize/ }),
    pend: (holds) => set({ holds }),
    overload: (seconds) => set({ refuse: { path: /./, status: 503, headers: { 'Retry-After': String(seconds) } } }),
    answerWrongly: (how) => set(isRaw(how) ? { raw: how } : { wrong: how }),
    behaveWell: () => set({}),
  };
  return {
    backend: made.backend,
    trustRoots: parsePemCertificates(double.root),
    refused: aSigningRequest({ names: { dnsNames: ['refused.example.test'] } }),
    fail: () => double.server.stop(),
    recover: () => double.server.start(),
    remote,
  };
}

const isRaw = (how: string): how is (typeof RAW)[number] => (RAW as readonly string[]).includes(how);

backendContract('acme', async () => underTest());
remoteBackendContract('acme', async () => underTest(), { resumesBy: 'record' });

/** Call after call, as the program makes them. */
async function settle({ backend }: Made, request: SigningRequest): Promise<SigningOutcome> {
  for (let round = 0; round < 200; round++) {
    const outcome = await backend.sign(request, none);
    if (outcome.kind !== 'pending') return outcome;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it was never decided');
}

/** What comes of one call. */
async function said({ backend }: Made, request: SigningRequest = aSigningRequest()): Promise<string> {
  const outcome = await backend.sign(request, none).catch((error: Error) => error);
  if (outcome instanceof Error) {
    expect(outcome).toBeInstanceOf(Unavailable);
    return `throws ${outcome.message}`;
  }
  return outcome.kind === 'refused' ? `refused ${outcome.problem.message}` : outcome.kind;
}

const ordersOf = ({ csr }: SigningRequest) => double.orders.filter((order) => order.csr?.equals(csr));
const named = (...dnsNames: string[]) => aSigningRequest({ names: { dnsNames } });

describe('the account', () => {
  test('is one, made once, whose key is in the Secret', async () => {
    const before = double.accounts.length;
    const { backend, secrets } = make();
    await Promise.all([backend.sign(aSigningRequest(), none), backend.sign(aSigningRequest(), none)]);
    expect(await backend.check(none)).toMatchObject({ ready: true });
    expect(double.accounts.length - before).toBe(1);
    expect(secrets.values.get('account')?.['account.key']?.toString()).toContain('-----BEGIN PRIVATE KEY-----');
  });

  test('names whom the CA may write to', async () => {
    const { backend } = make({ account: { keySecretRef: { name: 'account' }, contacts: ['pki@example.test'] } });
    await backend.check(none);
    expect(double.accounts.at(-1)?.body).toMatchObject({ contact: ['mailto:pki@example.test'] });
  });

  test.each(['rsa', 'ed25519', 'P-384'])('may have a key of %s that was there before', async (kind) => {
    const { privateKey } =
      kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : kind === 'ed25519'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const made = make();
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    made.secrets.values.set('account', { 'account.key': Buffer.from(pem) });
    expect((await settle(made, aSigningRequest())).kind).toBe('issued');
    expect(made.secrets.values.get('account')?.['account.key']?.toString()).toBe(pem);
  });

  test('changes its key and stays the same, once', async () => {
    const made = make();
    await settle(made, aSigningRequest());
    const before = double.accounts.length;
    const [url, thumbprint] = [double.accounts.at(-1)?.url, double.accounts.at(-1)?.thumbprint];
    const account = { keySecretRef: { name: 'account-2' }, previousKeySecretRef: { name: 'account' } };
    for (let round = 0; round < 2; round++) {
      const next = make({ account }, { secrets: made.secrets });
      expect((await settle(next, aSigningRequest())).kind).toBe('issued');
    }
    expect(double.accounts).toHaveLength(before);
    expect(double.accounts.at(-1)?.url).toBe(url);
    expect(double.accounts.at(-1)?.thumbprint).not.toBe(thumbprint);
  });

  test('is registered anew where the server has forgotten it', async () => {
    const made = make();
    await settle(made, aSigningRequest());
    double.accounts.pop();
    expect(await said(made)).toContain('accountDoesNotExist');
    expect((await settle(made, aSigningRequest())).kind).toBe('issued');
  });

  test.each<[string, Record<string, Record<string, string>>, Partial<AcmeBackendSpec>, string]>([
    ['a Secret without the key', { account: { other: 'x' } }, {}, 'SecretKeyMissing'],
    ['a key that is none', { account: { 'account.key': 'x' } }, {}, 'SecretUnusable'],
    [
      'no Secret for the previous key',
      {},
      { account: { keySecretRef: { name: 'account' }, previousKeySecretRef: { name: 'gone' } } },
      'SecretMissing',
    ],
    [
      'a MAC key that is none',
      { eab: { mac: '!!!' } },
      {
        account: {
          keySecretRef: { name: 'account' },
          externalAccountBinding: { keyID: 'k', secretRef: { name: 'eab', key: 'mac' } },
        },
      },
      'SecretUnusable',
    ],
  ])('%s is said so', async (_, secrets, spec, reason) => {
    const { backend } = make(spec, { secrets: createMemorySecrets(secrets) });
    expect(await backend.check(none)).toMatchObject({ ready: false, reason });
    await expect(backend.sign(aSigningRequest(), none)).rejects.toMatchObject({ reason });
  });
});

describe('what the server refuses', () => {
  const problem = (type: string, detail = 'no') => ({ type: `urn:ietf:params:acme:error:${type}`, detail });

  test.each<[string, number, object | undefined, string]>([
    [
      'rejectedIdentifier is for good',
      403,
      problem('rejectedIdentifier'),
      'refused rejectedIdentifier: the CA refused the request: no',
    ],
    ['so is caa', 403, problem('caa'), 'refused caa: the CA refused the request: no'],
    [
      'so is malformed, as what it is to the client',
      400,
      problem('malformed'),
      'refused unauthorized: the CA refused the request: no',
    ],
    [
      'so is a type that nobody knows',
      403,
      problem('policyViolation'),
      'refused unauthorized: the CA refused the request: no',
    ],
    [
      'our account is ours to mend',
      403,
      problem('userActionRequired'),
      'throws the ACME server refuses our requests (userActionRequired): no',
    ],
    ['our nonces are', 400, problem('badNonce'), 'throws the ACME server refuses every nonce of its own'],
    [
      'serverInternal is transient',
      500,
      problem('serverInternal'),
      'throws the ACME server answered with HTTP status 500 to a request of ours: no',
    ],
    [
      'what is no problem document is transient',
      404,
      { detail: 'no' },
      'throws the ACME server answered with HTTP status 404 to a request of ours: no',
    ],
    [
      'a redirect is not followed',
      302,
      undefined,
      'throws the ACME server answered with HTTP status 302 to a request of ours',
    ],
  ])('%s', async (_, status, body, outcome) => {
    double.behaviour.refuse = { path: /^\/newOrder/, status, ...(body ? { problem: body } : {}) };
    expect(await said(make())).toBe(outcome);
  });

  test('of several names, the first that it names is passed on', async () => {
    const subproblems = [{ ...problem('caa', 'a.test forbids it'), identifier: { type: 'dns', value: 'a.test' } }];
    double.behaviour.refuse = { path: /^\/newOrder/, status: 403, problem: { ...problem('compound'), subproblems } };
    expect(await said(make())).toBe('refused caa: the CA refused the request: a.test forbids it');
  });

  test('a CSR at finalize', async () => {
    double.behaviour.refuse = { path: /^\/finalize/, status: 400, problem: problem('badCSR', 'weak key') };
    expect(await said(make())).toBe('refused badCSR: the CA refused the request: weak key');
  });

  test('is shown on one line, cut, and without what a terminal obeys', async () => {
    const detail = `line\r\n\u001b[31mred \u202e${'x'.repeat(5000)}`;
    double.behaviour.refuse = { path: /^\/newOrder/, status: 403, problem: problem('caa', detail) };
    const shown = await said(make());
    expect(shown).toMatch(/^refused caa: the CA refused the request: line\\u000d\\u000a\\u001b\[31mred \\u202ex+…$/);
    expect(shown.length).toBeLessThan(500);
  });

  test('names that ACME has not', async () => {
    const request = aSigningRequest({ names: { uris: ['spiffe://a/b'] } });
    expect(await said(make(), request)).toBe(
      'refused unsupportedIdentifier: the CA of this issuer signs DNS names and IP addresses only',
    );
  });
});

describe('an issuer is not ready', () => {
  const tsig = { keyName: 'k', secretRef: { name: 'dns', key: 'tsig' } };
  const rfc2136 = { nameserver: '192.0.2.1', tsig };
  const acmeDNS = { url: 'https://dns.test', accountsSecretRef: { name: 'dns', key: 'accounts' } };
  const webhook = { url: 'https://dns.test', hmac: { secretRef: { name: 'dns', key: 'hmac' } } };

  test.each<[string, Partial<AcmeBackendSpec>, string]>([
    ['for a profile that the server has not', { profile: 'none' }, 'ProfileUnknown'],
    [
      'without the Secret of rfc2136',
      { dns01: { rfc2136: { ...rfc2136, tsig: { ...tsig, secretRef: { name: 'gone', key: 'x' } } } } },
      'SecretMissing',
    ],
    ['with a TSIG key that is none', { dns01: { rfc2136 } }, 'SecretUnusable'],
    ['with accounts of acme-dns that are none', { dns01: { acmeDNS } }, 'SecretUnusable'],
    ['with a shared key that is too short', { dns01: { webhook } }, 'KeyTooShort'],
  ])('%s', async (_, spec, reason) => {
    const secrets = createMemorySecrets({ dns: { tsig: '!', accounts: '[]', hmac: 'short' } });
    expect(await make(spec, { secrets }).backend.check(none)).toMatchObject({ ready: false, reason });
  });
});

describe('a rate limit', () => {
  const limited = (retryAfter?: string) => ({
    path: /^\/newOrder/,
    status: 429,
    problem: { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many of these' },
    ...(retryAfter === undefined ? {} : { headers: { 'Retry-After': retryAfter } }),
  });
  const asked = () => double.server.requests.filter(({ path }) => path === '/newOrder').length;

  test('that ends soon is waited for, and the server is not asked before', async () => {
    const clock = createFakeClock();
    const made = make({}, { clock });
    const request = named('limited.example.test');
    double.behaviour.refuse = limited('120');
    const before = asked();
    expect(await made.backend.sign(request, none)).toMatchObject({ kind: 'pending', retryAfterMs: 120_000 });
    double.reset();
    await clock.advance(60_000);
    // The same names in another request: a duplicate, to the server.
    expect(await made.backend.sign(named('limited.example.test'), none)).toMatchObject({
      kind: 'pending',
      retryAfterMs: 60_000,
    });
    expect(asked() - before).toBe(1);
    expect((await made.backend.sign(named('other.example.test'), none)).kind).toBe('issued');
    await clock.advance(60_001);
    await made.backend.sign(request, none);
    expect(asked() - before).toBe(3);
  });

  test.each(['86400', '999999999', 'Fri, 31 Dec 2999 23:59:59 GMT'])(
    'that ends late (%s) is told, with a time that has a ceiling, and remembered',
    async (retryAfter) => {
      const made = make();
      double.behaviour.refuse = limited(retryAfter);
      const before = asked();
      const name = `late-${retryAfter.length}.example.test`;
      const outcomes = [await said(made, named(name)), await said(made, named(name))];
      for (const outcome of outcomes)
        expect(outcome).toMatch(
          /^refused rateLimited: the CA takes no orders for these names before \d{4}-[\dT:-]+Z: too many of these$/,
        );
      const until = new Date(/before (\S+Z)/.exec(outcomes[0] ?? '')?.[1] ?? 0).getTime();
      expect(until - Date.now()).toBeLessThanOrEqual(3_600_000);
      expect(asked() - before).toBe(1);
    },
  );
});

describe('challenges', () => {
  const withChallenges = (more: Partial<AcmeDouble['behaviour']> = {}) =>
    Object.assign(double.behaviour, { challenges: ['http-01', 'dns-01', 'vendor-01'], ...more });

  test('are answered from the record before the server is told', async () => {
    const made = make();
    const request = named('a.example.test', 'b.example.test');
    const seen: (readonly string[])[] = [];
    withChallenges({
      judge: async () => {
        seen.push(made.kept.get(request.id)?.answers ?? []);
        return undefined;
      },
    });
    expect((await settle(made, request)).kind).toBe('issued');
    const [order] = ordersOf(request);
    const tokens = order?.authorizations.map(({ challenges }) => challenges[0]?.token);
    const answers = tokens?.map((token) => `${token}.${double.accounts.at(-1)?.thumbprint}`);
    expect(seen).toEqual([answers, answers]);
  });

  test('are not told before our own look finds the answer', async () => {
    let found = false;
    const validate = async () =>
      found
        ? ({ valid: true, addresses: [] } as const)
        : ({ valid: false, problem: new Problem('connection', 'not yet'), retryable: true, addresses: [] } as const);
    const validators = { 'http-01': { validate }, 'dns-01': { validate } };
    const made = make({}, { proof: { ...SEEING, validators } });
    withChallenges();
    const request = aSigningRequest();
    for (let round = 0; round < 3; round++)
      expect(await made.backend.sign(request, none)).toMatchObject({ kind: 'pending', retryAfterMs: 2000 });
    const statuses = () => double.orders.at(-1)?.authorizations[0]?.challenges.map(({ status }) => status);
    expect(statuses()).toEqual(['pending', 'pending', 'pending']);
    found = true;
    expect((await settle(made, request)).kind).toBe('issued');
  });

  test('a name that our own look never finds is refused, and what is pending is deactivated', async () => {
    const validate = async () =>
      ({ valid: false, problem: new Problem('connection', 'nobody there'), retryable: true, addresses: [] }) as const;
    const clock = createFakeClock();
    const proof = { ...SEEING, validators: { 'http-01': { validate }, 'dns-01': { validate } } };
    const made = make({ preCheck: { timeout: '30s' } }, { proof, clock });
    withChallenges();
    const request = aSigningRequest();
    expect((await made.backend.sign(request, none)).kind).toBe('pending');
    await clock.advance(31_000);
    expect(await said(made, request)).toBe('refused unauthorized: before the CA was to look by http-01: nobody there');
    expect(double.orders.at(-1)?.authorizations.map(({ status }) => status)).toEqual(['deactivated']);
  });

  test('that the CA holds for failed end the request in its words; the other authorization is deactivated', async () => {
    const made = make();
    withChallenges({
      judge: async (_type, name) =>
        name === 'a.example.test' ? { type: 'connection', detail: 'Fetching\r\nit failed' } : undefined,
    });
    // The second is never told of: its look finds nothing.
    const outcome = await settle(made, named('a.example.test'));
    expect(outcome).toMatchObject({
      kind: 'refused',
      problem: {
        type: 'unauthorized',
        detail: 'the CA could not validate a.example.test by http-01: Fetching\\u000d\\u000ait failed',
      },
    });
  });

  test.each([
    ['../../x'],
    ['$(id)'],
    ['a\r\nX-Header: 1'],
    ['short'],
    ['x'.repeat(10_000)],
    ['%2e%2e%2f%2e%2e%2fetc%2fpasswd'],
    [''],
    ['<script>alert(1)</script>'],
  ])('a token %j is never answered', async (token) => {
    const made = make();
    withChallenges({ token: () => token });
    const request = aSigningRequest();
    expect(await said(made, request)).toBe(
      'refused unauthorized: the CA offers no challenge for db.example.test that this issuer can meet or has not tried',
    );
    expect(made.kept.get(request.id)?.answers).toEqual([]);
    expect(double.orders.at(-1)?.authorizations.map(({ status }) => status)).toEqual(['deactivated']);
  });

  test('of types that nobody knows do no harm where the authorization is valid already', async () => {
    expect((await settle(make(), aSigningRequest())).kind).toBe('issued');
  });

  test('an authorization for a name that is not in the order is not met', async () => {
    const made = make();
    withChallenges();
    const request = aSigningRequest();
    const keep = async () => {
      const [authorization] = double.orders.at(-1)?.authorizations ?? [];
      if (authorization) authorization.identifier = { type: 'dns', value: 'admin.example.test' };
    };
    const own = acmeBackend.create(
      { proof: SEEING, secrets: made.secrets, clock: createClock(), random: createFakeRandom(), urls: undefined },
      anIssuer({ acme: specOf() }),
      { acme: specOf() },
    );
    await expect(own.sign({ ...request, keep }, none)).rejects.toThrow('wants a name proved that is not in the order');
  });
});

describe('an order', () => {
  test('stuck in processing is waited for, again and again, and is one', async () => {
    const clock = createFakeClock();
    const made = make({}, { clock });
    double.behaviour.holds = 50;
    const request = aSigningRequest();
    const waits: number[] = [];
    for (let round = 0; round < 20; round++) {
      const outcome = await made.backend.sign(request, none);
      waits.push(outcome.kind === 'pending' ? outcome.retryAfterMs : NaN);
      await clock.advance(180_000);
    }
    // The longer it takes, the later it is asked again; an hour of it is still no refusal.
    expect(waits.slice(0, 3)).toEqual([500, 45_000, 60_000]);
    expect(new Set(waits.slice(2))).toEqual(new Set([60_000]));
    double.orders.at(-1)!.holds = 0;
    expect((await made.backend.sign(request, none)).kind).toBe('issued');
    expect(ordersOf(request)).toHaveLength(1);
  });

  test.each([
    ['caa', 'caa'],
    ['serverInternal', 'unauthorized'],
  ])('that the server ends for %s ends the request, and is not made again', async (type, told) => {
    const made = make();
    double.behaviour.holds = 50;
    const request = aSigningRequest();
    await made.backend.sign(request, none);
    const error = { type: `urn:ietf:params:acme:error:${type}`, detail: 'it\nmay not' };
    Object.assign(double.orders.at(-1) ?? {}, { status: 'invalid', error });
    const before = double.orders.length;
    expect(await said(made, request)).toBe(
      `refused ${told}: the CA ended the order without a certificate: it\\u000amay not`,
    );
    expect(double.orders).toHaveLength(before);
  });

  test('that the server has forgotten is made anew', async () => {
    const made = make();
    double.behaviour.holds = 50;
    const request = aSigningRequest();
    await made.backend.sign(request, none);
    double.orders.pop();
    double.reset();
    expect((await settle(made, request)).kind).toBe('issued');
  });

  test('that nobody waits for is given up', async () => {
    const made = make();
    double.behaviour.challenges = ['http-01'];
    const spec = specOf();
    const own = acmeBackend.create(
      { proof: SEEING, secrets: made.secrets, clock: createClock(), random: createFakeRandom(), urls: undefined },
      anIssuer({ acme: spec }),
      { acme: spec },
    );
    const keep = () => Promise.reject(new Unavailable('it was withdrawn'));
    await expect(own.sign({ ...aSigningRequest(), keep }, none)).rejects.toThrow('it was withdrawn');
    expect(double.orders.at(-1)?.authorizations.map(({ status }) => status)).toEqual(['deactivated']);
  });

  test('names what it replaces, where the server takes that', async () => {
    const made = make();
    const replaces = { authorityKeyID: '69885b6b87464041e1b37b847bd0ae2c', serial: '9b8a0a1c' };
    await made.backend.sign({ ...aSigningRequest(), replaces }, none);
    expect(double.orders.at(-1)?.replaces).toBeUndefined();
    double.behaviour.directory = { renewalInfo: `${double.server.url}/ari` };
    await made.backend.check(none);
    await made.backend.sign({ ...aSigningRequest(), replaces }, none);
    // RFC 9773 section 4.1: the content octets of the serial number, with their sign.
    expect(double.orders.at(-1)?.replaces).toBe('aYhba4dGQEHhs3uEe9CuLA.AJuKChw');
  });

  test('goes on with a handle that is none of ours as without', async () => {
    const { backend } = make();
    for (const handle of ['', 'x', '{}', '[]', 'https://signer.test/poll', '{"server":1,"attempt":"x"}'])
      expect((await backend.sign({ ...aSigningRequest(), handle }, none)).kind).toBe('issued');
  });

  test('is never looked for at another server than its own', async () => {
    const { backend } = make();
    const handle = JSON.stringify({
      server: double.directory,
      order: 'https://169.254.169.254/latest',
      attempt: 0,
      since: 0,
    });
    await expect(backend.sign({ ...aSigningRequest(), handle }, none)).rejects.toThrow('at no server of ours');
  });
});

describe('when to renew', () => {
  async function leafOf(made: Made): Promise<Buffer> {
    const outcome = await settle(made, aSigningRequest());
    return outcome.kind === 'issued' ? (outcome.chain[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
  }

  test('is asked of the server by the id of the certificate', async () => {
    double.behaviour.renewal = new Date('2026-02-03T04:05:06Z');
    const made = make();
    const leaf = await leafOf(made);
    expect(await made.backend.renewalInfo?.(leaf, none)).toEqual(double.behaviour.renewal);
    const { authorityKeyIdentifier, serial } = parseCertificate(leaf);
    const [aki, number] = (double.server.requests.at(-1)?.path.split('/').at(-1) ?? '').split('.');
    expect(Buffer.from(aki ?? '', 'base64url')).toEqual(authorityKeyIdentifier);
    expect(
      Buffer.from(number ?? '', 'base64url')
        .toString('hex')
        .replace(/^00/, ''),
    ).toBe(serial);
  });

  test('is not known of a server without ARI, or that does not know the certificate', async () => {
    const made = make();
    const leaf = await leafOf(made);
    expect(await made.backend.renewalInfo?.(leaf, none)).toBeUndefined();
    double.behaviour.renewal = new Date();
    await made.backend.check(none);
    double.behaviour.refuse = { path: /^\/renewal-info/, status: 404 };
    expect(await made.backend.renewalInfo?.(leaf, none)).toBeUndefined();
  });

  test.each([
    [{}],
    [{ suggestedWindow: [] }],
    [{ suggestedWindow: { start: 'soon', end: 'later' } }],
    [{ suggestedWindow: { start: '2026-02-03T04:05:06Z', end: '2026-02-03T04:05:06Z' } }],
    [{ suggestedWindow: { start: 7, end: 8 } }],
  ])('is not believed of %j', async (problem) => {
    double.behaviour.renewal = new Date();
    const made = make();
    const leaf = await leafOf(made);
    double.behaviour.refuse = { path: /^\/renewal-info/, status: 200, problem };
    await expect(made.backend.renewalInfo?.(leaf, none)).rejects.toThrow('suggests no window for a renewal');
  });
});

describe('a hostile server', () => {
  test.each([
    ['newNonce', 'https://127.0.0.1:1/nonce'],
    ['newAccount', 'https://169.254.169.254/latest/meta-data'],
    ['newOrder', 'http://127.0.0.1/order'],
    ['newOrder', 'file:///etc/passwd'],
    ['keyChange', 'https://user:password@elsewhere.test/'],
    ['revokeCert', 7],
    ['newOrder', undefined],
  ])('whose %s is at %s is not followed', async (member, url) => {
    double.behaviour.directory = { [member]: url };
    const made = make();
    expect(await said(made)).toBe(`throws the ACME server names a URL for ${member} that is not its own`);
    expect(await made.backend.check(none)).toMatchObject({ ready: false, reason: 'BadAnswer' });
  });

  test.each<[string, number, unknown, string]>([
    ['HTML', 200, '<html>', 'sent no JSON for its directory'],
    ['a list', 200, [], 'sent no JSON object for its directory'],
    ['100 levels', 200, `${'['.repeat(100)}${']'.repeat(100)}`, 'sent no JSON for its directory'],
  ])('whose directory is %s', async (_, status, body, words) => {
    double.behaviour.refuse = { path: /^\/dir/, status, problem: body as object };
    expect(await said(make())).toBe(`throws the ACME server ${words}`);
  });

  test('whose nonces are none', async () => {
    double.behaviour.refuse = { path: /^\/newNonce/, status: 200, headers: { 'Replay-Nonce': '../../x' } };
    expect(await said(make())).toContain('gives no nonce');
  });

  test('that wants terms agreed to in words that a terminal obeys', async () => {
    double.behaviour.meta = { termsOfService: `https://ca.test/\r\n\u001b[31m${'x'.repeat(9000)}` };
    const { message, reason } = await make().backend.check(none);
    expect(reason).toBe('TermsOfServiceNotAgreed');
    expect(message).toContain('https://ca.test/\\u000d\\u000a\\u001b[31m');
    expect(message.length).toBeLessThan(2600);
  });

  test('an abort in the middle of a step ends it', async () => {
    const over = new AbortController();
    const { backend } = make();
    double.behaviour.challenges = ['http-01'];
    const signing = backend.sign(
      {
        ...aSigningRequest(),
        handle: JSON.stringify({
          server: double.directory,
          order: `${double.server.url}/order/1`,
          attempt: 0,
          since: 0,
        }),
      },
      over.signal,
    );
    over.abort(new Error('over'));
    await expect(signing).rejects.toThrow('over');
  });
});

describe('a backup', () => {
  let other: AcmeDouble;

  beforeAll(async () => {
    other = await startAcmeDouble();
  });

  afterAll(() => other.server.stop());

  afterEach(() => double.server.start().catch(() => undefined));

  const withBackup = (more: Partial<BackendDeps> = {}) =>
    make(
      {
        trustAnchors: double.root + other.root,
        backup: {
          directory: other.directory,
          caBundle: other.caBundle,
          account: { keySecretRef: { name: 'backup-account' } },
          after: '30s',
        },
      },
      more,
    );

  test('signs once the first has been away for long, and no more when it is back', async () => {
    const clock = createFakeClock();
    const made = withBackup({ clock });
    expect(await made.backend.check(none)).toMatchObject({ ready: true, reason: 'Ready' });
    await double.server.stop();
    const request = aSigningRequest();
    await expect(made.backend.sign(request, none)).rejects.toThrow('cannot be reached');
    await clock.advance(31_000);
    expect((await settle(made, request)).kind).toBe('issued');
    expect(other.orders.filter(({ csr }) => csr?.equals(request.csr))).toHaveLength(1);
    expect(await made.backend.check(none)).toMatchObject({
      ready: true,
      reason: 'OnBackup',
      message: expect.stringContaining('the backup answers; the ACME server cannot be reached'),
    });
    await double.server.start();
    await made.backend.check(none);
    const second = aSigningRequest();
    expect((await settle(made, second)).kind).toBe('issued');
    expect(ordersOf(second)).toHaveLength(1);
  });

  test('takes over an order that the first has not been told to sign, and none other', async () => {
    const clock = createFakeClock();
    const made = withBackup({ clock });
    const [open, sent] = [aSigningRequest(), aSigningRequest()];
    double.behaviour.challenges = ['http-01'];
    double.behaviour.judge = () => new Promise(() => undefined);
    expect((await made.backend.sign(open, none)).kind).toBe('pending');
    double.reset();
    double.behaviour.holds = 99;
    expect((await made.backend.sign(sent, none)).kind).toBe('pending');
    await double.server.stop();
    await expect(made.backend.sign(open, none)).rejects.toThrow('cannot be reached');
    await clock.advance(31_000);
    expect((await settle(made, open)).kind).toBe('issued');
    await expect(made.backend.sign(sent, none)).rejects.toThrow('cannot be reached');
    expect(other.orders.some(({ csr }) => csr?.equals(sent.csr))).toBe(false);
    await double.server.start();
    double.orders.find(({ csr }) => csr?.equals(sent.csr))!.holds = 0;
    expect((await settle(made, sent)).kind).toBe('issued');
  });

  test('revokes what it signed', async () => {
    const clock = createFakeClock();
    const made = withBackup({ clock });
    await double.server.stop();
    const request = aSigningRequest();
    await made.backend.sign(request, none).catch(() => undefined);
    await clock.advance(31_000);
    const outcome = await settle(made, request);
    await double.server.start();
    const leaf = outcome.kind === 'issued' ? (outcome.chain[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const entry = { serial: '0a', revokedAt: new Date(), reason: 4 };
    expect(await made.backend.revoke?.(request.id, leaf, entry, none)).toEqual({ kind: 'revoked' });
    expect(other.orders.find(({ csr }) => csr?.equals(request.csr))?.isRevoked).toBe(true);
  });

  test('that is away itself is said so, and does no harm', async () => {
    const made = withBackup();
    await other.server.stop();
    const health = await made.backend.check(none);
    await other.server.start();
    expect(health).toMatchObject({
      ready: true,
      reason: 'Ready',
      message: expect.stringContaining('the backup cannot be used: the ACME server cannot be reached'),
    });
  });
});

describe('an issuer of a tenant', () => {
  test('dials the addresses that were judged, and looks nothing up itself', async () => {
    const asked: string[] = [];
    const addressesOf = async (host: string) => {
      asked.push(host);
      return ['127.0.0.1'];
    };
    expect((await settle(make({}, { addressesOf }), aSigningRequest())).kind).toBe('issued');
    expect(new Set(asked)).toEqual(new Set(['127.0.0.1']));
    expect(asked.length).toBeGreaterThan(5);
  });

  test('whose directory is on loopback is not dialled', async () => {
    const addressesOf = createJudgedAddresses({ denyList: createDenyList([]), resolver: stubResolver({}) });
    const before = double.server.requests.length;
    const made = make({}, { addressesOf });
    expect(await made.backend.check(none)).toMatchObject({
      ready: false,
      reason: 'Unreachable',
      message: expect.stringContaining('where issuers of tenants may not go'),
    });
    expect(await said(made)).toContain('where issuers of tenants may not go');
    expect(double.server.requests.length).toBe(before);
  });
});
