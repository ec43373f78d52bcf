// What the CA gave back against what was approved. Nothing is released that fails here.
import { type CertificateFacts, parseCertificate, verifyLeaf } from '../domain/certificate.ts';
import type { CertificateModel } from '../domain/certificate-model.ts';
import { linkFault } from '../domain/chain.ts';
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
    const reasons = verifyLeaf(leaf, model, {
      ...(controls.validity ? { notBefore: model.notBefore, notAfter: model.notAfter } : {}),
      exactUsages: controls.extensions,
    });
    const fault = linkFault(leaf, issuerOf(issuerDer));
    if (fault !== undefined) reasons.push(fault);
    if (reasons.length > 0)
      throw new Error(`the CA answered with a certificate other than approved: ${reasons.join('; ')}`);
    return leaf;
  };
}
