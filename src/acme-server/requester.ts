// Who asks, as evidence for policy: never stored on the account, gathered anew for each request.
import type { Requester } from '../issuance/types.ts';
import type { Authenticated } from './exchange.ts';

export function requesterOf(exchange: Authenticated): Requester {
  const eabKeyID = heldKey(exchange);
  return {
    account: exchange.account.metadata.name,
    ...(eabKeyID === undefined ? {} : { eabKeyID }),
    source: exchange.source,
  };
}

/** The key the account was bound with, for as long as the issuer lists it: what was taken back speaks for nobody. */
function heldKey({ account, issuer }: Authenticated): string | undefined {
  const keyID = account.spec.externalAccountBinding?.keyID;
  const listed = issuer.spec.acme?.externalAccountBinding?.keys ?? [];
  return listed.some((key) => key.keyID === keyID) ? keyID : undefined;
}
