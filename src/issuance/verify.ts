// What the CA gave back against what was approved. Nothing is released that fails here.
import { type CertificateFacts, parseCertificate, verifyLeaf } from '../domain/certificate.ts';
import type { CertificateModel } from '../domain/certificate-model.ts';
import { linkFault } from '../domain/chain.ts';
import type { Backend } from '../ports.ts';

/** The leaf. Throws an Error naming every mismatch, for the log; clients never see it. */
export function verifyIssued(
  chain: readonly Buffer[],
  model: CertificateModel,
  controls: Backend['controls'],
): CertificateFacts {
  const [leafDer, issuerDer] = chain;
  if (!leafDer || !issuerDer) throw new Error('the CA answered without a chain');
  const leaf = parseCertificate(leafDer);
  const reasons = verifyLeaf(leaf, model, {
    ...(controls.validity ? { notBefore: model.notBefore, notAfter: model.notAfter } : {}),
    exactUsages: controls.extensions,
  });
  const fault = linkFault(leaf, parseCertificate(issuerDer));
  if (fault !== undefined) reasons.push(fault);
  if (reasons.length > 0)
    throw new Error(`the CA answered with a certificate other than approved: ${reasons.join('; ')}`);
  return leaf;
}
