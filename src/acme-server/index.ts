// The ACME server put together: resources, authenticator, route table.
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import type { Account } from '../api/acme.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Judge } from '../issuance/judge.ts';
import type { Records } from '../issuance/records.ts';
import type { Issue } from '../issuance/types.ts';
import type {
  Audit,
  Backends,
  Cache,
  Clock,
  Counter,
  Histogram,
  Log,
  Random,
  Resolver,
  SecretReader,
  Validators,
} from '../ports.ts';
import { createAccountHandlers } from './account.ts';
import { type Attribution, type AttributionDeps, createAttribution } from './attribution.ts';
import { type Births, createBirths } from './birth.ts';
import { type CertManagerOrdersDeps, createCertManagerOrders } from './cert-manager-orders.ts';
import { createPodAddresses, type PodAddressesDeps } from './pod-addresses.ts';
import { createProofs, type ProofsDeps } from './proofs.ts';
import { createAcmeApp, type Handlers } from './app.ts';
import { createAuthenticator } from './authenticate.ts';
import { createAuthorizationHandlers } from './authorization.ts';
import { type CaaChecks, type CheckCaa, createCaaChecks } from './caa-checks.ts';
import { type ChainsOf, createCertificateHandler } from './certificate.ts';
import { createConfirm, type LiveIssuer } from './confirm.ts';
import { directory } from './directory.ts';
import { createExternalAccountBindings } from './external-account-binding.ts';
import { createFinalizations } from './finalize.ts';
import { createFirstLooks } from './first-looks.ts';
import { createKeyChangeHandler } from './key-change.ts';
import type { Keyring } from './keyring.ts';
import { createLateAnswers, type LateAnswersDeps } from './late-answers.ts';
import { createNewOrderHandler } from './new-order.ts';
import { createNonces, type NoncesDeps } from './nonces.ts';
import type { AcmeObjects } from './objects.ts';
import { createPeerApp } from './peer-app.ts';
import { createOrderHandlers, createOrderView } from './order.ts';
import { type Bucket, createRateLimits, type Limit, limited, limitedRefusals, type RateLimits } from './rate-limits.ts';
import { createRenewalInfo } from './renewal-info.ts';
import { createRevocationHandler } from './revocation.ts';
import { createSealed, type Sealed } from './sealed.ts';
import { createValidationRuns, type ValidationRuns } from './validation-runs.ts';

export interface AcmeServerDeps {
  objects: AcmeObjects;
  accounts: Cache<Account>;
  issuers: Cache<Issuer>;
  issued: Cache<CertificateRecord>;
  /** The operator's. */
  namespace: string;
  records: Records;
  keyring: Keyring;
  /** Those of the issuer alone. */
  secretsOf: (issuer: Issuer) => SecretReader;
  issue: Issue;
  judge: Judge;
  backends: Backends;
  validators: Validators;
  resolverOf: (issuer: Issuer) => Resolver;
  checkCaa: CheckCaa;
  chainsOf: ChainsOf;
  clock: Clock;
  random: Random;
  audit: Audit;
  log: Log;
  counters: Record<'requests' | 'nonces' | 'validations' | 'rateLimited' | 'attributions', Counter> & {
    requestSeconds: Histogram;
  };
  externalURLs: readonly string[];
  limits?: Readonly<Record<Limit, Bucket>>;
  liveIssuer: LiveIssuer;
  /** Whether the watched copies are whole: until then there are the directory and nonces, and nothing else. */
  caughtUp: () => boolean;
  /** What tells who asks, and what is whose. */
  evidence: Omit<CertManagerOrdersDeps, 'sealed' | 'clock'> &
    PodAddressesDeps &
    Pick<AttributionDeps, 'namespace'> &
    Pick<LateAnswersDeps, 'mark'> &
    ProofsDeps;
  /** Absent where this process is alone. */
  peering?: Peering;
  server: FastifyServerOptions;
}

