// The `ejbca` backend: has requests signed by EJBCA over its Web Service or its REST interface. What people must set up there: docs/backends/ejbca.md.
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
import { createRestProtocol } from './rest.ts';
import { createRevoke } from './revocation.ts';
import { createSoapProtocol } from './service.ts';

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
  const isRest = spec.protocol === 'REST';
  const createProtocol = isRest ? createRestProtocol : createSoapProtocol;
  const protocol = createProtocol({ ...deps, url: new URL(spec.url), tls, timeoutMs });
  const anchors = parsePemCertificates(spec.trustAnchors);
  const authorities = createAuthorities(protocol, { names: caNames(spec), anchors });
  const enrolment = createEnrolment({ ...deps, protocol, spec, authorities });

  return {
    // By SOAP subject and names are told beside the CSR, of which EJBCA takes the key; by REST they are those of the CSR.
    controls: { subject: !isRest, validity: spec.overrideValidity ? true : 'length', extensions: !isRest },
    local: false,
    concurrency,
    lane: (request) => laneOf(spec, request),
    trustAnchors: () => Promise.resolve(anchors),
    sign: enrolment.sign,
    ...(enrolment.search ? { search: enrolment.search } : { signsAgain: true as const }),
    revoke: createRevoke(protocol),
    limits: (model) => Promise.resolve(problemOf(() => requireAskable(spec, { id: '', model }))),
    notAfterLimit: () => Promise.resolve(spec.overrideValidity ? authorities.notAfter() : undefined),
    async check(signal) {
      signal.throwIfAborted();
      tls.refresh();
      try {
        await protocol.requireReady(spec, signal);
        const chain = await authorities.load(signal);
        return enrolment.fault() ?? ready(chain, isRest ? READY_BY_REST : READY);
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

const READY = 'EJBCA answers, with the CA, the profiles and the access rules';
const READY_BY_REST =
  'EJBCA answers by REST, which shows no profiles and cannot be searched: a request whose answer is lost is signed again';

function ready(chain: readonly Buffer[], message: string): BackendHealth {
  const [certificate] = chain;
  const fine = { ready: true, reason: 'Ready', message };
  return certificate ? { ...fine, ca: { certificate, chains: [chain] } } : fine;
}

/** Throws what is neither a fault of EJBCA nor of the way to it. */
function health(error: unknown): BackendHealth {
  const fault = asRemoteFault(error);
  if (!fault) throw error;
  return { ready: false, reason: fault.reason, message: fault.message };
}
