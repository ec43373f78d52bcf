// What the CA gave back against what was approved. Nothing is released that fails here.
import { type CertificateFacts, parseCertificate, verifyLeaf } from '../domain/certificate.ts';
import type { CertificateModel } from '../domain/certificate-model.ts';
import { chainFaults, linkChain, linkFault } from '../domain/chain.ts';
import type { Backend } from '../ports.ts';

/** The leaf. Throws an Error naming every mismatch, for the log; clients never see it. */
export type VerifyIssued = (
  chain: readonly Buffer[],
  model: CertificateModel,
  controls: Backend['controls'],
) => CertificateFacts;

/** Issuing certificates are parsed once for each Buffer a backend hands out. */
export function createVerifyIssued(): VerifyIssued {
  const issuers = new WeakMap<Buffer, CertificateFacts>();

  function issuerOf(der: Buffer): CertificateFacts {
    const known = issuers.get(der) ?? parseCertificate(der);
    issuers.set(der, known);
    return known;
  }

  return ([leafDer, issuerDer], model, controls) => {
    if (!leafDer || !issuerDer) throw new Error('the CA answered without a chain');
    const leaf = parseCertificate(leafDer);
    const reasons = leafReasons(leaf, model, { controls, backdateMs: 0 });
    const fault = linkFault(leaf, issuerOf(issuerDer));
    if (fault !== undefined) reasons.push(fault);
    if (reasons.length > 0)
      throw new Error(`the CA answered with a certificate other than approved: ${reasons.join('; ')}`);
    return leaf;
  };
}

/** CAs elsewhere let validity begin this much before the time they are told, for clocks that are behind. */
export const BACKDATE_MS = 15 * 60_000;

export interface Verified {
  leaf: CertificateFacts;
  /** DER above the leaf, issuing CA first, as far up as is known. */
  above: readonly Buffer[];
}

/**
 * What a CA elsewhere answered: `reasons` why it must not be released, fit for the audit log, with the serial where one can be read; or
 * the leaf and its chain, put in order, which leads to one of the anchors where there are any.
 */
export function judgeAnswer(
  answer: readonly Buffer[],
  model: CertificateModel,
  { controls, anchors }: { controls: Backend['controls']; anchors: readonly Buffer[] | undefined },
): Verified | { reasons: string[]; serial: string | undefined } {
  const parsed = parseAll(answer);
  if ('fault' in parsed) return { reasons: [parsed.fault], serial: undefined };
  const { leaf, others } = parsed;
  const reasons = leafReasons(leaf, model, { controls, backdateMs: BACKDATE_MS });
  const trusted = (anchors ?? []).map(parseCertificate);
  const chain = linkChain(leaf, [...others, ...trusted]);
  reasons.push(...chainFaults(chain));
  const fingerprints = new Set(trusted.map(({ fingerprint }) => fingerprint));
  if (chain.length === 1) reasons.push('there is no chain');
  else if (anchors && !chain.slice(1).some(({ fingerprint }) => fingerprints.has(fingerprint)))
    reasons.push('its chain leads to none of the trust anchors of the issuer');
  return reasons.length > 0 ? { reasons, serial: leaf.serial } : { leaf, above: chain.slice(1).map(({ der }) => der) };
}

function parseAll(
  answer: readonly Buffer[],
): { leaf: CertificateFacts; others: CertificateFacts[] } | { fault: string } {
  try {
    const [leaf, ...others] = answer.map(parseCertificate);
    return leaf ? { leaf, others } : { fault: 'there is no certificate in the answer' };
  } catch (error) {
    return { fault: `not a certificate: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function leafReasons(
  leaf: CertificateFacts,
  model: CertificateModel,
  { controls, backdateMs }: { controls: Backend['controls']; backdateMs: number },
): string[] {
  const notBefore = new Date(model.notBefore.getTime() - backdateMs);
  const length = model.notAfter.getTime() - model.notBefore.getTime();
  const notAfter =
    controls.validity === 'length' ? new Date(leaf.notBefore.getTime() + length + backdateMs) : model.notAfter;
  return verifyLeaf(leaf, model, {
    ...(controls.validity === false ? {} : { notBefore, notAfter }),
    exactUsages: controls.extensions,
  });
}
