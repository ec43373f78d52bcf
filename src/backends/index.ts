// The backends by the name they have in an issuer's spec, and the live one of each issuer.
import type { CAIssuerSpec, ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { Backend, BackendDeps, BackendFactory, Backends } from '../ports.ts';
import { caBackend } from './ca/index.ts';
import { webhookBackend } from './webhook/index.ts';

type BackendSpec = NonNullable<CAIssuerSpec['backend']>;

const FACTORIES: Readonly<Record<keyof BackendSpec, BackendFactory>> = {
  ca: caBackend,
  webhook: webhookBackend,
};

export interface BackendsDeps extends Omit<BackendDeps, 'urls'> {
  /** Where the CRL and issuer certificate of the issuer are served over plain HTTP. */
  urls: (issuer: ClusterCAIssuer) => BackendDeps['urls'];
}

/** Issuers kept at most; one beyond only makes a backend read its Secrets again. */
const MAX_KEPT = 1024;

/** One backend per issuer and generation of its spec. `of` throws Error for a spec that names no backend this program has. */
export function createBackends({ urls, ...deps }: BackendsDeps): Backends {
  const kept = new Map<string, { generation: number; backend: Backend }>();
  return {
    of(issuer) {
      const { uid, generation } = issuer.metadata;
      const known = kept.get(uid);
      if (known?.generation === generation) return known.backend;
      const backend = factoryOf(issuer).create({ ...deps, urls: urls(issuer) }, issuer, issuer.spec.backend);
      kept.delete(uid);
      kept.set(uid, { generation, backend });
      const oldest = kept.keys().next().value;
      if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
      return backend;
    },
  };
}

function factoryOf({ spec, metadata }: ClusterCAIssuer): BackendFactory {
  const name = Object.keys(FACTORIES).find((name) => Object.hasOwn(spec.backend, name));
  if (name === undefined) throw new Error(`issuer ${metadata.name} has no backend that is known here`);
  return FACTORIES[name as keyof BackendSpec];
}
