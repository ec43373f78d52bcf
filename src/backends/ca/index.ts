// The `ca` backend: signs here, with a CA key kept in a Secret.
import type { CaBackendSpec } from '../../api/ca-issuer.ts';
import { seal } from '../../domain/certificate-builder.ts';
import { signAside } from '../../domain/certificate-signature.ts';
import { buildCrlTbs } from '../../domain/crl.ts';
import { renderName } from '../../domain/distinguished-name.ts';
import { parseDuration } from '../../domain/duration.ts';
import { Problem } from '../../domain/problem.ts';
import type {
  Backend,
  BackendDeps,
  BackendFactory,
  BackendHealth,
  SigningOutcome,
  SigningRequest,
} from '../../ports.ts';
import type { Authority } from './authority.ts';
import { createAuthorityCache } from './authority-cache.ts';
import { CaFault } from './ca-fault.ts';
import { modelProblem, validityFault } from './limits.ts';
import { randomSerial } from './self-signed.ts';

const DEFAULT_CRL_DURATION = '168h';

export const caBackend: BackendFactory = {
  create(deps, _issuer, { ca }) {
    if (!ca) throw new Error('the issuer has no CA of its own');
    return createCaBackend(deps, ca);
  },
};

/** Everything in a certificate comes from the approved model; sign throws CaFault while the CA cannot be used. */
function createCaBackend(deps: BackendDeps, spec: CaBackendSpec): Backend {
  const cache = createAuthorityCache(deps, spec);

  /** The CA, if it can sign now. */
  async function usable(): Promise<Authority> {
    const authority = await cache.get();
    const fault = validityFault(authority, deps.clock.now());
    if (fault) throw fault;
    return authority;
  }

  return {
    controls: { subject: true, validity: true, extensions: true },
    local: true,
    async sign(request, signal) {
      signal.throwIfAborted();
      return signLeaf(await usable(), request, randomSerial(deps.random));
    },
    async limits(model) {
      return modelProblem(await usable(), model);
    },
    async notAfterLimit() {
      return (await cache.get()).certificate.notAfter;
    },
    async check(signal) {
      signal.throwIfAborted();
      return cache.refresh().then((authority) => health(authority, deps.clock.now()), unhealthy);
    },
    async signCrl(entries, number, thisUpdate) {
      const authority = await usable();
      const { certificate, algorithm, keyIdentifier, key, signsCrls } = authority;
      if (!signsCrls)
        throw new CaFault(
          'KeyUsageForbids',
          `the keyUsage of ${renderName(certificate.subject)} does not allow it to sign CRLs (cRLSign)`,
        );
      const tbs = buildCrlTbs({
        issuer: certificate.subjectDer,
        keyIdentifier,
        algorithm,
        number,
        thisUpdate,
        nextUpdate: new Date(thisUpdate.getTime() + parseDuration(spec.crlDuration ?? DEFAULT_CRL_DURATION)),
        entries,
      });
      return seal(tbs, algorithm, await signAside(key, tbs));
    },
  };
}

async function signLeaf(authority: Authority, { model }: SigningRequest, serial: Buffer): Promise<SigningOutcome> {
  const problem = modelProblem(authority, model);
  if (problem) return { kind: 'refused', problem };
  let tbs: Buffer;
  try {
    tbs = authority.buildLeaf({ ...model, serial });
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'refused', problem: new Problem('badCSR', error.message) };
    throw error;
  }
  const leaf = seal(tbs, authority.algorithm, await signAside(authority.key, tbs));
  return { kind: 'issued', chain: [leaf, ...authority.chains[0].map(({ der }) => der)] };
}

function health(authority: Authority, now: Date): BackendHealth {
  const { certificate, chains } = authority;
  const fault = validityFault(authority, now);
  return {
    ready: fault === undefined,
    reason: fault?.reason ?? 'Ready',
    message:
      fault?.message ?? `signs as ${renderName(certificate.subject)} until ${certificate.notAfter.toISOString()}`,
    ca: { certificate: certificate.der, chains: chains.map((chain) => chain.map(({ der }) => der)) },
  };
}

function unhealthy(error: unknown): BackendHealth {
  if (error instanceof CaFault) return { ready: false, reason: error.reason, message: error.message };
  return { ready: false, reason: 'SecretUnreadable', message: 'the Secret of the CA cannot be read now' };
}
