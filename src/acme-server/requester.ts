// Who asks, as evidence for policy: never stored on the account, gathered anew for each request.
import type { Requester } from '../issuance/types.ts';
import type { Authenticated } from './exchange.ts';

export function requesterOf(exchange: Authenticated): Requester {
  const { account } = exchange;
  const eabKeyID = account.spec.externalAccountBinding?.keyID;
  return {
    account: account.metadata.name,
    ...(eabKeyID === undefined ? {} : { eabKeyID }),
    source: exchange.source,
  };
}
