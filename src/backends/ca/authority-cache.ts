// Keeps the parsed CA between signatures: its Secrets are read at most every few seconds and parsed when their bytes change.
import type { CaBackendSpec } from '../../api/ca-issuer.ts';
import { sha256 } from '../../domain/encoding.ts';
import type { BackendDeps } from '../../ports.ts';
import { type Authority, type CaMaterial, loadAuthority } from './authority.ts';
import { CaFault } from './ca-fault.ts';
import { createSelfSigned } from './self-signed.ts';

/** How old an answer may be on the way to a signature; a rotated CA takes over within this. */
const MAX_AGE_MS = 5000;

export interface AuthorityCache {
  /** The CA, as of a few seconds ago at most. Throws CaFault; rejects as the reader does where no CA has been read yet. */
  get(): Promise<Authority>;
  /** As get, after a fresh read. */
  refresh(): Promise<Authority>;
}

type Values = Readonly<Record<string, Buffer>>;

export function createAuthorityCache(deps: BackendDeps, spec: CaBackendSpec): AuthorityCache {
  let kept: { digest: Buffer; loaded: Authority | CaFault } | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const material = await readMaterial(deps, spec).catch((error: unknown) => {
      if (error instanceof CaFault) return error;
      throw error;
    });
    if (material instanceof CaFault) kept = { digest: Buffer.alloc(0), loaded: material };
    else {
      const digest = digestOf(material);
      if (!kept?.digest.equals(digest)) kept = { digest, loaded: load(material, deps.urls) };
    }
    readAt = deps.clock.monotonic();
  }

  /** Callers at the same time share one read. */
  function shared(): Promise<void> {
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  function answer(): Authority {
    if (!kept) throw new CaFault('SecretUnreadable', 'the Secret of the CA has not been read yet');
    if (kept.loaded instanceof CaFault) throw kept.loaded;
    return kept.loaded;
  }

  return {
    async get() {
      if (deps.clock.monotonic() - readAt >= MAX_AGE_MS) {
        try {
          await shared();
        } catch (error) {
          // A Secret that cannot be read now is most likely the one read before.
          if (!kept) throw error;
        }
      }
      return answer();
    },
    async refresh() {
      await shared();
      return answer();
    },
  };
}

function load(material: CaMaterial, urls: BackendDeps['urls']): Authority | CaFault {
  try {
    return loadAuthority(material, urls);
  } catch (error) {
    if (error instanceof CaFault) return error;
    throw error;
  }
}

/** Over every value with its length, so that no two materials run together. */
function digestOf({ key, certificates, passphrase, alternates }: CaMaterial): Buffer {
  const values = [key, certificates, passphrase ?? Buffer.alloc(0), ...alternates.map(({ pem }) => pem)];
  return sha256(Buffer.concat(values.flatMap((value) => [Buffer.from(`${value.length}:`), value])));
}

async function readMaterial(deps: BackendDeps, spec: CaBackendSpec): Promise<CaMaterial> {
  const passphrase = spec.passphraseSecretRef && (await readValue(deps, spec.passphraseSecretRef));
  const values = (await deps.secrets.read(spec.secretRef.name)) ?? (await bootstrap(deps, spec, passphrase));
  const alternates = await Promise.all(
    (spec.alternateChains ?? []).map(async (ref) => ({
      name: `alternate chain ${ref.name}/${ref.key}`,
      pem: await readValue(deps, ref),
    })),
  );
  const name = spec.secretRef.name;
  return {
    key: valueOf(values, name, 'tls.key'),
    certificates: valueOf(values, name, 'tls.crt'),
    passphrase,
    alternates,
  };
}

async function readValue(deps: BackendDeps, { name, key }: { name: string; key: string }): Promise<Buffer> {
  const values = await deps.secrets.read(name);
  if (!values) throw new CaFault('SecretNotFound', `there is no Secret ${name}`);
  return valueOf(values, name, key);
}

function valueOf(values: Values, name: string, key: string): Buffer {
  const value = Object.hasOwn(values, key) ? values[key] : undefined;
  if (!value || value.length === 0) throw new CaFault('SecretIncomplete', `Secret ${name} has no value at ${key}`);
  return value;
}

/** Makes the CA where that is asked for. Whoever creates the Secret first wins; the others use what is there. */
async function bootstrap(deps: BackendDeps, spec: CaBackendSpec, passphrase: Buffer | undefined): Promise<Values> {
  const { name } = spec.secretRef;
  if (!spec.selfSigned) throw new CaFault('SecretNotFound', `there is no Secret ${name}`);
  const fresh = await createSelfSigned(spec.selfSigned, passphrase, deps);
  if (await deps.secrets.create(name, 'kubernetes.io/tls', fresh)) return fresh;
  const existing = await deps.secrets.read(name);
  if (!existing) throw new CaFault('SecretNotFound', `Secret ${name} was there and is gone`);
  return existing;
}
