// The certificate of the ACME server in a cluster: a Secret kept by somebody else, or one from an own CA, made by whichever replica
// comes first and renewed by the lease holder. Every replica takes up what the Secret says now, without dropping connections.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type Secret, SecretKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { trustBundle } from '../domain/trust-anchors.ts';
import type { Clock, Cluster, Log, Random, SecretReader } from '../ports.ts';
import { isDue, keepRenewed, type ServingNames, servingCertificate } from './serving-certificate.ts';

/** Holds the certificate of the own CA. */
export const SERVING_SECRET = 'countersign-serving-tls';

export const SERVING_TLS_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['update'],
    in: ['operator'],
    names: [SERVING_SECRET],
    why: 'renew its serving certificate',
  },
];

export interface KeyPair {
  /** PEM, leaf first. */
  cert: string;
  key: string;
}

export interface ServingTlsDeps {
  cluster: Pick<Cluster, 'get' | 'create' | 'replace'>;
  secrets: SecretReader;
  namespace: string;
  /** Of somebody else's Secret. */
  secretName: string | undefined;
  /** What the own certificate is for. */
  names: ServingNames;
  clock: Clock;
  random: Random;
  log: Log;
  /** Takes the certificate up; called whenever it is another one. */
  use: (pair: KeyPair) => void;
}

export interface ServingTls {
  readonly secretName: string;
  /** Whether there is a certificate. */
  isLoaded(): boolean;
  /** Resolves once there is one; rejects with the signal's reason. */
  loaded(signal: AbortSignal): Promise<void>;
  /** Reads the Secret, and makes it where it is ours to make. What is wrong is logged, and the last good certificate stays. */
  refresh(): Promise<void>;
  /** Keeps the own certificate from expiring until the signal aborts; for the lease holder. Never rejects. */
  renew(signal: AbortSignal): Promise<void>;
}

/** How often a Secret that is not usable yet is looked at. */
const RETRY_MS = 2000;

export function createServingTls(deps: ServingTlsDeps): ServingTls {
  const secretName = deps.secretName ?? SERVING_SECRET;
  const at = { namespace: deps.namespace, name: secretName };
  let current: KeyPair | undefined;

  async function refresh(): Promise<void> {
    try {
      const secret = (await deps.cluster.get(SecretKind, at)) ?? (await makeOwn(deps));
      const pair = pairOf(secret);
      if (pair.cert === current?.cert && pair.key === current.key) return;
      deps.use(pair);
      current = pair;
      const { validTo, subjectAltName } = new X509Certificate(pair.cert);
      deps.log.info({ secret: secretName, names: subjectAltName, notAfter: validTo }, 'serving certificate taken up');
    } catch (error) {
      deps.log.error({ error, secret: secretName, served: current !== undefined }, 'no usable serving certificate');
    }
  }

  return {
    secretName,
    isLoaded: () => current !== undefined,
    refresh,
    loaded: async (signal) => {
      for (;;) {
        await refresh();
        if (current) return;
        await deps.clock.sleep(RETRY_MS, signal);
      }
    },
    renew: async (signal) => {
      if (deps.secretName !== undefined) return;
      const failed = (error: unknown) =>
        deps.log.warn({ error, secret: secretName }, 'the serving certificate could not be renewed');
      await keepRenewed({ clock: deps.clock, renewIfDue: () => renewIfDue(deps), failed }, signal);
    },
  };
}

/** Throws an Error that says what is wrong with the Secret. */
function pairOf({ metadata, data = {} }: Secret): KeyPair {
  const [cert, key] = ['tls.crt', 'tls.key'].map((name) => Buffer.from(data[name] ?? '', 'base64').toString('latin1'));
  if (!cert || !key) throw new Error(`the Secret ${metadata.name} lacks tls.crt or tls.key`);
  // Throws for what is no certificate or key, and for two that do not belong together.
  createSecureContext({ cert, key });
  return { cert, key };
}

async function makeOwn(deps: ServingTlsDeps): Promise<Secret> {
  if (deps.secretName !== undefined) throw new Error(`there is no Secret ${deps.secretName} in ${deps.namespace}`);
  const metadata = { namespace: deps.namespace, name: SERVING_SECRET };
  try {
    return await deps.cluster.create(SecretKind, { metadata, type: 'kubernetes.io/tls', data: await ownData(deps) });
  } catch (error) {
    const other = isClusterError(error, 'AlreadyExists') ? await deps.cluster.get(SecretKind, metadata) : undefined;
    if (!other) throw error;
    return other;
  }
}

async function ownData(deps: ServingTlsDeps, before?: Secret): Promise<Record<string, string>> {
  const { cert, key, ca } = await servingCertificate(deps, deps.names);
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  return { 'tls.crt': encoded(cert), 'tls.key': encoded(key), 'ca.crt': encoded(ca + formerCA(deps, ca, before)) };
}

async function renewIfDue(deps: ServingTlsDeps): Promise<void> {
  const secret = await deps.cluster.get(SecretKind, { namespace: deps.namespace, name: SERVING_SECRET });
  if (!secret || !mustRenew(deps, secret)) return;
  await deps.cluster.replace(SecretKind, { ...secret, data: { ...secret.data, ...(await ownData(deps, secret)) } });
  deps.log.info({ secret: SERVING_SECRET }, 'serving certificate renewed');
}

/** The CA before another one: replicas show what it signed until they have taken up the new certificate, and clients may be late. */
function formerCA({ clock }: ServingTlsDeps, ca: string, before: Secret | undefined): string {
  try {
    const pem = Buffer.from(before?.data?.['ca.crt'] ?? '', 'base64').toString('latin1');
    const others = trustBundle(pem, clock.now()).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g) ?? [];
    return others
      .filter((each) => each.trim() !== ca.trim())
      .slice(0, MAX_FORMER)
      .join('');
  } catch {
    // What somebody else put there is nothing to keep.
    return '';
  }
}

const MAX_FORMER = 2;

/** It is due, or of no use. */
function mustRenew({ names, clock }: ServingTlsDeps, secret: Secret): boolean {
  try {
    return isDue(pairOf(secret).cert, names, clock.now());
  } catch {
    return true;
  }
}
