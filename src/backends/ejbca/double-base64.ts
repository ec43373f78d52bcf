// What EJBCA's Web Service calls data: base64 in lines, whose bytes are base64 once more. By REST it is base64 once.
import { RemoteFault } from '../https/remote-fault.ts';

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** The bytes below both layers. Throws RemoteFault for text that is not that. */
export function decodeTwice(text: string | undefined): Buffer {
  const failure = 'EJBCA sent a certificate that is not in base64 twice';
  return decode(decode(text ?? '', failure).toString('latin1'), failure);
}

/** Throws RemoteFault for text that is not base64. */
export function decodeOnce(text: string): Buffer {
  return decode(text, 'EJBCA sent a certificate that is not in base64');
}

function decode(text: string, failure: string): Buffer {
  const compact = text.replace(/\s+/g, '');
  if (!BASE64.test(compact) || compact.length % 4 !== 0) throw new RemoteFault('BadAnswer', failure);
  return Buffer.from(compact, 'base64');
}
