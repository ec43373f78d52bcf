// Orders and authorizations in URLs: sealed, and opened only for the account and issuer they belong to.
import { Problem } from '../domain/problem.ts';
import {
  type AuthorizationRef,
  decodeAuthorizationRef,
  decodeOrder,
  encodeAuthorizationRef,
  encodeOrder,
  MAX_SEALED,
  type Order,
} from '../domain/order.ts';
import type { Authenticated } from './exchange.ts';
import type { Keyring } from './keyring.ts';

export interface Sealed {
  sealOrder(order: Order): string;
  /** As sealOrder, of an order encoded before. */
  sealEncoded(encoded: string): string;
  /** The order of the URL. Throws 404 for what is not ours, 403 for another account's, each with one constant text. */
  openOrder(exchange: Authenticated): Promise<Order>;
  /** The order of the sealed text, whoever's it is; undefined for what is not ours. */
  readOrder(text: string): Promise<Order | undefined>;
  sealAuthorization(ref: AuthorizationRef): string;
  /** As openOrder. */
  openAuthorization(exchange: Authenticated): Promise<AuthorizationRef>;
}

export function notFound(): Problem {
  return new Problem('malformed', 'no such resource', { status: 404 });
}

export function notYours(): Problem {
  return new Problem('unauthorized', 'this resource belongs to another account');
}

export function createSealed(keyring: Keyring): Sealed {
  async function read<T>(purpose: string, decode: (text: string) => T, text: string): Promise<T | undefined> {
    let opened = keyring.open(purpose, text);
    if (opened.state === 'unknown-key') {
      // Sealed by a replica that has a newer key, or by nobody: only the stored keys can tell.
      await keyring.reload();
      opened = keyring.open(purpose, text);
    }
    return opened.state === 'open' ? decode(opened.plaintext) : undefined;
  }

  async function open<T extends { account: string; issuerUID: string }>(
    purpose: string,
    decode: (text: string) => T,
    exchange: Authenticated,
  ): Promise<T> {
    const value = await read(purpose, decode, exchange.params.sealed ?? '');
    if (!value || value.issuerUID !== exchange.issuer.metadata.uid) throw notFound();
    if (value.account !== exchange.account.metadata.name) throw notYours();
    return value;
  }

  return {
    sealEncoded: (encoded) => keyring.seal('order', encoded),
    sealOrder: (order) => {
      const sealed = keyring.seal('order', encodeOrder(order));
      if (sealed.length > MAX_SEALED)
        throw new Problem(
          'malformed',
          `the order does not fit into its URL of ${MAX_SEALED} characters: ask for fewer names`,
        );
      return sealed;
    },
    openOrder: (exchange) => open('order', decodeOrder, exchange),
    readOrder: (text) => read('order', decodeOrder, text),
    sealAuthorization: (ref) => keyring.seal('authorization', encodeAuthorizationRef(ref)),
    openAuthorization: (exchange) => open('authorization', decodeAuthorizationRef, exchange),
  };
}
