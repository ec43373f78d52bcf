// Networks inside and outside which addresses must lie.
import { type Address, contains, type Network, parseNetwork } from '../address.ts';

export interface NetworkRange {
  /** Undefined: anywhere. */
  readonly cidrs: readonly Network[] | undefined;
  readonly except: readonly Network[];
}

/** A network as policies write it; the error says what is wrong. Bits beyond the prefix are refused: they are mostly a slip. */
export function parseCidr(text: string): Network | { error: string } {
  const network = parseNetwork(text);
  if (!network) return { error: 'is not an IPv4 or IPv6 network or address' };
  return hostBits(network) ? { error: 'has bits set beyond its prefix length' } : network;
}

function hostBits(network: Network): boolean {
  return network.address.some((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, network.prefix - i * 8)))) !== 0);
}

/** Whether the address lies in one of `cidrs` and in none of `except`, which wins. */
export function inRange(range: NetworkRange, address: Address): boolean {
  if (range.cidrs && !inAny(range.cidrs, address)) return false;
  return !inAny(range.except, address);
}

export function inAny(networks: readonly Network[], address: Address): boolean {
  for (const network of networks) if (contains(network, address)) return true;
  return false;
}
