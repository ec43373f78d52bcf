// The load: clients that each keep one account and one connection and issue one certificate after another (full http-01 order,
// ES256 account, P-256 key), the same against every ACME server; and the same number of requests against the floor.
import { setTimeout as sleep } from 'node:timers/promises';
import { type AcmeWire, connect, type Reply, type Transport } from '../support/acme-wire.ts';
import { register } from '../support/acme-flow.ts';
import { createKeyPair, type KeyPair } from '../support/certificate-builder.ts';
import { buildCsr } from '../support/csr-builder.ts';
import type { Http01Responder } from '../support/http01-responder.ts';
import { base64url, createSigningKey, keyAuthorization, signJws, type SigningKey } from '../support/jws.ts';
import { createLoadTransport } from './load-transport.ts';

/** Between two looks at an authorization or order that is not final. */
const POLL_MS = 20;

export interface LoadOptions {
  directory: string;
  ca: string;
  clients: number;
  certificates: number;
  http01: Pick<Http01Responder, 'set' | 'remove'>;
  /** Account keys by client; fresh ones when absent. */
  keys?: readonly SigningKey[];
  /** Told of each order that ended well, how long it took in milliseconds. */
  onOrder?: (ms: number) => void;
  /** Names a client asks for in turn; a fresh one each time when absent. */
  names?: (client: number, n: number) => string[];
  algorithm?: 'ES256' | 'RS256';
  /** Orders end at a challenge that is answered wrongly. */
  failing?: boolean;
}

export interface Counted {
  /** HTTP requests, and those of them that are signed. */
  requests: number;
  signed: number;
}

interface Client {
  acme: AcmeWire;
  transport: Transport;
  keys: KeyPair;
  index: number;
}

/** Accounts and connections, ready to issue; `run` may be called again and again. */
export async function createLoad(options: LoadOptions) {
  const counted: Counted = { requests: 0, signed: 0 };
  const clients = await Promise.all(
    Array.from({ length: options.clients }, async (_, index): Promise<Client> => {
      const transport = counting(createLoadTransport(options.ca), counted);
      const acme = await connect(transport, options.directory);
      await register(acme, options.keys?.[index] ?? createSigningKey(options.algorithm ?? 'ES256'));
      return { acme, transport, keys: createKeyPair(), index };
    }),
  );
  let serial = 0;

  async function run(certificates: number): Promise<Counted> {
    const before = { ...counted };
    let left = certificates;
    await Promise.all(
      clients.map(async (client) => {
        while (left-- > 0) {
          const n = serial++;
          const names = options.names?.(client.index, n) ?? [`n${n}.bench.test`];
          const began = performance.now();
          if (options.failing) await failingOrder(client, names, options.http01);
          else await again(() => order(client, names, options.http01));
          options.onOrder?.(performance.now() - began);
        }
      }),
    );
    return { requests: counted.requests - before.requests, signed: counted.signed - before.signed };
  }

  return { run, close: () => clients.forEach(({ transport }) => transport.close()) };
}

/** Once more where an order failed: on a machine with too much to do, a peer's own time-outs can end one. */
async function again(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    process.stderr.write(
      `an order failed and is made again: ${error instanceof Error ? error.message.slice(0, 500) : ''}\n`,
    );
    await work();
  }
}

function counting(transport: Transport, counted: Counted): Transport {
  return {
    close: () => transport.close(),
    request: (method, url, options) => {
      counted.requests++;
      if (method === 'POST') counted.signed++;
      return transport.request(method, url, options);
    },
  };
}

function expectOk(reply: Reply): Reply {
  if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

async function order({ acme, keys }: Client, names: string[], http01: LoadOptions['http01']): Promise<void> {
  const identifiers = names.map((value) => ({ type: 'dns', value }));
  const made = expectOk(await acme.post(acme.directory.newOrder, { identifiers }));
  for (const url of made.json.authorizations ?? []) await authorize(acme, url, http01);
  const { der } = buildCsr({ keys, names });
  let state = expectOk(await acme.post(made.json.finalize ?? '', { csr: base64url(der) }));
  while (state.json.status !== 'valid') {
    if (state.json.status === 'invalid') throw new Error(state.text);
    await sleep(POLL_MS);
    state = expectOk(await acme.get(made.location));
  }
  expectOk(await acme.get(state.json.certificate ?? ''));
}

async function failingOrder({ acme }: Client, names: string[], http01: LoadOptions['http01']): Promise<void> {
  const identifiers = names.map((value) => ({ type: 'dns', value }));
  const made = expectOk(await acme.post(acme.directory.newOrder, { identifiers }));
  const url = made.json.authorizations?.[0] ?? '';
  let state = expectOk(await acme.get(url));
  const challenge = state.json.challenges?.find(({ type }) => type === 'http-01');
  if (!challenge) throw new Error('no http-01 challenge');
  http01.set(challenge.token, { body: 'wrong' });
  expectOk(await acme.post(challenge.url, {}));
  for (state = await acme.get(url); state.json.status === 'pending'; state = await acme.get(url)) await sleep(POLL_MS);
  if (state.json.status !== 'invalid') throw new Error(`a challenge answered wrongly left ${state.text}`);
  http01.remove(challenge.token);
}

async function authorize(acme: AcmeWire, url: string, http01: LoadOptions['http01']): Promise<void> {
  let state = expectOk(await acme.get(url));
  const challenge = state.json.challenges?.find(({ type }) => type === 'http-01');
  if (state.json.status === 'valid' || !challenge) return;
  http01.set(challenge.token, { body: keyAuthorization(challenge.token, acme.account.key) });
  expectOk(await acme.post(challenge.url, {}));
  state = expectOk(await acme.get(url));
  while (state.json.status !== 'valid') {
    if (state.json.status === 'invalid') throw new Error(state.text);
    await sleep(POLL_MS);
    state = expectOk(await acme.get(url));
  }
  http01.remove(challenge.token);
}

/** As many requests and signatures an order as `per` says, against the floor. */
export async function createFloorLoad(options: { origin: string; ca: string; clients: number; per: Counted }) {
  const clients = Array.from({ length: options.clients }, (_, index) => ({
    transport: createLoadTransport(options.ca),
    key: createSigningKey('ES256'),
    index,
    keys: createKeyPair(),
  }));
  const { requests, signed } = options.per;

  async function order({ transport, key, index, keys }: (typeof clients)[number], n: number): Promise<void> {
    const { der } = buildCsr({ keys, names: [`n${n}.bench.test`] });
    for (let i = 0; i < Math.round(requests); i++) {
      const isSigned = i < Math.round(signed);
      const url = `${options.origin}/${i === 0 && isSigned ? 'finalize' : 'other'}`;
      const payload = i === 0 ? { csr: base64url(der) } : { identifiers: [{ type: 'dns', value: `n${n}.bench.test` }] };
      const header = {
        alg: key.alg,
        kid: `account-${index}`,
        jwk: key.jwk,
        nonce: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
        url,
      };
      const body = isSigned ? JSON.stringify(signJws(key, header, payload)) : undefined;
      const reply = await transport.request(isSigned ? 'POST' : 'GET', url, {
        headers: body ? { 'content-type': 'application/jose+json' } : {},
        ...(body ? { body } : {}),
      });
      expectOk(reply);
    }
  }

  async function run(certificates: number): Promise<void> {
    let left = certificates;
    await Promise.all(
      clients.map(async (client) => {
        while (left > 0) await order(client, left--);
      }),
    );
  }

  return { run, close: () => clients.forEach(({ transport }) => transport.close()) };
}
