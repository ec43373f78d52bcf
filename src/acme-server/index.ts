// The ACME server put together: resources, authenticator, route table.
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import type { Account } from '../api/acme.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { Judge } from '../issuance/judge.ts';
import type { Records } from '../issuance/records.ts';
import type { Issue } from '../issuance/types.ts';
import type { Audit, Cache, Clock, Counter, Log, Random, Resolver, SecretReader, Validators } from '../ports.ts';
import { createAccountHandlers } from './account.ts';
import { createAcmeApp } from './app.ts';
import { createAuthenticator } from './authenticate.ts';
import { createAuthorizationHandlers } from './authorization.ts';
import { type CheckCaa, createCaaChecks } from './caa-checks.ts';
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
import { type Bucket, createRateLimits, type Limit } from './rate-limits.ts';
import { createRenewalInfo } from './renewal-info.ts';
import { createRevocationHandler } from './revocation.ts';
import { createSealed } from './sealed.ts';
import { createValidationRuns } from './validation-runs.ts';

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
  counters: Record<'requests' | 'nonces' | 'validations' | 'rateLimited', Counter>;
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
  const { objects, records, clock, random, audit, counters } = deps;
  const nonces = createNonces(random);
  const authenticator = createAuthenticator({ nonces, objects, nonceOutcomes: counters.nonces });
  const limits = createRateLimits({ clock, limited: counters.rateLimited, ...(deps.limits ? { limits: deps.limits } : {}) });
  const sealed = createSealed(deps.keyring);
  const caa = createCaaChecks(deps);
  const finalizations = createFinalizations({ issue: deps.issue, caa, clock });
  const view = createOrderView({ objects, records, finalizations, sealed, clock });
  const runs = createValidationRuns({ ...deps, caa, limits, validations: counters.validations });
  const accounts = createAccountHandlers({ objects, bindings: createExternalAccountBindings(deps), limits, records });
  const renewal = createRenewalInfo(deps);
  const orders = createOrderHandlers({ view, sealed, finalizations });
  const authorizations = createAuthorizationHandlers({ objects, sealed, runs, keyring: deps.keyring, clock });
  const app = createAcmeApp({
    ...deps,
    authenticator,
    nonces,
    requests: counters.requests,
    handlers: {
      directory,
      renewalInfo: renewal.renewalInfo,
      newAccount: accounts.newAccount,
      account: accounts.readOrUpdate,
      orders: accounts.orders,
      keyChange: createKeyChangeHandler({ objects }),
      newOrder: createNewOrderHandler({ objects, judge: deps.judge, limits, view, replacements: renewal, clock, random }),
      order: orders.read,
      finalize: orders.finalize,
      ...authorizations,
      certificate: createCertificateHandler(deps),
      revokeCert: createRevocationHandler({ records, objects, clock, audit }),
    },
  });
  return {
    app,
    stop: async () => {
      await runs.stop();
      await app.close();
    },
  };
}
