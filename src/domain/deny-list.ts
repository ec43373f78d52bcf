// Addresses validation never dials, whatever an issuer or a policy says (defence against server-side request forgery).
// Private networks are not among them: inside a cluster they are where the names live.
import { type Address, contains, type Network, parseAddress, parseNetwork } from './address.ts';

export interface DenyList {
  /** Why the address must not be dialled, in words safe to show; undefined if it may. */
  denial(address: string): string | undefined;
}

interface DeniedNetwork {
  readonly cidr: string;
  readonly reason: string;
}

const LOOPBACK: readonly DeniedNetwork[] = [
  { cidr: '127.0.0.0/8', reason: 'a loopback address' },
  { cidr: '::1/128', reason: 'a loopback address' },
];

const BEYOND_LOOPBACK: readonly DeniedNetwork[] = [
  { cidr: '0.0.0.0/8', reason: 'an unspecified address' },
  { cidr: '::/128', reason: 'an unspecified address' },
  { cidr: '169.254.0.0/16', reason: 'a link-local address' },
  { cidr: 'fe80::/10', reason: 'a link-local address' },
  // The metadata services that clouds keep outside the link-local range: EC2, Azure, Alibaba Cloud, Google Cloud, Oracle Cloud.
  { cidr: 'fd00:ec2::/32', reason: 'a metadata service' },
  { cidr: '168.63.129.16/32', reason: 'a metadata service' },
  { cidr: '100.100.100.200/32', reason: 'a metadata service' },
  { cidr: 'fd20:ce::254/128', reason: 'a metadata service' },
  { cidr: '192.0.0.192/32', reason: 'a metadata service' },
  { cidr: '224.0.0.0/4', reason: 'a multicast address' },
  { cidr: 'ff00::/8', reason: 'a multicast address' },
  { cidr: '255.255.255.255/32', reason: 'the broadcast address' },
  // RFC 1112 section 4.
  { cidr: '240.0.0.0/4', reason: 'a reserved address' },
  // NAT64 for local use, RFC 8215: RFC 6052 section 2.2 has six ways to embed an IPv4 address, and the network alone knows which.
  { cidr: '64:ff9b:1::/48', reason: 'a NAT64 address for local use' },
  // Hides an IPv4 address by inverting it, and nobody serves names there.
  { cidr: '2001::/32', reason: 'a Teredo address' },
];

/** What `serve` denies. Nothing makes it shorter. */
export const DENIED_NETWORKS: readonly DeniedNetwork[] = [...LOOPBACK, ...BEYOND_LOOPBACK];

/** IPv6 forms that carry an IPv4 address, and where in the sixteen bytes. */
const EMBEDDINGS: readonly { network: Network; ipv4: (bytes: Address) => Address }[] = [
  // IPv4-compatible (RFC 4291 section 2.5.5.1), deprecated; IPv4-mapped is folded when parsed.
  { network: network('::/96'), ipv4: (bytes) => bytes.subarray(12) },
  // NAT64, RFC 6052 section 2.1.
  { network: network('64:ff9b::/96'), ipv4: (bytes) => bytes.subarray(12) },
  // IPv4-translated (SIIT), RFC 2765 section 2.1, replaced by the above and still in use.
  { network: network('::ffff:0:0:0/96'), ipv4: (bytes) => bytes.subarray(12) },
  // 6to4, RFC 3056 section 2.
  { network: network('2002::/16'), ipv4: (bytes) => bytes.subarray(2, 6) },
];

/**
 * The deny-list of `serve`: DENIED_NETWORKS, IPv6 forms of them, and the networks of `own` (the API server, the operator itself:
 * CIDRs or single addresses; TypeError for anything else).
 */
export function createDenyList(own: readonly string[]): DenyList {
  return denyListOf(DENIED_NETWORKS, own);
}

/** As createDenyList, with loopback itself open: for `dev`, which listens on loopback alone, and for tests. */
export function createLoopbackDenyList(own: readonly string[]): DenyList {
  return denyListOf(BEYOND_LOOPBACK, own);
}

interface Denied {
  network: Network;
  reason: string;
}

function denyListOf(networks: readonly DeniedNetwork[], own: readonly string[]): DenyList {
  const parse = ({ cidr, reason }: DeniedNetwork): Denied => ({ network: network(cidr), reason });
  const owned = own.map((cidr) => parse({ cidr, reason: "an address of the cluster's API server or of this server" }));
  const direct = [...networks.map(parse), ...owned];
  // Whoever translates an embedded address does it elsewhere, so its loopback is never ours to open.
  const embedded = [...DENIED_NETWORKS.map(parse), ...owned];
  return {
    denial: (text) => {
      const address = parseAddress(text);
      if (!address) return 'not an address without zone';
      return reasonFor(address, direct) ?? embeddedReason(address, embedded);
    },
  };
}

function reasonFor(address: Address, denied: readonly Denied[]): string | undefined {
  return denied.find((each) => contains(each.network, address))?.reason;
}

function embeddedReason(address: Address, denied: readonly Denied[]): string | undefined {
  // ::1 lies in ::/96 and is no embedded address.
  if (address.length !== 16 || address.equals(IPV6_LOOPBACK)) return undefined;
  for (const { network, ipv4 } of EMBEDDINGS) {
    const reason = contains(network, address) ? reasonFor(ipv4(address), denied) : undefined;
    if (reason !== undefined) return `an IPv6 form of ${reason}`;
  }
  return undefined;
}

const IPV6_LOOPBACK = Buffer.from('00000000000000000000000000000001', 'hex');

function network(cidr: string): Network {
  const parsed = parseNetwork(cidr);
  if (!parsed) throw new TypeError(`not a network: ${cidr}`);
  return parsed;
}
