import { createPrivateKey, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anIssuer, createMemorySecrets, type MemorySecrets } from '../../../test/contract/authorities.ts';
import {
  backendContract,
  type BackendUnderTest,
  remoteBackendContract,
  type RemoteUnderTest,
} from '../../../test/contract/backend.ts';
import { aSigningRequest } from '../../../test/contract/models.ts';
import { createFakeRuns, failureOf, type FakeRuns, logOf, MARKER } from '../../../test/fakes/certbot-runner.ts';
import { createFakeClock } from '../../../test/fakes/clock.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { type AcmeDouble, startAcmeDouble } from '../../../test/support/acme-double.ts';
import { stubResolver } from '../../../test/support/validation.ts';
import { RAW } from '../../../test/support/webhook-signer-words.ts';
import type { CertbotBackendSpec } from '../../api/certbot-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { renderPem } from '../../domain/encoding.ts';
import { Problem } from '../../domain/problem.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import type { Backend, BackendDeps, CertbotRun, CertbotState, SigningOutcome, SigningRequest } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { acmeBackend } from '../acme/index.ts';
import { certbotBackend } from './index.ts';

const none = new AbortController().signal;
const own = { clock: createClock(), random: createFakeRandom(), urls: undefined };
let double: AcmeDouble;

beforeAll(async () => {
  double = await startAcmeDouble();
});

afterAll(() => double.server.stop());

beforeEach(() => double.reset());

const specOf = (more: Partial<CertbotBackendSpec> = {}): CertbotBackendSpec => ({
  config: `server = ${double.directory}\n`,
  caBundle: double.caBundle,
  trustAnchors: double.root,
  account: { keySecretRef: { name: 'account' } },
  ...more,
});

interface Made {
  backend: Backend;
  secrets: MemorySecrets;
  runs: FakeRuns;
}

function make(
  work: (run: CertbotRun) => Promise<string | CertbotState>,
  more: Partial<CertbotBackendSpec> = {},
  deps: Partial<BackendDeps> = {},
): Made {
  const secrets = createMemorySecrets();
  const runs = createFakeRuns(work);
  const certbot = specOf(more);
  const backend = certbotBackend.create({ ...own, secrets, certbot: runs, ...deps }, anIssuer({ certbot }), {
    certbot,
  });
  return { backend, secrets, runs };
}

// ---- The contract of backends, with our own ACME client in the place of certbot -----------------------------------

const csrs = new Map<string, Buffer>();

function clientWork(): (run: CertbotRun) => Promise<string> {
  const proof = { validators: {}, resolver: () => stubResolver({}), dnsUpdater: {} } as never;
  const acme = {
    directory: double.directory,
    caBundle: double.caBundle,
    trustAnchors: double.root,
    account: { keySecretRef: { name: 'other' } },
  };
  const client = acmeBackend.create({ ...own, proof, secrets: createMemorySecrets() }, anIssuer({ acme }), { acme });
  return async (run) => {
    const request = csrs.get(run.name);
    if (!request) throw new Error('the run is of no request');
    const pem = run.files['csr.pem'] ?? '';
    const csr = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
    expect(csr.equals(request)).toBe(true);
    try {
      const model = models.get(run.name);
      if (!model) throw new Error('the run is of no request');
      const outcome = await client.sign({ id: run.name, csr, model, keep: () => Promise.resolve() }, none);
      if (outcome.kind === 'issued') return logOf(outcome.chain.map((each) => renderPem('CERTIFICATE', each)).join(''));
      return failureOf(`An unexpected error occurred:
no
${MARKER} problem rejectedIdentifier`);
    } catch (error) {
      return failureOf(`An unexpected error occurred:\n${String(error)}`);
    }
  };
}

const models = new Map<string, SigningRequest['model']>();
const isRaw = (how: string): how is (typeof RAW)[number] => (RAW as readonly string[]).includes(how);

