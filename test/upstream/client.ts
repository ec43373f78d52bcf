// The ACME backend on its own, with what the program gives it: records that keep progress, a listener that answers from them, a DNS.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AcmeBackendSpec } from '../../src/api/acme-backend.ts';
import type { CAIssuerSpec } from '../../src/api/ca-issuer.ts';
import { acmeBackend } from '../../src/backends/acme/index.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import type { Backend, BackendDeps, SigningOutcome, SigningRequest } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createValidators } from '../../src/validators/index.ts';
import { createDnsUpdater } from '../../src/validators/dns-update.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import { anIssuer, createMemorySecrets, type MemorySecrets } from '../contract/authorities.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';

export interface Surroundings {
  dns: DnsServer;
  /** Answers /.well-known/acme-challenge/<token> from what is on record. */
  httpPort: number;
  /** Requests for tokens so far. */
  asked: string[];
  records: Map<string, { handle: string; answers: readonly string[] }>;
  stop(): Promise<void>;
}

export async function startSurroundings(): Promise<Surroundings> {
  const records: Surroundings['records'] = new Map();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const token = request.url?.replace('/.well-known/acme-challenge/', '') ?? '';
    asked.push(token);
    const found = [...records.values()].flatMap(({ answers }) => answers).find((each) => each.startsWith(`${token}.`));
    response.writeHead(found === undefined ? 404 : 200).end(found ?? '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const dns = await startDnsServer();
  return {
    dns,
    httpPort: (server.address() as AddressInfo).port,
    asked,
    records,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await dns.stop();
    },
  };
}

export interface Client {
  backend: Backend;
  secrets: MemorySecrets;
  /** One call, the handle as on record. */
  ask(request: SigningRequest): Promise<SigningOutcome>;
  /** Call after call until it is decided; what is thrown counts as one more reason to ask again, up to `throws` times. */
  settle(
    request: SigningRequest,
    options?: { throws?: number; waitMs?: number },
  ): Promise<Exclude<SigningOutcome, { kind: 'pending' }>>;
}

export interface ClientOptions {
  spec: AcmeBackendSpec;
  issuer?: Partial<CAIssuerSpec>;
  secrets?: MemorySecrets;
  deps?: Partial<BackendDeps>;
}

const none = new AbortController().signal;

export function createClient(
  { dns, httpPort, records }: Surroundings,
  { spec, issuer, secrets = createMemorySecrets(), deps }: ClientOptions,
): Client {
  const [clock, random] = [createClock(), createRandom()];
  const resolver = (nameservers: readonly string[] = [dns.address]) => createResolver({ clock, random, nameservers });
  const validators = createValidators({
    denyList: createLoopbackDenyList([]),
    clock,
    http01Port: httpPort,
    tlsAlpn01Port: 1,
  });
  const proof = { validators, resolver, dnsUpdater: createDnsUpdater({ clock, random }) };
  const made = anIssuer({ acme: spec });
  const backend = acmeBackend.create(
    { secrets, clock, random, urls: undefined, proof, ...deps },
    { ...made, spec: { ...made.spec, ...issuer } },
    { acme: spec },
  );

  function ask(request: SigningRequest): Promise<SigningOutcome> {
    const handle = records.get(request.id)?.handle;
    const keep: SigningRequest['keep'] = async (next, answers = []) =>
      void records.set(request.id, { handle: next, answers });
    return backend.sign({ ...request, ...(handle === undefined ? {} : { handle }), keep }, none);
  }

  return {
    backend,
    secrets,
    ask,
    async settle(request, { throws = 0, waitMs = 500 } = {}) {
      let left = throws;
      for (;;) {
        const outcome = await ask(request).catch((error: unknown) => {
          if (left-- <= 0) throw error;
          return { kind: 'pending', retryAfterMs: 10, handle: '' } as const;
        });
        if (outcome.kind !== 'pending') return outcome;
        if (outcome.handle !== '') {
          const { answers = [] } = records.get(request.id) ?? {};
          records.set(request.id, { handle: outcome.handle, answers });
        }
        await clock.sleep(Math.min(waitMs, outcome.retryAfterMs));
      }
    },
  };
}
