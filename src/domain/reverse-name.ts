// The name under which the DNS keeps what it knows of an address.
import { parseAddress } from './address.ts';

/** `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5) or the nibbles under `ip6.arpa` (RFC 3596 section 2.5); undefined for what is no address. */
export function reverseName(address: string): string | undefined {
  const bytes = parseAddress(address);
  if (!bytes) return undefined;
  if (bytes.length === 4) return `${[...bytes].toReversed().join('.')}.in-addr.arpa`;
  return `${bytes.toString('hex').split('').toReversed().join('.')}.ip6.arpa`;
}
