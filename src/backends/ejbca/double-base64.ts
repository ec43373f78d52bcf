// What EJBCA's Web Service calls data: base64 in lines, whose bytes are base64 once more.
import { RemoteFault } from '../https/remote-fault.ts';

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** The bytes below both layers. Throws RemoteFault for text that is not that. */
export function decodeTwice(text: string | undefined): Buffer {
  return decode(decode(text ?? '').toString('latin1'));
}

function decode(text: string): Buffer {
  const compact = text.replace(/\s+/g, '');
  if (!BASE64.test(compact) || compact.length % 4 !== 0)
    throw new RemoteFault('BadAnswer', 'EJBCA sent a certificate that is not in base64 twice');
  return Buffer.from(compact, 'base64');
}
