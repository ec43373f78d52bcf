// The `ejbca` backend: has requests signed by EJBCA over its Web Service. What people must set up there: docs/backends/ejbca.md.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { parseDuration } from '../../domain/duration.ts';
import { Problem } from '../../domain/problem.ts';
import type { Backend, BackendDeps, BackendFactory, BackendHealth, SigningRequest } from '../../ports.ts';
import { createMutualTls } from '../https/mutual-tls.ts';
import { createAuthorities } from './authorities.ts';
import { caNames, requireAskable, usernameOf } from './end-entity.ts';
import { createEnrolment } from './enrolment.ts';
import { asRemoteFault } from './fault-meaning.ts';
import { requireReady } from './readiness.ts';
import { createRevoke } from './revocation.ts';
import { createEjbcaService } from './service.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONCURRENCY = 4;

export const ejbcaBackend: BackendFactory = {
  create(deps, _issuer, { ejbca }) {
    if (!ejbca) throw new Error('the issuer has no EJBCA');
    return createEjbcaBackend(deps, ejbca);
  },
};

function createEjbcaBackend(deps: BackendDeps, spec: EjbcaBackendSpec): Backend {
  const concurrency = spec.concurrency ?? DEFAULT_CONCURRENCY;
  const tls = createMutualTls(deps, spec, concurrency);
  const timeoutMs = spec.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(spec.timeout);
  const service = createEjbcaService({ ...deps, url: new URL(spec.url), tls, timeoutMs });
  const anchors = parsePemCertificates(spec.trustAnchors);
  const authorities = createAuthorities(service, { names: caNames(spec), anchors });
  const enrolment = createEnrolment({ ...deps, service, spec, authorities });

  return {
    // Subject and names are told beside the CSR, of which EJBCA takes the key; usages are those of the certificate profile.
    controls: { subject: true, validity: spec.overrideValidity ? true : 'length', extensions: true },
    local: false,
    concurrency,
    lane: (request) => laneOf(spec, request),
    trustAnchors: () => Promise.resolve(anchors),
    sign: enrolment.sign,
    search: enrolment.search,
    revoke: createRevoke(service),
    limits: (model) => Promise.resolve(problemOf(() => requireAskable(spec, { id: '', model }))),
    notAfterLimit: () => Promise.resolve(spec.overrideValidity ? authorities.notAfter() : undefined),
    async check(signal) {
      signal.throwIfAborted();
      tls.refresh();
      try {
        await requireReady(service, spec, signal);
        const chain = await authorities.load(signal);
        return enrolment.fault() ?? ready(chain);
      } catch (error) {
        signal.throwIfAborted();
        return health(error);
      }
    },
  };
}

/** A request that could never be made is alone in its lane: it is refused there. */
function laneOf(spec: EjbcaBackendSpec, request: SigningRequest): string {
  try {
    return usernameOf(spec, request);
  } catch (error) {
    if (error instanceof Problem) return request.id;
    throw error;
  }
}

function problemOf(check: () => void): Problem | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

function ready(chain: readonly Buffer[]): BackendHealth {
  const [certificate] = chain;
  const fine = {
    ready: true,
    reason: 'Ready',
    message: 'EJBCA answers, with the CA, the profiles and the access rules',
  };
  return certificate ? { ...fine, ca: { certificate, chains: [chain] } } : fine;
}

/** Throws what is neither a fault of EJBCA nor of the way to it. */
function health(error: unknown): BackendHealth {
  const fault = asRemoteFault(error);
  if (!fault) throw error;
  return { ready: false, reason: fault.reason, message: fault.message };
}
