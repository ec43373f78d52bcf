// The backends by the name they have in an issuer's spec, and the live one of each issuer.
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Backend, BackendDeps, BackendFactory, Backends } from '../ports.ts';
import { caBackend } from './ca/index.ts';
import { ejbcaBackend } from './ejbca/index.ts';
import { webhookBackend } from './webhook/index.ts';

type BackendSpec = NonNullable<CAIssuerSpec['backend']>;

const FACTORIES: Readonly<Record<keyof BackendSpec, BackendFactory>> = {
  ca: caBackend,
  ejbca: ejbcaBackend,
  webhook: webhookBackend,
};

/** What a CAIssuer may sign with: the other backends reach out, and with the network of the operator. */
const TENANT_BACKENDS: readonly (keyof BackendSpec)[] = ['ca'];

export interface BackendsDeps extends Omit<BackendDeps, 'urls' | 'secrets' | 'configMaps'> {
  /** Those of the issuer alone. */
  secretsOf: (issuer: Issuer) => BackendDeps['secrets'];
  /** None when absent. */
  configMapsOf?: (issuer: Issuer) => BackendDeps['configMaps'];
  /** Where the CRL and issuer certificate of the issuer are served over plain HTTP. */
  urls: (issuer: Issuer) => BackendDeps['urls'];
}

/** Issuers kept at most; one beyond only makes a backend read its Secrets again. */
const MAX_KEPT = 1024;

/** One backend per issuer and generation of its spec. `of` throws Error for a spec that names no backend this program has. */
export function createBackends({ urls, secretsOf, configMapsOf, ...deps }: BackendsDeps): Backends {
  const kept = new Map<string, { generation: number; backend: Backend }>();
  return {
    of(issuer) {
      const { uid, generation } = issuer.metadata;
      const known = kept.get(uid);
      if (known?.generation === generation) return known.backend;
      const configMaps = configMapsOf?.(issuer);
      const own = {
        ...deps,
        secrets: secretsOf(issuer),
        urls: urls(issuer),
        ...(configMaps ? { configMaps } : {}),
      };
      const backend = factoryOf(issuer).create(own, issuer, issuer.spec.backend);
      kept.delete(uid);
      kept.set(uid, { generation, backend });
      const oldest = kept.keys().next().value;
      if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
      return backend;
    },
  };
}

function factoryOf({ spec, metadata }: Issuer): BackendFactory {
  const offered = metadata.namespace === undefined ? Object.keys(FACTORIES) : TENANT_BACKENDS;
  const name = offered.find((name) => Object.hasOwn(spec.backend, name));
  if (name === undefined) throw new Error(`issuer ${metadata.name} has no backend that is known here`);
  return FACTORIES[name as keyof BackendSpec];
}
