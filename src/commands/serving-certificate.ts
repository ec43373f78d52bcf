// The certificate the ACME server itself shows: from a CA of its own, made once and kept, so that clients trust it for good; and how it
// is kept from expiring, wherever it is stored.
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
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

/** Calls `renewIfDue` again and again until the signal aborts; never rejects. What goes wrong is told and tried again. */
export async function keepRenewed(
  { clock, renewIfDue, failed }: { clock: Clock; renewIfDue: () => Promise<void>; failed: (error: unknown) => void },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await renewIfDue().catch(failed);
    await clock.sleep(LOOK_MS, signal).catch(() => undefined);
  }
}

/** After two thirds of its life, and when it is not for these names. Throws for what is no certificate. */
export function isDue(cert: string, names: ServingNames, now: Date): boolean {
  const leaf = new X509Certificate(cert);
  const [from, to] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  const covers =
    names.dnsNames.every((name) => leaf.checkHost(name, { wildcards: false }) !== undefined) &&
    names.ipAddresses.every((address) => leaf.checkIP(address) !== undefined);
  return !covers || now.getTime() >= from + ((to - from) * 2) / 3;
}

/** As keepRenewed, for a certificate that this process alone shows: whenever it is due, `use` gets a fresh one. */
export async function keepServing(
  deps: ServingDeps,
  names: ServingNames,
  given: {
    made: ServingCertificate;
    use: (made: ServingCertificate) => void;
    report: (text: string) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  let { cert } = given.made;
  await keepRenewed(
    {
      clock: deps.clock,
      renewIfDue: async () => {
        if (!isDue(cert, names, deps.clock.now())) return;
        const made = await servingCertificate(deps, names);
        given.use(made);
        ({ cert } = made);
      },
      failed: (error) => given.report(`the serving certificate could not be renewed: ${(error as Error).message}`),
    },
    given.signal,
  );
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