export interface Peering extends NonNullable<NoncesDeps['replica']> {
  /** `address` as text. */
  name: string;
}

export interface AcmeServer {
  app: FastifyInstance;
  /** What other replicas ask of this one; undefined without `peering`. */
  peerApp: FastifyInstance | undefined;
  /** Stops taking requests, ends validations under way. */
  stop(): Promise<void>;
}

export function createAcmeServer(deps: AcmeServerDeps): AcmeServer {
  const { counters } = deps;
  const nonces = createNonces({ random: deps.random, ...(deps.peering ? { replica: deps.peering } : {}) });
  const limits = createRateLimits({
    clock: deps.clock,
    limited: counters.rateLimited,
    ...(deps.limits ? { limits: deps.limits } : {}),
  });
  const caa = createCaaChecks(deps);
  const sealed = createSealed(deps.keyring);
  const orders = createCertManagerOrders({ ...deps.evidence, clock: deps.clock, sealed });
  const attribution = createAttribution({
    ...deps.evidence,
    orders,
    pods: createPodAddresses(deps.evidence),
    attributions: counters.attributions,
  });
  const births = createBirths({ ...deps, attribution, proofs: createProofs(deps.evidence) });
  const runs = createValidationRuns({ ...deps, caa, limits, attribution, validations: counters.validations });
  const app = createAcmeApp({
    ...deps,
    authenticator: createAuthenticator({ ...deps, nonces, limits, nonceOutcomes: counters.nonces }),
    nonces,
    requests: counters.requests,
    requestSeconds: counters.requestSeconds,
    handlers: createHandlers({ ...deps, attribution, births, sealed }, { limits, caa, runs }),
  });
  const peerApp = deps.peering && createPeerApp({ ...deps, nonces, address: deps.peering.name });
  return {
    app,
    peerApp,
    stop: async () => {
      await runs.stop();
      await Promise.all([app.close(), peerApp?.close()]);
    },
  };
}

function createHandlers(
  deps: AcmeServerDeps & { attribution: Attribution; births: Births; sealed: Sealed },
  { limits, caa, runs }: { limits: RateLimits; caa: CaaChecks; runs: ValidationRuns },
): Handlers {
  const confirm = createConfirm(deps.liveIssuer);
  const minted = { ...deps.evidence, keys: deps.keyring, clock: deps.clock };
  const { orders: kept, mark } = deps.evidence;
  const lateAnswers = createLateAnswers({ ...deps, orders: kept, mark });
  const finalizations = createFinalizations({ ...deps, caa, lateAnswers });
  const view = createOrderView({ ...deps, finalizations });
  const accounts = createAccountHandlers({
    ...deps,
    bindings: createExternalAccountBindings({ ...deps, minted }),
    limits,
  });
  const renewal = createRenewalInfo({ ...deps, limits });
  const firstLooks = createFirstLooks(deps);
  const authorizations = createAuthorizationHandlers({ ...deps, runs, firstLooks });
  const orders = createOrderHandlers({ ...deps, view, finalizations });
  return {
    directory,
    renewalInfo: confirm(renewal.renewalInfo),
    newAccount: confirm(accounts.newAccount),
    account: accounts.readOrUpdate,
    orders: accounts.orders,
    keyChange: limited(limits, 'keyChange', createKeyChangeHandler(deps)),
    newOrder: confirm(createNewOrderHandler({ ...deps, limits, view, replacements: renewal, firstLooks })),
    order: confirm(orders.read),
    finalize: limited(limits, 'finalize', limitedRefusals(limits, 'refusedFinalize', confirm(orders.finalize))),
    authorization: confirm(authorizations.authorization),
    challenge: confirm(authorizations.challenge),
    certificate: confirm(createCertificateHandler(deps)),
    revokeCert: limited(limits, 'revokeCert', confirm(createRevocationHandler({ ...deps, limits }))),
  };
}
