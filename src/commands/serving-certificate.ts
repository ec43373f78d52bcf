// The certificate the ACME server itself shows in `dev`: from a CA of its own, made once and kept, so that clients trust it for good.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { apiVersion } from '../api/kind.ts';
import { caBackend } from '../backends/ca/index.ts';
import { renderPem } from '../domain/encoding.ts';
import { parsePublicKey } from '../domain/public-key.ts';
import type { Clock, Random, SecretReader } from '../ports.ts';

const SECRET = 'countersign-serving-ca';
const CERTIFICATE_MS = 90 * 24 * 3600_000;
const BACKDATE_MS = 60_000;

export interface ServingCertificate {
  /** PEM, leaf first. */
  cert: string;
  /** PEM, PKCS#8. */
  key: string;
  /** PEM of the root that clients must trust. */
  ca: string;
}

export interface ServingDeps {
  secrets: SecretReader;
  clock: Clock;
  random: Random;
}

export interface ServingNames {
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
}

/** How often a certificate is looked at: the machine may have slept, which timers do not see. */
const LOOK_MS = 3_600_000;

/**
 * Hands a fresh certificate to `use` whenever two thirds of the life of the one before are over, the first of which was made just now.
 * Goes on until the signal aborts; never rejects. What goes wrong is told and tried again.
 */
export async function keepServing(
  deps: ServingDeps,
  names: ServingNames,
  {
    use,
    report,
    signal,
  }: { use: (made: ServingCertificate) => void; report: (text: string) => void; signal: AbortSignal },
): Promise<void> {
  let madeAt = deps.clock.now().getTime();
  while (!signal.aborted) {
    await deps.clock.sleep(LOOK_MS, signal).catch(() => undefined);
    const now = deps.clock.now().getTime();
    if (signal.aborted || now < madeAt + (CERTIFICATE_MS * 2) / 3) continue;
    try {
      use(await servingCertificate(deps, names));
      madeAt = now;
    } catch (error) {
      report(`the serving certificate could not be renewed: ${(error as Error).message}`);
    }
  }
}

/** A fresh key and certificate for these names. */
export async function servingCertificate(deps: ServingDeps, names: ServingNames): Promise<ServingCertificate> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const backend = caBackend.create({ ...deps, urls: undefined }, servingIssuer(), servingIssuer().spec.backend);
  const now = deps.clock.now().getTime();
  const outcome = await backend.sign(
    {
      id: 'serving-certificate',
      csr: Buffer.alloc(0),
      model: {
        subject: [],
        names: { ...names, uris: [], emailAddresses: [] },
        publicKey: parsePublicKey(spkiOf(publicKey)),
        usages: ['server auth'],
        notBefore: new Date(Math.floor((now - BACKDATE_MS) / 1000) * 1000),
        notAfter: new Date(Math.floor((now + CERTIFICATE_MS) / 1000) * 1000),
        profile: undefined,
      },
    },
    AbortSignal.timeout(10_000),
  );
  if (outcome.kind !== 'issued') throw new Error('the CA of the serving certificate did not sign');
  const pems = outcome.chain.map((der) => renderPem('CERTIFICATE', der));
  return {
    cert: pems.join(''),
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    ca: pems.at(-1) ?? '',
  };
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' });
}

/** The serving CA is a `ca` backend like any other; no object of the cluster describes it. */
function servingIssuer(): ClusterCAIssuer {
  return {
    apiVersion: apiVersion(ClusterCAIssuerKind),
    kind: ClusterCAIssuerKind.kind,
    metadata: { name: 'serving', uid: SECRET, resourceVersion: '0', generation: 1, creationTimestamp: '' },
    spec: {
      backend: { ca: { secretRef: { name: SECRET }, selfSigned: { commonName: 'Countersign serving CA' } } },
    },
  };
}