function underTest(): BackendUnderTest & { remote: RemoteUnderTest } {
  // Pauses between runs pass in no time.
  const clock = createClock();
  const made = make(clientWork(), {}, { clock: { ...clock, monotonic: () => clock.monotonic() * 1000 } });
  const set = (change: Partial<AcmeDouble['behaviour']>) => {
    double.reset();
    made.runs.holds = 0;
    Object.assign(double.behaviour, change);
    return Promise.resolve();
  };
  const backend: Backend = {
    ...made.backend,
    sign(request, signal) {
      csrs.set(request.id, request.csr);
      models.set(request.id, request.model);
      return made.backend.sign(request, signal);
    },
  };
  const signed = (id: string) =>
    double.orders.filter(({ csr, isRevoked }) => !isRevoked && csr?.equals(csrs.get(id) ?? Buffer.alloc(0))).length;
  return {
    backend,
    trustRoots: parsePemCertificates(double.root),
    refused: aSigningRequest({ names: { dnsNames: ['refused.example.test'] } }),
    fail: () => double.server.stop(),
    recover: () => double.server.start(),
    remote: {
      live: (id) => Promise.resolve(signed(id)),
      loseAnswer: () => Promise.resolve(void (made.runs.lose = true)),
      // One answer is that it has begun.
      pend: (questions) => Promise.resolve(void (made.runs.holds = questions - 1)),
      overload: (seconds) => set({ refuse: { path: /./, status: 503, headers: { 'Retry-After': String(seconds) } } }),
      answerWrongly: (how) => set(isRaw(how) ? { raw: how } : { wrong: how }),
      behaveWell: () => set({}),
    },
  };
}

backendContract('certbot', async () => underTest());
remoteBackendContract('certbot', async () => underTest(), { resumesBy: 'record' });

// ---- What is its own ---------------------------------------------------------------------------------------------

/** What comes of one call. */
async function said(backend: Backend, request: SigningRequest): Promise<string> {
  const outcome = await backend.sign(request, none).catch((error: Error) => error);
  if (outcome instanceof Error) {
    expect(outcome).toBeInstanceOf(Unavailable);
    return `throws ${outcome.message}`;
  }
  return outcome.kind === 'refused' ? `refused ${outcome.problem.message}` : outcome.kind;
}

const RUNNING = (log: string): CertbotState => ({ kind: 'running', marker: MARKER, log });
const TOKEN = 'b'.repeat(43);

describe('the run', () => {
  test('is given the CSR, the account and nothing that says how to prove names but the hook', async () => {
    const { backend, runs, secrets } = make(async () => RUNNING(''));
    const request = aSigningRequest();
    expect(await said(backend, request)).toBe('pending');
    const [run] = runs.begun;
    expect(runs.begun).toHaveLength(1);
    const host = double.directory.slice('https://'.length);
    const files = Object.keys(run?.files ?? {});
    const folder = files.find((path) => path.endsWith('/regr.json'))?.slice(0, -'/regr.json'.length) ?? '';
    expect(folder).toMatch(new RegExp(`^config/accounts/${host}/[0-9a-f]{32}$`));
    expect(files.sort()).toEqual(['ca.pem', `${folder}/meta.json`, `${folder}/regr.json`, 'csr.pem', 'hook.py'].sort());
    expect(run?.secrets).toEqual({ [`${folder}/private_key.json`]: { name: 'account', key: 'private_key.json' } });
    expect(JSON.parse(run?.files[`${folder}/regr.json`] ?? '')).toEqual({ body: {}, uri: double.accounts.at(-1)?.url });
    expect(run?.name).toBe(request.id);
    expect(run?.arguments).toContain('python3 hook.py');
    expect(run?.arguments.join(' ')).toContain('--authenticator manual --preferred-challenges http');
    expect(Object.keys(secrets.values.get('account') ?? {})).toEqual(['private_key.json']);
  });

  test('has the account of a Secret that certbot wrote', async () => {
    const { backend, runs, secrets } = make(async () => RUNNING(''));
    const { privateKey } = (await import('node:crypto')).generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwk = privateKey.export({ format: 'jwk' });
    secrets.values.set('account', { 'private_key.json': Buffer.from(JSON.stringify(jwk)) });
    await said(backend, aSigningRequest());
    const { n } = createPublicKey(createPrivateKey({ key: jwk, format: 'jwk' })).export({ format: 'jwk' });
    expect(double.accounts.at(-1)?.key).toMatchObject({ kty: 'RSA', n });
    expect(runs.begun).toHaveLength(1);
  });

  test('is given the certificates of a bundle, and no key that lies beside them', async () => {
    const { privateKey } = (await import('node:crypto')).generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const { caBundle: _inline, ...given } = specOf({ caBundleRef: { name: 'bundle', key: 'pem' } });
    const made = make(async () => RUNNING(''), { ...given, caBundle: undefined as never });
    made.secrets.values.set('bundle', { pem: Buffer.from(`${key}a note\n${double.caBundle}`) });
    expect(await said(made.backend, aSigningRequest())).toBe('pending');
    const { files } = made.runs.begun[0] ?? {};
    const [certificate = Buffer.alloc(0)] = parsePemCertificates(double.caBundle);
    expect(files?.['ca.pem']).toBe(renderPem('CERTIFICATE', certificate));
    expect(JSON.stringify(files)).not.toContain('PRIVATE KEY');
  });

  test('is not begun with credentials that are none', async () => {
    const dns01 = { plugin: 'rfc2136', credentialsSecretRef: { name: 'dns', key: 'ini' } };
    const { backend, runs, secrets } = make(async () => RUNNING(''), { dns01 });
    secrets.values.set('dns', { ini: Buffer.from('-----BEGIN PRIVATE KEY-----\ns3cret\n') });
    const health = await backend.check(none);
    expect(health).toMatchObject({ ready: false, reason: 'CredentialsUnusable' });
    expect(health.message).not.toContain('s3cret');
    expect(await said(backend, aSigningRequest())).toContain('throws ini of the Secret dns is no credentials file');
    expect(runs.begun).toEqual([]);
    secrets.values.set('dns', { ini: Buffer.from('dns_rfc2136_secret = s3cret\n') });
    expect(await backend.check(none)).toMatchObject({ ready: true });
    expect(await said(backend, aSigningRequest())).toBe('pending');
    expect(runs.begun[0]?.secrets['credentials.ini']).toEqual({ name: 'dns', key: 'ini' });
    expect(JSON.stringify(runs.begun)).not.toContain('s3cret');
  });

  test('is one for each request, and accounts are one for all', async () => {
    const { backend, runs } = make(async () => RUNNING(''));
    const before = double.accounts.length;
    const requests = Array.from({ length: 5 }, () => aSigningRequest());
    await Promise.all(requests.map((request) => said(backend, request)));
    await Promise.all(requests.map((request) => said(backend, request)));
    expect(runs.begun.map(({ name }) => name).sort()).toEqual(requests.map(({ id }) => id).sort());
    expect(double.accounts.length - before).toBe(1);
  });
});

