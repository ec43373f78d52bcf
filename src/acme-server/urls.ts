// Every URL the server hands out, from one base: never from the Host header.
import { type IssuerName, issuerPath } from '../domain/issuer.ts';

export interface Urls {
  directory: string;
  newNonce: string;
  newAccount: string;
  newOrder: string;
  revokeCert: string;
  keyChange: string;
  renewalInfo: string;
  account(name: string): string;
  orders(account: string): string;
  order(sealed: string): string;
  finalize(sealed: string): string;
  authorization(sealed: string): string;
  challenge(sealed: string, type: string): string;
  certificate(record: string): string;
  alternate(record: string, n: number): string;
  /** The account's name in a kid, or undefined for anything that is not an account URL of this issuer. */
  accountOf(kid: string): string | undefined;
}

/** `externalURL` without trailing slash; names of issuers and namespaces are Kubernetes' and so need no escaping. */
export function createUrls(externalURL: string, issuer: IssuerName): Urls {
  const base = `${externalURL}${issuerPath(issuer)}/acme/${issuer.name}`;
  const accounts = `${base}/account/`;
  return {
    directory: `${base}/directory`,
    newNonce: `${base}/new-nonce`,
    newAccount: `${base}/new-account`,
    newOrder: `${base}/new-order`,
    revokeCert: `${base}/revoke-cert`,
    keyChange: `${base}/key-change`,
    renewalInfo: `${base}/renewal-info`,
    account: (name) => accounts + name,
    orders: (account) => `${accounts}${account}/orders`,
    order: (sealed) => `${base}/order/${sealed}`,
    finalize: (sealed) => `${base}/order/${sealed}/finalize`,
    authorization: (sealed) => `${base}/authz/${sealed}`,
    challenge: (sealed, type) => `${base}/challenge/${sealed}/${type}`,
    certificate: (record) => `${base}/certificate/${record}`,
    alternate: (record, n) => `${base}/certificate/${record}/${n}`,
    accountOf: (kid) => {
      const name = kid.startsWith(accounts) ? kid.slice(accounts.length) : '';
      return /^ac-[a-z2-7]{52}$/.test(name) ? name : undefined;
    },
  };
}
