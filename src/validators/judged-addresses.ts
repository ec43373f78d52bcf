// Where backends of tenants' issuers may go: like validation, to none of the addresses on the deny-list. A host is resolved once, and
// whoever asked dials exactly what is given here (DNS rebinding).
import { isIP } from 'node:net';
import type { DenyList } from '../domain/deny-list.ts';
import { Unavailable } from '../domain/unavailable.ts';
import type { JudgedAddresses, Resolver } from '../ports.ts';

export function createJudgedAddresses({
  denyList,
  resolver,
}: {
  denyList: DenyList;
  resolver: Resolver;
}): JudgedAddresses {
  return async (host, signal) => {
    const answer =
      isIP(host) === 0 ? await resolver.addresses(host, signal) : ({ state: 'found', records: [host] } as const);
    if (answer.state !== 'found') throw new Unavailable(`no address of ${host} is known`);
    // One is enough: a name that also points at a forbidden place is not dialled at all.
    for (const address of answer.records) {
      const denial = denyList.denial(address);
      if (denial !== undefined) throw new Unavailable(`${host} is at ${denial}, where issuers of tenants may not go`);
    }
    return answer.records;
  };
}