describe('answers to http-01', () => {
  async function laidOut(answers: (thumbprint: string) => readonly string[], handle?: string) {
    const { backend, runs } = make(async () => RUNNING(''));
    const request = aSigningRequest();
    await said(backend, request);
    const { thumbprint = '' } = double.accounts.at(-1) ?? {};
    const log = answers(thumbprint).map((answer) => `${MARKER} answer ${answer}\n`);
    runs.runs.set(request.id, { holds: 0, state: RUNNING(log.join('')) });
    const kept: { handle: string; answers: readonly string[] | undefined }[] = [];
    const keep = async (next: string, given?: readonly string[]) => void kept.push({ handle: next, answers: given });
    const outcome = await backend.sign({ ...request, keep, ...(handle === undefined ? {} : { handle }) }, none);
    return { kept, outcome, thumbprint };
  }

  test('go on record once', async () => {
    const { kept, outcome, thumbprint } = await laidOut((print) => [`${TOKEN}.${print}`]);
    expect(kept.map(({ answers }) => answers)).toEqual([[`${TOKEN}.${thumbprint}`]]);
    const { handle } = outcome as SigningOutcome & { kind: 'pending' };
    expect(kept[0]?.handle).toBe(handle);
  });

  test.each([
    ['of another account', () => `${TOKEN}.${'x'.repeat(43)}`],
    ['with a path for a token', (print: string) => `../../x.${print}`],
    ['with a command for a token', (print: string) => `$(id).${print}`],
    ['with a line end', (print: string) => `${TOKEN}\n.${print}`],
    ['without a token', (print: string) => `.${print}`],
    ['with more after it', (print: string) => `${TOKEN}.${print}.${print}`],
  ])('%s are not laid out', async (_, answer) => {
    const { kept } = await laidOut((print) => [answer(print)]);
    expect(kept.flatMap(({ answers }) => answers ?? [])).toEqual([]);
  });

  test('are not those that certbot says without the marker', async () => {
    const { backend, runs } = make(async () => RUNNING(''));
    const request = aSigningRequest();
    await said(backend, request);
    const { thumbprint = '' } = double.accounts.at(-1) ?? {};
    runs.runs.set(request.id, {
      holds: 0,
      state: RUNNING(`answer ${TOKEN}.${thumbprint}\nx ${MARKER} answer ${TOKEN}.${thumbprint}\n`),
    });
    const kept: unknown[] = [];
    await backend.sign({ ...request, keep: async (...given) => void kept.push(given) }, none);
    expect(kept).toEqual([]);
  });
});

