// Account key rollover, RFC 8555 section 7.3.5: reserve the new key's name by an alias, then swap the key in the account.
import { isClusterError } from '../domain/cluster-error.ts';
import { parseJson } from '../domain/json.ts';
import { type AccountKey, importJwk } from '../domain/jwk.ts';
import { parseInnerJws, verifyJws } from '../domain/jws.ts';
import { Problem } from '../domain/problem.ts';
import type { Account } from '../api/acme.ts';
import { renderAccount, unsigned } from './account.ts';
import { type Authenticated, type Reply, readPayload } from './exchange.ts';
import type { AcmeObjects } from './objects.ts';

/** Former keys an account may have; they are remembered so that none returns. */
const MAX_RETIRED = 64;

export function createKeyChangeHandler(deps: { objects: AcmeObjects }) {
  return async function keyChange(exchange: Authenticated): Promise<Reply> {
    const key = newKey(exchange);
    const live = await deps.objects.liveAccount(exchange.account.metadata.name);
    // What was checked above is the key the request was signed with: a change or deactivation since then counts.
    if (!live || live.spec.deactivated || live.spec.thumbprint !== exchange.account.spec.thumbprint)
      throw new Problem('unauthorized', 'the key of the request is no key of the account any more', { status: 401 });
    await reserve(deps.objects, exchange, live, key);
    const account = await swap(deps.objects, live, key);
    return {
      status: 200,
      headers: { Location: exchange.urls.account(account.metadata.name) },
      body: renderAccount(account, exchange.urls),
    };
  };
}

/** The checks of section 7.3.5 on the inner JWS, each with its own words. */
function newKey(exchange: Authenticated): AccountKey {
  const inner = parseInnerJws(readPayload(exchange));
  const key = importJwk(inner.header.jwk);
  verifyJws(inner, key);
  if (inner.header.url !== exchange.urls.keyChange)
    throw new Problem('malformed', 'the inner "url" differs from the outer');
  const payload = parseJson(inner.payload);
  if (typeof payload !== 'object' || payload === null)
    throw new Problem('malformed', 'the inner payload must be a JSON object');
  const { account, oldKey } = payload as { account?: unknown; oldKey?: unknown };
  if (account !== exchange.urls.account(exchange.account.metadata.name))
    throw new Problem('malformed', '"account" is not the account of the request');
  if (!isCurrentKey(oldKey, exchange.account)) throw new Problem('malformed', '"oldKey" is not the current key');
  if (key.thumbprint === exchange.account.spec.thumbprint)
    throw new Problem('malformed', 'the new key is the current key');
  return key;
}

function isCurrentKey(oldKey: unknown, account: Account): boolean {
  if (typeof oldKey !== 'object' || oldKey === null) return false;
  return importJwk(oldKey).thumbprint === account.spec.thumbprint;
}

async function reserve(
  objects: AcmeObjects,
  exchange: Authenticated,
  account: Account,
  key: AccountKey,
): Promise<void> {
  const { issuerUID, retired = [] } = account.spec;
  const spkiHash = key.spkiHash.toString('base64url');
  if (retired.includes(key.thumbprint)) throw new Problem('malformed', 'the new key was a key of this account before');
  if (retired.length >= MAX_RETIRED)
    throw new Problem('malformed', `an account changes its key at most ${MAX_RETIRED} times`);
  const alias = { issuerUID, thumbprint: key.thumbprint, spkiHash, jwk: {}, aliasOf: account.metadata.name };
  const { account: slot, created } = await objects.createAccount(alias);
  // An alias of ours for a key never swapped in is a rollover that stopped half-way: carry on with it.
  if (created || slot.spec.aliasOf === account.metadata.name) return;
  throw new Problem('malformed', 'the new key is in use by another account', {
    status: 409,
    headers: { Location: exchange.urls.account(slot.spec.aliasOf ?? slot.metadata.name) },
  });
}

async function swap(objects: AcmeObjects, account: Account, key: AccountKey): Promise<Account> {
  const spec = unsigned(account.spec);
  const spkiHash = key.spkiHash.toString('base64url');
  const next = {
    ...spec,
    thumbprint: key.thumbprint,
    spkiHash,
    jwk: { ...key.jwk },
    retired: [...(spec.retired ?? []), spec.thumbprint],
  };
  try {
    return await objects.replaceAccount(account, next);
  } catch (error) {
    if (!isClusterError(error, 'Conflict')) throw error;
    throw changed();
  }
}

function changed(): Problem {
  return new Problem('malformed', 'the account changed at the same time: read it and try again', { status: 409 });
}
