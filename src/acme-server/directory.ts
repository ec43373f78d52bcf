// The directory, RFC 8555 section 7.1.1: only what is served.
import type { Exchange, Reply } from './exchange.ts';

export function directory({ issuer, urls }: Exchange): Reply {
  const { acme, profiles } = issuer.spec;
  const meta = {
    ...(acme?.termsOfService === undefined ? {} : { termsOfService: acme.termsOfService }),
    ...(acme?.website === undefined ? {} : { website: acme.website }),
    ...(acme?.caa ? { caaIdentities: acme.caa.identities } : {}),
    ...(acme?.externalAccountBinding?.mode === 'Required' ? { externalAccountRequired: true } : {}),
    ...(profiles ? { profiles: Object.fromEntries(profiles.map(({ name, description }) => [name, description])) } : {}),
  };
  const { newNonce, newAccount, newOrder, revokeCert, keyChange, renewalInfo } = urls;
  return {
    status: 200,
    body: {
      newNonce,
      newAccount,
      newOrder,
      revokeCert,
      keyChange,
      renewalInfo,
      ...(Object.keys(meta).length > 0 ? { meta } : {}),
    },
  };
}
