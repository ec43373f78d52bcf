// What is published for others to trust.
import { parseCertificate } from './certificate.ts';
import { parsePemCertificates } from './chain.ts';
import { renderPem } from './encoding.ts';

/**
 * PEM of the CA certificates to trust: the last of each chain, and all of `additional`. Each once, in order; those that have expired are
 * left out, and those that are no CAs. Throws Error for PEM that cannot be read.
 */
export function trustAnchors(chains: readonly string[], additional: string | undefined, now: Date): string {
  const tops = chains.flatMap((pem) => parsePemCertificates(pem).slice(-1));
  return bundle([...tops, ...(additional === undefined ? [] : parsePemCertificates(additional))], now);
}

/** As above, of all certificates in PEM. */
export function trustBundle(pem: string, now: Date): string {
  return bundle(parsePemCertificates(pem), now);
}

function bundle(certificates: readonly Buffer[], now: Date): string {
  const good = certificates.filter((der) => {
    const { isCA, notAfter } = parseCertificate(der);
    return isCA && notAfter > now;
  });
  return [...new Set(good.map((der) => renderPem('CERTIFICATE', der)))].join('');
}
