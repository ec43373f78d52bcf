// The checks every signed request passes, in the order of RFC 8555 section 6: form, nonce, URL, key, signature.
import { type AccountKey, importJwk } from '../domain/jwk.ts';
import { type Jws, parseJws, verifyJws } from '../domain/jws.ts';
import { Problem } from '../domain/problem.ts';
import type { Account } from '../api/acme.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Counter } from '../ports.ts';
import type { LiveIssuer } from './confirm.ts';
import type { Authenticated, Exchange, Signed } from './exchange.ts';
import type { Nonces } from './nonces.ts';
import type { AcmeObjects } from './objects.ts';
import type { RateLimits } from './rate-limits.ts';

/** Imported account keys kept; an import costs as much as a verification. */
const KEY_CACHE = 10_000;

export interface Authenticator {
  /** For new-account: signed by the key it carries. */
  withKey(exchange: Exchange, request: SignedRequest): Promise<Signed>;
  /** Signed by a valid account. */
  withAccount(exchange: Exchange, request: SignedRequest): Promise<Authenticated>;
  /** For revoke-cert: either. */
  withEither(exchange: Exchange, request: SignedRequest): Promise<Signed | Authenticated>;
}

export interface SignedRequest {
  body: Buffer;
  /** The URLs by which this resource may be named in the header; the first is the canonical one. */
  urls: readonly string[];
}

interface AuthenticatorDeps {
  nonces: Nonces;
  objects: Pick<AcmeObjects, 'knownAccount' | 'liveAccount'>;
  liveIssuer: LiveIssuer;
  limits: Pick<RateLimits, 'take'>;
  nonceOutcomes: Counter;
}

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const keyOf = accountKeys();

  async function signedByAccount(exchange: Exchange, jws: Jws): Promise<Authenticated> {
    const name = exchange.urls.accountOf(jws.header.kid as string);
    const known =
      name === undefined ? undefined : (deps.objects.knownAccount(name) ?? (await liveAccount(deps, exchange, name)));
    const issuer = known && (await issuerOf(deps, exchange, known));
    if (!known || !issuer)
      throw new Problem('accountDoesNotExist', 'the "kid" is not the URL of an account of this issuer');
    const account = await verified(exchange, jws, known);
    if (account.spec.deactivated) throw new Problem('unauthorized', 'the account is deactivated', { status: 401 });
    return { ...exchange, issuer, header: jws.header, payload: jws.payload, key: keyOf(account), account };
  }

  /** A cached account may be one key change behind: a refusal is given only after a live read. */
  async function verified(exchange: Exchange, jws: Jws, known: Account): Promise<Account> {
    try {
      verifyJws(jws, keyOf(known));
      return known;
    } catch (error) {
      const now = await liveAccount(deps, exchange, known.metadata.name);
      if (!now || now.spec.thumbprint === known.spec.thumbprint) throw error;
      verifyJws(jws, keyOf(now));
      return now;
    }
  }

  return {
    withKey: async (exchange, request) => {
      const jws = await open(deps, request);
      if (jws.header.jwk === undefined)
        throw new Problem('malformed', 'this resource needs "jwk" in the protected header');
      return signedByKey(exchange, jws);
    },
    withAccount: async (exchange, request) => {
      const jws = await open(deps, request);
      if (jws.header.kid === undefined)
        throw new Problem('malformed', 'this resource needs "kid" in the protected header');
      return signedByAccount(exchange, jws);
    },
    withEither: async (exchange, request) => {
      const jws = await open(deps, request);
      return jws.header.kid === undefined ? signedByKey(exchange, jws) : signedByAccount(exchange, jws);
    },
  };
}

/** Anybody can make us read by a made-up name or a bad signature, hence the limit. */
async function liveAccount(
  { limits, objects }: AuthenticatorDeps,
  { source }: Exchange,
  name: string,
): Promise<Account | undefined> {
  limits.take('liveRead', source);
  return objects.liveAccount(name);
}

/** The issuer if the account is one of its. An issuer made anew under the same name has other accounts. */
async function issuerOf(
  { liveIssuer }: AuthenticatorDeps,
  { issuer }: Exchange,
  { spec }: Account,
): Promise<Issuer | undefined> {
  if (spec.aliasOf !== undefined) return undefined;
  if (spec.issuerUID === issuer.metadata.uid) return issuer;
  const now = await liveIssuer(issuer.metadata);
  return spec.issuerUID === now?.metadata.uid ? now : undefined;
}

/** Everything that needs no key. The nonce is spent whatever happens after. */
async function open(deps: AuthenticatorDeps, { body, urls }: SignedRequest): Promise<Jws> {
  const jws = parseJws(body);
  await spendNonce(deps, jws.header.nonce);
  if (jws.header.url === undefined)
    throw new Problem('malformed', 'the protected header must have "url" (RFC 8555 section 6.4)');
  if (!urls.includes(jws.header.url)) {
    throw new Problem('unauthorized', 'the "url" in the protected header is not the URL of this resource', {
      status: 401,
    });
  }
  return jws;
}

async function spendNonce({ nonces, nonceOutcomes }: AuthenticatorDeps, nonce: string | undefined): Promise<void> {
  const outcome = nonce === undefined ? 'missing' : await nonces.redeem(nonce);
  nonceOutcomes.inc({ outcome });
  if (outcome === 'accepted') return;
  if (outcome === 'malformed') throw new Problem('malformed', 'the nonce is not base64url (RFC 8555 section 6.5.2)');
  throw new Problem('badNonce', 'the nonce is missing, used, too old or not ours; this response carries a fresh one');
}

function signedByKey(exchange: Exchange, jws: Jws): Signed {
  const key = importJwk(jws.header.jwk);
  verifyJws(jws, key);
  return { ...exchange, header: jws.header, payload: jws.payload, key };
}

/** Keys of accounts, imported once. */
function accountKeys(): (account: Account) => AccountKey {
  const keys = new Map<string, AccountKey>();
  return ({ spec }) => {
    const cached = keys.get(spec.thumbprint);
    if (cached) return cached;
    const key = importJwk(spec.jwk);
    if (keys.size >= KEY_CACHE) keys.delete(keys.keys().next().value as string);
    keys.set(spec.thumbprint, key);
    return key;
  };
}
