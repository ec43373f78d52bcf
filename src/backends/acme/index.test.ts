import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anIssuer, createMemorySecrets, type MemorySecrets } from '../../../test/contract/authorities.ts';
import {
  backendContract,
  type BackendUnderTest,
  remoteBackendContract,
  type RemoteUnderTest,
} from '../../../test/contract/backend.ts';
import { aSigningRequest } from '../../../test/contract/models.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { type AcmeDouble, startAcmeDouble } from '../../../test/support/acme-double.ts';
import { stubResolver } from '../../../test/support/validation.ts';
import { RAW } from '../../../test/support/webhook-signer-words.ts';
import type { AcmeBackendSpec } from '../../api/acme-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import type { Backend, BackendDeps, ProofTools } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
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
  const own = acmeBackend.create(
    { proof: SEEING, ...all },
    anIssuer({ acme }),
    { acme },
  );
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

test('one account, made once, whose key is in the Secret', async () => {
  const before = double.accounts.length;
  const { backend, secrets } = make();
  await Promise.all([backend.sign(aSigningRequest(), none), backend.sign(aSigningRequest(), none)]);
  expect(await backend.check(none)).toMatchObject({ ready: true });
  expect(double.accounts.length - before).toBe(1);
  expect(secrets.values.get('account')?.['account.key']?.toString()).toContain('-----BEGIN PRIVATE KEY-----');
});

describe('trouble', () => {
  test('is thrown as Unavailable', async () => {
    const { backend } = make({ directory: `${double.server.url}/nowhere` });
    await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow(Unavailable);
  });
});
