// The replicas of this program: the addresses in the EndpointSlices of its Service.
import { type EndpointSlice, EndpointSliceKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import { parseAddress, renderAddress } from '../domain/address.ts';
import type { Cache } from '../ports.ts';
import type { Replicas } from './peers.ts';

export const REPLICA_RIGHTS: readonly Right[] = [
  {
    kind: EndpointSliceKind,
    verbs: ['list', 'watch'],
    in: ['operator'],
    why: 'know the other replicas, and ask nobody else',
  },
];

const SERVICE_LABEL = 'kubernetes.io/service-name';

export interface ReplicasDeps {
  slices: Cache<EndpointSlice>;
  namespace: string;
  /** Name of the Service. */
  service: string;
  /** Address of this process. */
  own: string;
}

/** Those that are not ready are among them: one that drains still knows its nonces. */
export function createReplicas({ slices, namespace, service, own }: ReplicasDeps): Replicas {
  let known: readonly string[] | undefined;
  slices.onChange(() => {
    known = undefined;
  });

  function read(): readonly string[] {
    const all = slices
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.[SERVICE_LABEL] === service)
      .flatMap(({ endpoints }) => endpoints ?? [])
      .flatMap(({ addresses }) => addresses)
      .flatMap((address) => parseAddress(address) ?? [])
      .map((address) => renderAddress(address));
    return [...new Set(all)].filter((address) => address !== own);
  }

  return {
    others: () => {
      known ??= read();
      return known;
    },
  };
}

/** How nonces and messages name a process: its address as 16 bytes, and as text. Throws TypeError for anything else. */
export function homeOf(text: string): { address: Buffer; name: string } {
  const bytes = parseAddress(text);
  if (!bytes) throw new TypeError(`not an address: ${text}`);
  return { address: bytes.length === 4 ? Buffer.concat([MAPPED, bytes]) : bytes, name: renderAddress(bytes) };
}

/** RFC 4291 section 2.5.5.2. */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');
