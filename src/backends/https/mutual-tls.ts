// The TLS of calls to a CA elsewhere: a client certificate of ours, where it wants one, and the certificates its own must chain to. Secrets
// and ConfigMaps are read once and kept until somebody asks for a fresh look, as after a failed call: so new ones are taken up while the
// program runs.
import { Agent } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { CaBundleRef } from '../../api/ejbca-backend.ts';
import { sha256 } from '../../domain/encoding.ts';
import type { BackendDeps } from '../../ports.ts';
import { RemoteFault } from './remote-fault.ts';

export interface MutualTlsSpec {
  /** Of a Secret with tls.crt and tls.key. */
  clientCertificateRef?: { name: string };
  /** PEM. */
  caBundle?: string;
  caBundleRef?: CaBundleRef;
}

export interface MutualTls {
  /** Throws RemoteFault for what is missing or unusable. */
  agent(): Promise<Agent>;
  /** Work with that agent. Where it ends in a RemoteFault, `agent` reads anew: another certificate, key or CA bundle may be the cure. */
  use<T>(work: (agent: Agent) => Promise<T>): Promise<T>;
  /** The next `agent` reads Secrets and ConfigMaps again. */
  refresh(): void;
}

interface Material {
  certificate: Buffer | undefined;
  key: Buffer | undefined;
  ca: Buffer | undefined;
}

export function createMutualTls(
  deps: Pick<BackendDeps, 'secrets' | 'configMaps'>,
  spec: MutualTlsSpec,
  maxSockets: number,
): MutualTls {
  let kept: { digest: string; agent: Agent } | undefined;
  let current: Promise<Agent> | undefined;

  async function load(): Promise<Agent> {
    const material = await readMaterial(deps, spec);
    const digest = digestOf(material);
    if (kept?.digest !== digest) {
      const agent = build(material, maxSockets);
      if (kept) retire(kept.agent);
      kept = { digest, agent };
    }
    return kept.agent;
  }

  function agent(): Promise<Agent> {
    if (current) return current;
    const loading = load();
    current = loading;
    loading.catch(() => {
      if (current === loading) current = undefined;
    });
    return loading;
  }

  function refresh(): void {
    current = undefined;
  }

  return {
    agent,
    refresh,
    async use(work) {
      const ours = await agent();
      try {
        return await work(ours);
      } catch (error) {
        if (error instanceof RemoteFault) refresh();
        throw error;
      }
    },
  };
}

/** Requests under way end on the connections they have; none of the old certificate is used again. */
function retire(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
}

async function readMaterial(
  deps: Pick<BackendDeps, 'secrets' | 'configMaps'>,
  { clientCertificateRef: client, caBundle, caBundleRef }: MutualTlsSpec,
): Promise<Material> {
  const [certificate, key, bundle] = await Promise.all([
    client && readValue(deps, { name: client.name, key: 'tls.crt' }),
    client && readValue(deps, { name: client.name, key: 'tls.key' }),
    caBundleRef && readValue(deps, caBundleRef),
  ]);
  return { certificate, key, ca: caBundle === undefined ? bundle : Buffer.from(caBundle) };
}

const REASONS = {
  Secret: ['SecretMissing', 'SecretKeyMissing'],
  ConfigMap: ['ConfigMapMissing', 'ConfigMapKeyMissing'],
} as const;

/** The bytes at a key of a Secret or ConfigMap. Throws RemoteFault where there are none. */
export async function readValue(
  { secrets, configMaps }: Pick<BackendDeps, 'secrets' | 'configMaps'>,
  { kind = 'Secret', name, key }: CaBundleRef,
): Promise<Buffer> {
  const object = kind === 'Secret' ? await secrets.read(name) : await configMaps?.read(name);
  const [missing, keyMissing] = REASONS[kind];
  if (!object) throw new RemoteFault(missing, `there is no ${kind} ${name}`);
  const value = object[key];
  if (value === undefined) throw new RemoteFault(keyMissing, `${kind} ${name} has no key ${key}`);
  return Buffer.from(value);
}

function digestOf({ certificate, key, ca }: Material): string {
  return [certificate, key, ca].map((part) => (part ? sha256(part).toString('hex') : '')).join(' ');
}

function build({ certificate, key, ca }: Material, maxSockets: number): Agent {
  const client = certificate && key && { cert: certificate, key };
  const tls = { minVersion: 'TLSv1.2', ...client, ...(ca ? { ca } : {}) } as const;
  try {
    createSecureContext(tls);
  } catch {
    // What OpenSSL says may quote the key.
    throw new RemoteFault('SecretUnusable', 'the client certificate, its key or the CA bundle cannot be used for TLS');
  }
  return new Agent({ ...tls, keepAlive: true, maxSockets });
}
