// Writes PKCS#10 requests (RFC 2986) for keys we hold. The strict reader of what others send is csr.ts.
import type { KeyObject } from 'node:crypto';
import type { Usage } from '../api/kind.ts';
import type { AlternativeNames, DistinguishedName } from './certificate-model.ts';
import { signAside, signatureAlgorithm } from './certificate-signature.ts';
import { bitString, integer, oid, sequence, set, tagged } from './der-writer.ts';
import { encodeName } from './distinguished-name.ts';
import { encodeAlternativeNames, encodeExtendedKeyUsage, encodeExtension, isEmpty } from './extensions.ts';
import { OID } from './oid.ts';
import { spkiOf } from './private-key.ts';

export interface CsrContent {
  subject: DistinguishedName;
  names: AlternativeNames;
  /** Asked for in an extendedKeyUsage extension; none asked for when absent. */
  usages?: readonly Usage[];
}

/**
 * DER of a request signed with this private key. Throws RangeError for a subject or name that cannot be encoded, Error for a
 * kind of key we do not sign with.
 */
export async function buildCsr(content: CsrContent, key: KeyObject): Promise<Buffer> {
  // RFC 2986 section 4.1: version 0, subject, key, attributes [0] IMPLICIT SET OF.
  const info = sequence(integer(0), encodeName(content.subject), spkiOf(key), tagged(0, ...attributes(content)));
  const signature = await signAside(key, info);
  return sequence(info, signatureAlgorithm(key).der, bitString(signature));
}

function attributes({ subject, names, usages }: CsrContent): Buffer[] {
  const extensions: Buffer[] = [];
  // RFC 5280 section 4.2.1.6: with an empty subject the alternative name is critical.
  if (!isEmpty(names))
    extensions.push(encodeExtension(OID.subjectAltName, encodeAlternativeNames(names), subject.length === 0));
  if (usages) extensions.push(encodeExtension(OID.extKeyUsage, encodeExtendedKeyUsage(usages)));
  return extensions.length === 0 ? [] : [sequence(oid(OID.extensionRequest), set(sequence(...extensions)))];
}
