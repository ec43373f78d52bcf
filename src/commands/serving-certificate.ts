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

/** A fresh key and certificate for these names. */
export async function servingCertificate(
  deps: { secrets: SecretReader; clock: Clock; random: Random },
  names: { dnsNames: readonly string[]; ipAddresses: readonly string[] },
): Promise<ServingCertificate> {
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
