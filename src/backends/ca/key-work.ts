// How much work an encrypted key asks for before it opens. Whoever writes the Secret writes that number too, and the whole program
// waits for it, so it is read first.
import { DerReader, TAG } from '../../domain/der.ts';

/** About a second: rounds of PBKDF2 and of the older schemes, blocks of scrypt. OpenSSL writes 2,048 and 131,072. */
const MAX_WORK = 2n ** 20n;
const LABEL = '-----BEGIN ENCRYPTED PRIVATE KEY-----';
const PBKDF2 = '1.2.840.113549.1.5.12';

/** Whether an encrypted PEM key opens within reason. Throws DerError for what is no PKCS#8 in DER. */
export function opensSoon(pem: string): boolean {
  // The traditional form, under other labels, has one round (RFC 1421 section 4.6.1.1).
  if (!pem.startsWith(LABEL)) return true;
  const outer = DerReader.of(Buffer.from(pem.slice(LABEL.length).replace(/-----.*$/, ''), 'base64')).readSequence();
  return workOf(outer.readSequence()) <= MAX_WORK;
}

/** Of the encryptionAlgorithm, RFC 5958 section 3: PBES1 has salt and rounds, PBES2 a scheme that has them (RFC 8018 appendix A). */
function workOf(algorithm: DerReader): bigint {
  let scheme = algorithm.readOid();
  let parameters = algorithm.readSequence();
  if (parameters.peekTag() === TAG.sequence) {
    const derivation = parameters.readSequence();
    scheme = derivation.readOid();
    parameters = derivation.readSequence();
  }
  parameters.readOctetString();
  const numbers: bigint[] = [];
  while (parameters.peekTag() === TAG.integer) numbers.push(parameters.readInteger());
  // After the rounds of PBKDF2 stands a length; scrypt (RFC 7914 section 7.1) has cost, block size and parallelization.
  return numbers.slice(0, scheme === PBKDF2 ? 1 : 3).reduce((product, number) => product * number, 1n);
}
