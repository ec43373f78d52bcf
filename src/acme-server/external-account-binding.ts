// External account binding, RFC 8555 section 7.3.4.
import { timingSafeEqual } from 'node:crypto';
import type { Account, AccountSpec } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Namespace } from '../api/core.ts';
import { hashName, parseBase64url } from '../domain/encoding.ts';
import { parseJson } from '../domain/json.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { importJwk } from '../domain/jwk.ts';
import { type BindingJws, parseBindingJws, verifyBinding } from '../domain/jws.ts';
import { type Mint, namespaceOfKey, periodsOf } from '../domain/minted-key.ts';
import { selectsNamespace } from '../domain/namespace-selector.ts';
import { Problem } from '../domain/problem.ts';
import { type KeySource, mintedKeys } from '../issuance/minted-keys.ts';
import type { Cache, Clock, SecretReader } from '../ports.ts';
import type { Signed } from './exchange.ts';
import { accountName, type AcmeObjects } from './objects.ts';

type Binding = NonNullable<AccountSpec['externalAccountBinding']>;

/** Index of the account cache. */
export const EAB_INDEX = 'eab';

export const eabKey = (issuerUID: string, keyID: string) => `${issuerUID}|${keyID}`;

export interface ExternalAccountBindings {
  /** The binding of a newAccount request, checked; undefined where there is none and none is needed. */
  verify(exchange: Signed, binding: unknown): Promise<Binding | undefined>;
  /** Where a key binds one account only, takes it for that of the request: of several at once, one gets it. */
  reserve(exchange: Signed, binding: Binding): Promise<void>;
}

/** As the Account keeps it. */
const MAX_BINDING = 8192;

export function createExternalAccountBindings(deps: {
  secretsOf: (issuer: Issuer) => SecretReader;
  accounts: Cache<Account>;
  objects: Pick<AcmeObjects, 'createAccount' | 'liveAccount'>;
  minted: MintedDeps;
}): ExternalAccountBindings {
  return {
    verify: async (exchange, binding) => {
      const settings = exchange.issuer.spec.acme?.externalAccountBinding;
      if (binding === undefined) {
        if (settings?.mode !== 'Required') return undefined;
        throw new Problem(
          'externalAccountRequired',
          'this issuer needs an external account binding: ask its operator for a key',
        );
      }
      // An issuer without keys cannot verify a binding, so it is not kept (RFC 8555 section 7.3.4).
      if (!settings) return undefined;
      const jws = parseBindingJws(binding);
      if (jws.header.url !== exchange.urls.newAccount)
        throw new Problem('malformed', 'the "url" of the binding differs from that of the request');
      verifyMac(jws, await macKeysOf(deps, exchange.issuer, jws.header.kid));
      requireSameKey(exchange, jws.payload);
      if (settings.reuse === 'Never') await refuseReuse(deps, exchange, jws.header.kid);
      const text = JSON.stringify(binding);
      if (text.length > MAX_BINDING)
        throw new Problem('malformed', `the binding has more than ${MAX_BINDING} characters`);
      return { keyID: jws.header.kid, jws: text };
    },
    reserve: async (exchange, { keyID }) => {
      const settings = exchange.issuer.spec.acme?.externalAccountBinding;
      if (settings?.reuse === 'Never') await takeKey(deps.objects, exchange, keyID);
    },
  };
}

interface MintedDeps {
  keys: KeySource;
  namespace: (name: string) => Promise<Namespace | undefined>;
  clock: Clock;
}

/** Stands in for a key that is not known; what it verifies is refused. */
const NO_KEY = Buffer.alloc(64);

/** One text and the same work for all reasons: none tells which key identifiers there are. */
function verifyMac(jws: BindingJws, candidates: readonly Buffer[]): void {
  const isGood = (key: Buffer): boolean => {
    try {
      verifyBinding(jws, key);
      return true;
    } catch (error) {
      if (!(error instanceof Problem && error.type === 'unauthorized')) throw error;
      return false;
    }
  };
  if (candidates.length === 0) isGood(NO_KEY);
  else if (candidates.map(isGood).includes(true)) return;
  throw new Problem(
    'unauthorized',
    'the binding is not accepted: its key identifier is not known, or its MAC is wrong',
  );
}

