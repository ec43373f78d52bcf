// The ACME server put together: resources, authenticator, route table.
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import type { Account } from '../api/acme.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { Judge } from '../issuance/judge.ts';
import type { Records } from '../issuance/records.ts';
import type { Issue } from '../issuance/types.ts';
import type {
  Audit,
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
import { createAcmeApp, type Handlers } from './app.ts';
import { createAuthenticator } from './authenticate.ts';
import { createAuthorizationHandlers } from './authorization.ts';
import { type CaaChecks, type CheckCaa, createCaaChecks } from './caa-checks.ts';
import { type ChainsOf, createCertificateHandler } from './certificate.ts';
import { directory } from './directory.ts';
import { createExternalAccountBindings } from './external-account-binding.ts';
import { createFinalizations } from './finalize.ts';
import { createKeyChangeHandler } from './key-change.ts';
import type { Keyring } from './keyring.ts';
import { createNewOrderHandler } from './new-order.ts';
import { createNonces } from './nonces.ts';
import type { AcmeObjects } from './objects.ts';
import { createOrderHandlers, createOrderView } from './order.ts';
import { type Bucket, createRateLimits, type Limit, limited, limitedRefusals, type RateLimits } from './rate-limits.ts';
import { createRenewalInfo } from './renewal-info.ts';
import { createRevocationHandler } from './revocation.ts';
import { createSealed } from './sealed.ts';
import { createValidationRuns, type ValidationRuns } from './validation-runs.ts';

export interface AcmeServerDeps {
  objects: AcmeObjects;
  accounts: Cache<Account>;
  issuers: Cache<ClusterCAIssuer>;
  records: Records;
  keyring: Keyring;
  secrets: SecretReader;
  issue: Issue;
  judge: Judge;
  validators: Validators;
  resolverOf: (issuer: ClusterCAIssuer) => Resolver;
  checkCaa: CheckCaa;
  chainsOf: ChainsOf;
  clock: Clock;
  random: Random;
  audit: Audit;
  log: Log;
  counters: Record<'requests' | 'nonces' | 'validations' | 'rateLimited', Counter> & { requestSeconds: Histogram };
  externalURLs: readonly string[];
  limits?: Readonly<Record<Limit, Bucket>>;
  server: FastifyServerOptions;
}

export interface AcmeServer {
  app: FastifyInstance;
  /** Stops taking requests, ends validations under way. */
  stop(): Promise<void>;
}

export function createAcmeServer(deps: AcmeServerDeps): AcmeServer {
  const { objects, counters } = deps;
  const nonces = createNonces(deps.random);
  const limits = createRateLimits({
    clock: deps.clock,
    limited: counters.rateLimited,
    ...(deps.limits ? { limits: deps.limits } : {}),
  });
  const caa = createCaaChecks(deps);
  const runs = createValidationRuns({ ...deps, caa, limits, validations: counters.validations });
  const app = createAcmeApp({
    ...deps,
    authenticator: createAuthenticator({ nonces, objects, nonceOutcomes: counters.nonces }),
    nonces,
    requests: counters.requests,
    requestSeconds: counters.requestSeconds,
    handlers: createHandlers(deps, { limits, caa, runs }),
  });
  return {
    app,
    stop: async () => {
      await runs.stop();
      await app.close();
    },
  };
}

function createHandlers(
  deps: AcmeServerDeps,
  { limits, caa, runs }: { limits: RateLimits; caa: CaaChecks; runs: ValidationRuns },
): Handlers {
  const sealed = createSealed(deps.keyring);
  const finalizations = createFinalizations({ ...deps, caa });
  const view = createOrderView({ ...deps, finalizations, sealed });
  const accounts = createAccountHandlers({ ...deps, bindings: createExternalAccountBindings(deps), limits, sealed });
  const renewal = createRenewalInfo(deps);
  const orders = createOrderHandlers({ view, sealed, finalizations });
  return {
    directory,
    renewalInfo: renewal.renewalInfo,
    newAccount: accounts.newAccount,
    account: accounts.readOrUpdate,
    orders: accounts.orders,
    keyChange: limited(limits, 'keyChange', createKeyChangeHandler(deps)),
    newOrder: createNewOrderHandler({ ...deps, limits, view, replacements: renewal }),
    order: orders.read,
    finalize: limited(limits, 'finalize', limitedRefusals(limits, 'refusedFinalize', orders.finalize)),
    ...createAuthorizationHandlers({ ...deps, sealed, runs }),
    certificate: createCertificateHandler(deps),
    revokeCert: limited(limits, 'revokeCert', createRevocationHandler(deps)),
  };
}
