// Asking the other replicas: the owner of a nonce, and all of them when a version of an object must not be used any more.
import { Agent, request } from 'node:http';
import { renderAddress, fold } from '../domain/address.ts';
import type { Clock, Log } from '../ports.ts';
import type { Keyring } from './keyring.ts';
import type { NoncesDeps } from './nonces.ts';
import type { Change } from './objects.ts';
import {
  PEER_HEADER,
  PEER_PATH,
  type PeerMessage,
  type PeerReply,
  readReply,
  type SentMessage,
  signMessage,
} from './peer-messages.ts';

export interface Replicas {
  /** Addresses of the other replicas, as the EndpointSlices of our Service list them. */
  others(): readonly string[];
}

export interface PeersDeps {
  keyring: Keyring;
  replicas: Replicas;
  /** The same on all replicas. */
  port: number;
  clock: Clock;
  log: Log;
}

export interface Peers {
  /** Asks the owner of a nonce; only addresses of replicas are ever dialled. */
  ask: NonNullable<NoncesDeps['replica']>['ask'];
  /** Tells all other replicas; resolves when each knows or has had its time. */
  announce: (change: Change) => Promise<void>;
  close(): void;
}

/** A client waits meanwhile, and a replica that is gone must not cost more. */
const PATIENCE_MS = 300;
/** Requests under way to one replica; a flood of made-up nonces ends here. */
const MAX_AT_ONCE = 256;

export function createPeers(deps: PeersDeps): Peers {
  const agent = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4, scheduling: 'fifo' });
  const send = createSender(deps, agent);

  return {
    ask: async (bytes, nonce) => {
      const address = renderAddress(fold(bytes));
      if (!deps.replicas.others().includes(address)) return 'unknown';
      const answer = await send(address, { ask: 'redeem', nonce });
      return answer?.reply === 'redeemed' ? answer.outcome : 'unknown';
    },
    announce: async (change) => {
      await Promise.all(deps.replicas.others().map((address) => send(address, { ask: 'outdate', change })));
    },
    close: () => agent.destroy(),
  };
}

/** Undefined where there is no good reply in time. */
type Send = (address: string, message: PeerMessage) => Promise<PeerReply | undefined>;

function createSender({ keyring, port, clock, log }: PeersDeps, agent: Agent): Send {
  /** How far the clock of each replica is ahead of ours, ms. */
  const ahead = new Map<string, number>();
  const underWay = new Map<string, number>();

  async function once(address: string, message: PeerMessage, signal: AbortSignal): Promise<PeerReply | undefined> {
    const sent = signMessage(keyring, message, { to: address, now: clock.now().getTime() + (ahead.get(address) ?? 0) });
    const received = await post({ agent, address, port, sent, signal });
    return received && readReply(keyring, received, sent);
  }

  return async (address, message) => {
    const load = underWay.get(address) ?? 0;
    if (load >= MAX_AT_ONCE) return undefined;
    underWay.set(address, load + 1);
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const reply = await once(address, message, signal);
      if (reply?.reply !== 'mistimed') return reply;
      ahead.set(address, reply.now - clock.now().getTime());
      return await once(address, message, signal);
    } catch (error) {
      log.debug({ error, replica: address, ask: message.ask }, 'another replica did not answer');
      return undefined;
    } finally {
      const left = (underWay.get(address) ?? 1) - 1;
      if (left > 0) underWay.set(address, left);
      else underWay.delete(address);
    }
  };
}

interface Post {
  agent: Agent;
  address: string;
  port: number;
  sent: SentMessage;
  signal: AbortSignal;
}

const MAX_REPLY = 1024;

function post({ agent, address, port, sent, signal }: Post): Promise<{ body: string; mac: string } | undefined> {
  return new Promise((resolve, reject) => {
    const { body, time, mac } = sent;
    const outgoing = request({
      agent,
      host: address,
      port,
      path: PEER_PATH,
      method: 'POST',
      signal,
      headers: {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
        [PEER_HEADER.time]: time,
        [PEER_HEADER.mac]: mac,
      },
    });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_REPLY) outgoing.destroy(new Error('the reply is too long'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        const given = response.headers[PEER_HEADER.mac];
        resolve(typeof given === 'string' ? { body: Buffer.concat(chunks).toString(), mac: given } : undefined);
      });
    });
    outgoing.end(body);
  });
}
