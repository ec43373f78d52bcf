// How a webhook knows us and we know it: a TLS client certificate or a shared key of ours, CA certificates for its own. Secrets are read
// once and kept until somebody asks for a fresh look or a call has failed.
import { createHash, createHmac } from 'node:crypto';
import { Agent } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { WebhookBackendSpec } from '../../api/webhook-backend.ts';
import { sha256 } from '../../domain/encoding.ts';
import type { BackendDeps, SecretReader } from '../../ports.ts';
import { WebhookFault } from './webhook-fault.ts';

export interface Credentials {
  agent: Agent;
  /** Headers that sign a request; none where a client certificate does. `path` with the query. */
  sign(request: { method: string; path: string; body: Buffer }): Record<string, string>;
}

export interface CredentialStore {
  get(): Promise<Credentials>;
  /** The next `get` reads the Secrets again. */
  refresh(): void;
}

/** Less can be guessed. */
const MIN_KEY_BYTES = 32;

export function createCredentialStore(deps: BackendDeps, spec: WebhookBackendSpec): CredentialStore {
  let kept: { digest: string; credentials: Credentials } | undefined;
  let current: Promise<Credentials> | undefined;

  async function load(): Promise<Credentials> {
    const material = await readMaterial(deps.secrets, spec);
    const digest = digestOf(material);
    if (kept?.digest !== digest) {
      kept?.credentials.agent.destroy();
      kept = { digest, credentials: build(deps, spec, material) };
    }
    return kept.credentials;
  }

  return {
    get() {
      current ??= load();
      current.catch(() => {
        current = undefined;
      });
      return current;
    },
    refresh() {
      current = undefined;
    },
  };
}

interface Material {
  ca: Buffer | undefined;
  certificate: Buffer | undefined;
  key: Buffer | undefined;
  hmac: Buffer | undefined;
}

async function readMaterial(secrets: SecretReader, spec: WebhookBackendSpec): Promise<Material> {
  const { caBundle, caBundleRef, authentication } = spec;
  const { clientCertificateRef: client, hmac } = authentication;
  const value = (ref: { name: string; key: string } | undefined) => ref && readKey(secrets, ref);
  const [bundle, certificate, key, shared] = await Promise.all([
    value(caBundleRef),
    value(client && { name: client.name, key: 'tls.crt' }),
    value(client && { name: client.name, key: 'tls.key' }),
    value(hmac?.secretRef),
  ]);
  return {
    ca: caBundle === undefined ? bundle : Buffer.from(caBundle),
    certificate,
    key,
    hmac: shared && trimmed(shared),
  };
}

async function readKey(secrets: SecretReader, { name, key }: { name: string; key: string }): Promise<Buffer> {
  const secret = await secrets.read(name);
  if (!secret) throw new WebhookFault('SecretMissing', `there is no Secret ${name}`);
  const value = secret[key];
  if (!value) throw new WebhookFault('SecretKeyMissing', `Secret ${name} has no key ${key}`);
  return value;
}

/** Editors and shells like to end files with a line feed. */
function trimmed(value: Buffer): Buffer {
  const end = value.at(-1) === 0x0a ? (value.at(-2) === 0x0d ? -2 : -1) : value.length;
  return value.subarray(0, end);
}

function digestOf(material: Material): string {
  const parts = Object.values(material).map((part: Buffer | undefined) => (part ? sha256(part).toString('hex') : ''));
  return parts.join(' ');
}

function build(deps: BackendDeps, spec: WebhookBackendSpec, material: Material): Credentials {
  const { ca, certificate, key, hmac } = material;
  if (hmac && hmac.length < MIN_KEY_BYTES)
    throw new WebhookFault(
      'KeyTooShort',
      `the shared key has ${hmac.length} bytes, at least ${MIN_KEY_BYTES} are needed`,
    );
  const tls = {
    minVersion: 'TLSv1.2',
    ...(ca ? { ca } : {}),
    ...(certificate && key ? { cert: certificate, key } : {}),
  } as const;
  try {
    createSecureContext(tls);
  } catch {
    throw new WebhookFault('SecretUnusable', 'the client certificate, its key or the CA bundle cannot be used for TLS');
  }
  const keyID = spec.authentication.hmac?.keyID;
  return {
    agent: new Agent({ ...tls, keepAlive: true, maxSockets: spec.concurrency ?? 4 }),
    sign: (request) => (hmac ? signatureHeaders({ ...request, key: hmac, keyID, now: deps.clock.now() }) : {}),
  };
}

interface Signable {
  method: string;
  path: string;
  body: Buffer;
  key: Buffer;
  keyID: string | undefined;
  now: Date;
}

/** docs/write-your-own-backend.md, "Shared key". */
function signatureHeaders({ method, path, body, key, keyID, now }: Signable): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const digest = createHash('sha256').update(body).digest('hex');
  const signature = createHmac('sha256', key).update(['v1', method, path, timestamp, digest].join('\n')).digest('hex');
  return {
    'Countersign-Timestamp': timestamp,
    'Countersign-Signature': `v1=${signature}`,
    ...(keyID === undefined ? {} : { 'Countersign-Key-ID': keyID }),
  };
}