/** By an object whose name follows from the key: what the cache knows is not enough while another request is on its way. */
async function takeKey(
  objects: Pick<AcmeObjects, 'createAccount'>,
  { issuer, key }: Signed,
  keyID: string,
): Promise<void> {
  const issuerUID = issuer.metadata.uid;
  // No thumbprint has a dot, so the name is no account's.
  const thumbprint = `eab.${hashName(keyID)}`;
  const aliasOf = accountName(issuerUID, key.thumbprint);
  const { account } = await objects.createAccount({ issuerUID, thumbprint, spkiHash: thumbprint, jwk: {}, aliasOf });
  if (account.spec.aliasOf !== aliasOf) throw boundToAnother();
}

function boundToAnother(): Problem {
  return new Problem('unauthorized', 'this external account binding key is bound to another account');
}

/** Keys of which any will do. */
async function macKeysOf(
  deps: { secretsOf: (issuer: Issuer) => SecretReader; minted: MintedDeps },
  issuer: Issuer,
  keyID: string,
): Promise<readonly Buffer[]> {
  const name = namespaceOfKey(keyID);
  const { mint } = clusterIssuer(issuer)?.spec.acme?.externalAccountBinding ?? {};
  if (mint && name !== undefined) return mintedFor(deps.minted, { issuer, mint, name });
  const key = await listedKey(deps.secretsOf(issuer), issuer.spec.acme?.externalAccountBinding?.keys ?? [], keyID);
  return key ? [key] : [];
}

/** Of this period and the one before; of a namespace that gets none, keys that nobody was given. */
async function mintedFor(
  { keys, namespace: namespaceOf, clock }: MintedDeps,
  { issuer, mint, name }: { issuer: Issuer; mint: Mint; name: string },
): Promise<readonly Buffer[]> {
  const found = await namespaceOf(name);
  const namespace = found && selectsNamespace(mint.namespaceSelector, found.metadata) ? found : undefined;
  const { current, before } = periodsOf(mint, clock.now());
  return [current, before].flatMap((period) => mintedKeys(keys, { issuer, namespace, period }));
}

/** Undefined for a key that is not listed, which costs the same read as one that is. */
async function listedKey(
  secrets: SecretReader,
  keys: readonly { keyID: string; secretRef: { name: string; key: string } }[],
  keyID: string,
): Promise<Buffer | undefined> {
  const listed = keys.find((key) => key.keyID === keyID);
  const { secretRef } = listed ?? keys[0] ?? {};
  const mac = secretRef && (await macKey(secrets, secretRef));
  return listed && mac;
}

async function macKey(secrets: SecretReader, ref: { name: string; key: string }): Promise<Buffer | undefined> {
  const text = (await secrets.read(ref.name))?.[ref.key]?.toString('latin1').trim();
  const bytes = text === undefined ? undefined : parseBase64url(text.replace(/=+$/, ''));
  // RFC 7518 section 3.2: a key is at least as long as the hash.
  return bytes && bytes.length >= 32 ? bytes : undefined;
}

function requireSameKey(exchange: Signed, payload: Buffer): void {
  const bound = Buffer.from(importJwk(parseJson(payload)).thumbprint);
  if (!timingSafeEqual(bound, Buffer.from(exchange.key.thumbprint))) {
    throw new Problem('malformed', 'the binding is for another account key');
  }
}

/** Accounts the cache still has may be gone or have another key by now. */
async function refuseReuse(
  { accounts, objects }: { accounts: Cache<Account>; objects: Pick<AcmeObjects, 'liveAccount'> },
  exchange: Signed,
  keyID: string,
): Promise<void> {
  const isOther = ({ spec }: Account) => spec.thumbprint !== exchange.key.thumbprint;
  for (const bound of accounts.byIndex(EAB_INDEX, eabKey(exchange.issuer.metadata.uid, keyID)).filter(isOther)) {
    const live = await objects.liveAccount(bound.metadata.name);
    if (live && isOther(live)) throw boundToAnother();
  }
}
