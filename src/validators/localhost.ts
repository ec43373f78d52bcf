// localhost and the names under it, without asking the DNS: they are this machine (RFC 6761 section 6.3). For `dev`, which is
// bound to loopback; elsewhere the deny-list refuses the address in any case.
import type { Resolver } from '../ports.ts';

export function withLocalhost(resolver: Resolver): Resolver {
  return {
    ...resolver,
    addresses: async (name, signal) =>
      name === 'localhost' || name.endsWith('.localhost')
        ? { state: 'found', records: ['127.0.0.1'] }
        : resolver.addresses(name, signal),
  };
}
