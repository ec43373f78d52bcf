// Where the API server is: validation never dials it.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { EndpointSliceKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import type { Cluster } from '../ports.ts';

export const API_SERVER_RIGHTS: readonly Right[] = [
  {
    kind: EndpointSliceKind,
    verbs: ['list'],
    in: ['default'],
    why: 'know the addresses of the API server, which validation never dials',
  },
];

/**
 * Addresses at which the API server may be: where we reach it, and where its own Service leads. What cannot be found out is left
 * out, and told by `missed`.
 */
export async function apiServerAddresses(
  { cluster, server }: { cluster: Pick<Cluster, 'list'>; server: URL },
  missed: (what: string, error: unknown) => void,
): Promise<string[]> {
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const direct =
    isIP(host) === 0 ? lookup(host, { all: true }).then((all) => all.map(({ address }) => address)) : [host];
  const labels = { 'kubernetes.io/service-name': 'kubernetes' };
  const behind = cluster
    .list(EndpointSliceKind, { namespace: 'default', labels })
    .then(({ items }) => items.flatMap(({ endpoints }) => endpoints ?? []).flatMap(({ addresses }) => addresses));
  const found = await Promise.all([
    Promise.resolve(direct).catch((error: unknown) => (missed(host, error), [])),
    behind.catch((error: unknown) => (missed('EndpointSlices of the Service kubernetes', error), [])),
  ]);
  return [...new Set(found.flat())].filter((address) => isIP(address) !== 0);
}
