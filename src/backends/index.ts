// The backends by the name they have in an issuer's spec, and the live one of each issuer.
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import { Unavailable } from '../domain/unavailable.ts';
import type { Backend, BackendDeps, BackendFactory, Backends, JudgedAddresses } from '../ports.ts';
import { acmeBackend } from './acme/index.ts';
import { caBackend } from './ca/index.ts';
import { certbotBackend } from './certbot/index.ts';
import { ejbcaBackend } from './ejbca/index.ts';
import { webhookBackend } from './webhook/index.ts';

type BackendSpec = NonNullable<CAIssuerSpec['backend']>;

const FACTORIES: Readonly<Record<keyof BackendSpec, BackendFactory>> = {
  acme: acmeBackend,
  ca: caBackend,
  certbot: certbotBackend,
  ejbca: ejbcaBackend,
  webhook: webhookBackend,
};

export type BackendName = keyof BackendSpec;

/** What CAIssuers may sign with besides `ca`: these backends reach out, and with the network of the operator. */
export interface TenantBackends {
  offered: readonly BackendName[];
  addressesOf: JudgedAddresses;
}

export interface BackendsDeps extends Omit<BackendDeps, 'urls' | 'secrets' | 'configMaps' | 'addressesOf'> {
  /** `ca` alone when absent. */
  tenants?: TenantBackends;
  /** Those of the issuer alone. */
  secretsOf: (issuer: Issuer) => BackendDeps['secrets'];
  /** None when absent. */
  configMapsOf?: (issuer: Issuer) => BackendDeps['configMaps'];
  /** Where the CRL and issuer certificate of the issuer are served over plain HTTP. */
  urls: (issuer: Issuer) => BackendDeps['urls'];
}

/** Issuers kept at most; one beyond only makes a backend read its Secrets again. */
const MAX_KEPT = 1024;

/**
 * One backend per issuer and generation of its spec. `of` throws Error for a spec that names no backend this program has; a backend that a
 * CAIssuer may not have is never ready.
 */
export function createBackends({ urls, secretsOf, configMapsOf, tenants, ...deps }: BackendsDeps): Backends {
  const kept = new Map<string, { generation: number; backend: Backend }>();
  return {
    of(issuer) {
      const { uid, generation } = issuer.metadata;
      const known = kept.get(uid);
      if (known?.generation === generation) return known.backend;
      const configMaps = configMapsOf?.(issuer);
      const own = { ...deps, secrets: secretsOf(issuer), urls: urls(issuer), ...(configMaps ? { configMaps } : {}) };
      const backend = backendOf(issuer, own, tenants);
      kept.delete(uid);
      kept.set(uid, { generation, backend });
      const oldest = kept.keys().next().value;
      if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
      return backend;
    },
  };
}

function backendOf(issuer: Issuer, own: BackendDeps, tenants: TenantBackends | undefined): Backend {
  const { spec, metadata } = issuer;
  const name = (Object.keys(FACTORIES) as BackendName[]).find((each) => Object.hasOwn(spec.backend, each));
  if (name === undefined) throw new Error(`issuer ${metadata.name} has no backend that is known here`);
  const factory = FACTORIES[name];
  if (metadata.namespace === undefined || name === 'ca') return factory.create(own, issuer, spec.backend);
  if (!tenants?.offered.includes(name)) return closedBackend(name);
  return factory.create({ ...own, addressesOf: tenants.addressesOf }, issuer, spec.backend);
}

function closedBackend(name: BackendName): Backend {
  const message = `the operator does not offer the backend ${name} to CAIssuers (tenantBackends of its configuration)`;
  return {
    controls: { subject: true, validity: true, extensions: true },
    local: true,
    sign: () => Promise.reject(new Unavailable(message)),
    limits: () => Promise.resolve(undefined),
    notAfterLimit: () => Promise.resolve(undefined),
    check: () => Promise.resolve({ ready: false, reason: 'BackendNotOffered', message }),
  };
}