describe('a run that failed', () => {
  const VALIDATION =
    'Certbot failed to authenticate some domains (authenticator: manual). The Certificate Authority reported these problems:\n  Domain: db.example.test\n  Type:   connection\n  Detail: 10.0.0.7: <script>secret</script>\n\nHint: x\n\nSome challenges have failed.';

  test.each([
    ['a failed validation', VALIDATION, 'refused unauthorized: the CA could not validate db.example.test (connection)'],
    [
      'a failed validation of a name that nobody asked for',
      VALIDATION.replace('db.example', 'evil.example'),
      'refused unauthorized: the CA could not validate the names',
    ],
    [
      'a failed validation of a type that nobody knows',
      VALIDATION.replace('connection', '<script>'),
      'refused unauthorized: the CA could not validate db.example.test',
    ],
    [
      'a refused name',
      `An unexpected error occurred:\n<script>\n${MARKER} problem rejectedIdentifier`,
      'refused rejectedIdentifier: the CA refused the request',
    ],
    [
      'a name that is an address',
      'Requested name 10.0.0.1 is an IP address. The x',
      'refused unsupportedIdentifier: the CA of this issuer signs DNS names only',
    ],
    [
      'a text of the CA that speaks of addresses',
      'An unexpected error occurred:\nx is an IP address',
      'throws certbot failed: x is an IP address',
    ],
    [
      'a rate limit',
      `An unexpected error occurred:\nlater\n${MARKER} problem rateLimited`,
      'throws the ACME server limits us',
    ],
    [
      'an outage',
      'An unexpected error occurred:\nrequests.exceptions.ConnectionError: no\u001b[2J',
      'throws certbot failed: requests.exceptions.ConnectionError: no\\u001b[2J',
    ],
    ['something else', 'first\nThe last words\n\n', 'throws certbot failed: The last words'],
    [
      'what a plugin says, before what certbot says at every end',
      'Saving debug log to /x\nReceived response from server: NOTAUTH\nAsk for help or search for solutions at https://x. See the logfile /x',
      'throws certbot failed: Received response from server: NOTAUTH',
    ],
    ['nothing', 'Saving debug log to /x', 'throws certbot failed: it said nothing'],
    ['nothing at all', '', 'throws certbot failed: it said nothing'],
  ])('by %s', async (_, text, outcome) => {
    const { backend, runs } = make(async () => failureOf(text));
    const request = aSigningRequest();
    await said(backend, request);
    expect(await said(backend, request)).toBe(outcome);
    // What is for good stays to be looked at; the rest begins anew.
    expect(runs.removed).toEqual(outcome.startsWith('refused') ? [] : [request.id]);
  });

  test('by its deadline is over for good', async () => {
    const { backend } = make(async () => failureOf('Waiting', 'timeout'));
    const request = aSigningRequest();
    await said(backend, request);
    const outcome = (await backend.sign(request, none)) as SigningOutcome & { kind: 'refused' };
    expect(outcome.problem).toBeInstanceOf(Problem);
    expect([outcome.problem.type, outcome.problem.detail]).toEqual(['serverInternal', 'the CA did not sign in time']);
  });

  test.each<[string, CertbotState, string]>([
    [
      'cut off',
      { kind: 'ended', marker: MARKER, log: 'x\n', cut: { reason: 'OutOfMemory', message: 'more memory' } },
      'throws more memory',
    ],
    ['gone', { kind: 'ended', marker: MARKER, log: undefined }, 'throws certbot ended, and what it said is lost'],
    [
      'of a cut chain',
      {
        kind: 'ended',
        marker: MARKER,
        log: logOf('-----BEGIN CERTIFICATE-----\nAAAA\n').replace(`${MARKER} end\n`, ''),
      },
      'throws certbot gave no PEM text of 1 to 10 certificates',
    ],
    [
      'of two ends, of which the first counts',
      { kind: 'ended', marker: MARKER, log: failureOf('x', 'timeout') + logOf('') },
      'refused serverInternal: the CA did not sign in time',
    ],
  ])('whose Pod was or log is %s', async (_, state, outcome) => {
    const { backend } = make(async () => state);
    const request = aSigningRequest();
    await said(backend, request);
    expect(await said(backend, request)).toBe(outcome);
  });

  test.each([true, false])('before it began says what stands in its way, and begins anew: %s', async (anew) => {
    const obstacle = { reason: 'ImageUnavailable', message: 'the image cannot be had', anew };
    const { backend, runs } = make(async () => ({ kind: 'waiting', obstacle }));
    const request = aSigningRequest();
    await said(backend, request);
    expect(await said(backend, request)).toBe('throws the image cannot be had');
    expect(runs.removed).toEqual(anew ? [request.id] : []);
  });
});

