// TXT records by services that keep them for us, over HTTPS: acme-dns, and a webhook of somebody's own.
import type { AcmeDnsSpec, DnsWebhookSpec } from '../../api/acme-backend.ts';
import { parseJson } from '../../domain/json.ts';
import { type Answer, createExchange } from '../https/exchange.ts';
import { createMutualTls, readValue } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { createSharedKey } from '../https/shared-key.ts';
import type { RecordKeeper, SolverDeps, TextRecord } from './dns-01.ts';

const MAX_BYTES = 16 * 1024;
const TIMEOUT_MS = 30_000;
const MAX_SOCKETS = 4;

type Post = (
  url: URL,
  body: object,
  options: { headers: (payload: Buffer) => Promise<Readonly<Record<string, string>>>; signal: AbortSignal },
) => Promise<void>;

/** Throws RemoteFault for every answer but success. */
function createPost(deps: SolverDeps, { caBundle }: { caBundle?: string }, peer: string): Post {
  const tls = createMutualTls(deps, caBundle === undefined ? {} : { caBundle }, MAX_SOCKETS);
  const exchange = createExchange({ ...deps, timeoutMs: TIMEOUT_MS, peer });
  return async (url, body, { headers, signal }) => {
    const payload = Buffer.from(JSON.stringify(body));
    const all = { 'Content-Type': 'application/json', ...(await headers(payload)) };
    const call = { method: 'POST' as const, url, headers: all, payload, agent: await tls.agent(), maxBytes: MAX_BYTES };
    requireSuccess(await exchange(call, signal), peer);
  };
}

function requireSuccess({ status, retryAfterMs }: Answer, peer: string): void {
  if (status >= 200 && status < 300) return;
  const message = `${peer} answered with HTTP status ${status}`;
  throw new RemoteFault('BadAnswer', message, retryAfterMs === undefined ? {} : { retryAfterMs });
}

function below(base: string, step: string): URL {
  return new URL(`${base.replace(/\/$/, '')}/${step}`);
}

interface AcmeDnsAccount {
  username: string;
  password: string;
  subdomain: string;
}

/** Its records are replaced by later ones of the same account, so there is nothing to take away. */
export function createAcmeDns(deps: SolverDeps, spec: AcmeDnsSpec): RecordKeeper {
  const post = createPost(deps, spec, 'acme-dns');
  const accounts = async () => readAccounts(await readValue(deps, spec.accountsSecretRef));
  return {
    check: async () => void (await accounts()),
    async add({ name, domain, text }, signal) {
      const account = accountOf(await accounts(), name);
      if (!account)
        throw new RemoteFault(
          'ChallengeNotPossible',
          `_acme-challenge.${domain} leads to ${name}, which is the fulldomain of no account of acme-dns that is known here`,
        );
      const { username, password, subdomain } = account;
      const headers = () => Promise.resolve({ 'X-Api-User': username, 'X-Api-Key': password });
      await post(below(spec.url, 'update'), { subdomain, txt: text }, { headers, signal });
    },
    remove: () => Promise.resolve(),
  };
}

/** As lego and cert-manager keep accounts: an object of them, by anything. */
function accountOf(accounts: readonly object[], fulldomain: string): AcmeDnsAccount | undefined {
  for (const account of accounts) {
    const { fulldomain: full, username, password, subdomain } = account as Record<string, unknown>;
    if (typeof full !== 'string' || full.toLowerCase().replace(/\.$/, '') !== fulldomain) continue;
    if (typeof username === 'string' && typeof password === 'string' && typeof subdomain === 'string')
      return { username, password, subdomain };
  }
  return undefined;
}

function readAccounts(json: Buffer): object[] {
  try {
    const value = parseJson(json);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return Object.values(value).filter((each): each is object => typeof each === 'object' && each !== null);
  } catch {
    // What is wrong with it may quote a password.
  }
  throw new RemoteFault('SecretUnusable', 'the accounts of acme-dns are no JSON object of accounts');
}

/** docs/backends/acme.md has the protocol. */
export function createDnsWebhook(deps: SolverDeps, spec: DnsWebhookSpec): RecordKeeper {
  const post = createPost(deps, spec, 'the DNS webhook');
  const sharedKey = createSharedKey(deps, spec.hmac);
  const tell = async (step: 'present' | 'cleanup', record: TextRecord, signal: AbortSignal): Promise<void> => {
    const url = below(spec.url, step);
    const headers = (body: Buffer) => sharedKey.sign({ method: 'POST', path: url.pathname, body });
    try {
      await post(url, { version: 'v1', ...record }, { headers, signal });
    } catch (error) {
      // A new key may be the cure.
      sharedKey.refresh();
      throw error;
    }
  };
  return {
    async check() {
      sharedKey.refresh();
      await sharedKey.sign({ method: 'POST', path: '/', body: Buffer.alloc(0) });
    },
    add: (record, signal) => tell('present', record, signal),
    remove: (record, signal) => tell('cleanup', record, signal),
  };
}
