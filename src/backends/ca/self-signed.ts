// The bootstrap of a `ca` issuer without a CA: a key and a self-signed certificate, written once.
import type { CaBackendSpec } from '../../api/ca-issuer.ts';
import { buildRootTbs, seal } from '../../domain/certificate-builder.ts';
import type { DistinguishedName } from '../../domain/certificate-model.ts';
import { signAside, signatureAlgorithm } from '../../domain/certificate-signature.ts';
import { parseDuration } from '../../domain/duration.ts';
import { renderPem } from '../../domain/encoding.ts';
import { OID } from '../../domain/oid.ts';
import { DEFAULT_KEY, generatePrivateKey, spkiOf } from '../../domain/private-key.ts';
import type { Clock, Random } from '../../ports.ts';

const DEFAULT_DURATION = '87600h';
/** Clients' clocks may be slow. */
const BACKDATE_MS = 3_600_000;
const SERIAL_BYTES = 16;

/** A positive serial number with 126 random bits, always of 16 octets. */
export function randomSerial(random: Random): Buffer {
  const serial = Buffer.from(random.bytes(SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** Values of a kubernetes.io/tls Secret with a fresh CA; the key is encrypted where there is a passphrase. */
export async function createSelfSigned(
  spec: NonNullable<CaBackendSpec['selfSigned']>,
  passphrase: Buffer | undefined,
  { clock, random }: { clock: Clock; random: Random },
): Promise<Record<string, Buffer>> {
  const key = await generatePrivateKey(spec.privateKey ?? DEFAULT_KEY);
  const now = clock.now().getTime();
  const algorithm = signatureAlgorithm(key);
  const tbs = buildRootTbs({
    serial: randomSerial(random),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + parseDuration(spec.duration ?? DEFAULT_DURATION)),
    subject: subjectOf(spec),
    spki: spkiOf(key),
    algorithm,
  });
  const certificate = Buffer.from(renderPem('CERTIFICATE', seal(tbs, algorithm, await signAside(key, tbs))));
  const pem = key.export({
    type: 'pkcs8',
    format: 'pem',
    ...(passphrase ? { cipher: 'aes-256-cbc', passphrase: passphrase.toString('utf8') } : {}),
  });
  return { 'tls.key': Buffer.from(pem), 'tls.crt': certificate, 'ca.crt': certificate };
}

function subjectOf(spec: NonNullable<CaBackendSpec['selfSigned']>): DistinguishedName {
  return [
    ...(spec.organization === undefined ? [] : [[{ oid: OID.organizationName, value: spec.organization }]]),
    [{ oid: OID.commonName, value: spec.commonName }],
  ];
}
