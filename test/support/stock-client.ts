// What a stock ACME client does of itself and its user never sees: one repetition after badNonce. Counts, and keeps what was accepted.
import { connect, createTransport, type AcmeWire, type Transport } from './acme-wire.ts';
import type { Jws } from './jws.ts';

export interface Traffic {
  /** Nonces of requests that were not refused for them, in order; one that was accepted twice is here twice. */
  accepted: string[];
  badNonces: number;
}

/** `keepAlive` false: each request is a connection of its own. */
export async function stockClient({
  ca,
  directory,
  traffic,
}: {
  ca: string;
  directory: string;
  traffic: Traffic;
}): Promise<AcmeWire> {
  const transport = watched(createTransport(ca, { keepAlive: false }), traffic);
  const wire = await connect(transport, directory);
  const post = wire.post.bind(wire);
  wire.post = (url, payload, options) => post(url, payload, { retryBadNonce: true, ...options });
  wire.get = (url, options) => wire.post(url, undefined, options);
  return wire;
}

function watched(transport: Transport, traffic: Traffic): Transport {
  return {
    ...transport,
    request: async (method, url, options) => {
      const reply = await transport.request(method, url, options);
      if (method !== 'POST' || typeof options?.body !== 'string') return reply;
      if (reply.status === 400 && reply.text.includes(':badNonce"')) traffic.badNonces++;
      else traffic.accepted.push(nonceOf(JSON.parse(options.body) as Jws));
      return reply;
    },
  };
}

function nonceOf(jws: Jws): string {
  const header = JSON.parse(Buffer.from(jws.protected, 'base64url').toString()) as { nonce: string };
  return header.nonce;
}