test('runs that come to nothing are made again with pauses, whatever is asked meanwhile', async () => {
  const clock = createFakeClock();
  let log = failureOf('An unexpected error occurred:\nno');
  const { backend, runs } = make(async () => log, {}, { clock });
  const request = aSigningRequest();
  const begun: number[] = [];
  let asked = 0;
  for (const end = clock.monotonic() + 1_200_000; clock.monotonic() < end; asked++) {
    const before = runs.begun.length;
    const outcome = await backend.sign(request, none).catch(() => undefined);
    if (runs.begun.length > before) begun.push(Math.round(clock.monotonic() / 1000));
    // Nobody waits for longer than it takes to see that its issuer is another, or that nobody wants it any longer.
    const waits = outcome?.kind === 'pending' ? outcome : undefined;
    expect(waits?.retryAfterMs ?? 0).toBeLessThanOrEqual(30_000);
    expect(waits?.handle ?? '').toBe(runs.begun.length > before ? 'begun' : '');
    await clock.advance(1_000);
  }
  const pauses = begun.slice(1).map((at, i) => at - (begun[i] ?? 0));
  expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
  expect(asked).toBeGreaterThan(1_000);
  expect(begun.length).toBeLessThan(14);
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(300);
  // What the CA wants counts for more.
  log = failureOf(`An unexpected error occurred:\nlater\n${MARKER} problem rateLimited`);
  const limited = aSigningRequest();
  await said(backend, limited);
  expect(await said(backend, limited)).toContain('limits us');
  const count = runs.begun.length;
  for (let second = 0; second < 599; second++) {
    expect(await said(backend, limited)).toBe('pending');
    await clock.advance(1_000);
  }
  expect(runs.begun).toHaveLength(count);
  log = logOf('');
  await clock.advance(2_000);
  await said(backend, limited);
  expect(runs.begun).toHaveLength(count + 1);
});

test('what certbot cannot ask for is refused before anything is begun', async () => {
  const { backend, runs } = make(async () => RUNNING(''));
  const request = aSigningRequest({ names: { dnsNames: ['a.test'], uris: ['spiffe://x/y'] } });
  expect(await said(backend, request)).toContain('refused unsupportedIdentifier');
  expect(runs.begun).toEqual([]);
});

test('what keeps runs from an outcome is told until one has one', async () => {
  let log = failureOf('no memory', -9);
  const clock = createFakeClock();
  const { backend } = make(async () => log, {}, { clock });
  const request = aSigningRequest();
  await said(backend, request);
  await said(backend, request);
  expect(await backend.check(none)).toMatchObject({
    ready: true,
    reason: 'OutOfMemory',
    message: expect.stringContaining('the last run failed: certbot was killed, likely for want of memory'),
  });
  log = failureOf('x', 'timeout');
  await clock.advance(1_000);
  await said(backend, request);
  expect(await said(backend, request)).toContain('refused');
  expect(await backend.check(none)).toMatchObject({ ready: true, reason: 'Ready' });
});

test('what the runner lacks is the reason', async () => {
  const { backend, runs } = make(async () => RUNNING(''));
  runs.lack = { reason: 'ImageNotSet', message: 'no image' };
  expect(await backend.check(none)).toEqual({ ready: false, reason: 'ImageNotSet', message: 'no image' });
});

test('an account that the server bars, and a key that is none, are told apart', async () => {
  const { backend, secrets } = make(async () => RUNNING(''));
  secrets.values.set('account', { 'private_key.json': Buffer.from('{"kty":"oct","k":"secret"}') });
  const health = await backend.check(none);
  expect(health).toMatchObject({ ready: false, reason: 'SecretUnusable' });
  expect(health.message).not.toContain('"k"');
});
