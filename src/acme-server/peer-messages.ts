// What replicas say to each other, and how they know each other: every message and every reply carries a MAC with a key from the
// sealing Secret, and a message its time, by the clock of whom it is for.
import { parseJson } from '../domain/json.ts';
import type { Keyring } from './keyring.ts';
import type { Redeemed } from './nonces.ts';
import type { Change } from './objects.ts';

export type PeerMessage =
  /** Redeem this nonce, which is yours. */
  | { ask: 'redeem'; nonce: string }
  /** Versions before this one are not to be used any more. */
  | { ask: 'outdate'; change: Change };

export type PeerReply =
  | { reply: 'redeemed'; outcome: Redeemed }
  | { reply: 'outdated' }
  /** The time of the message is not now; `now` is, in ms. */
  | { reply: 'mistimed'; now: number };

export const PEER_PATH = '/peer';
export const PEER_HEADER = { time: 'countersign-time', mac: 'countersign-mac' } as const;

/** How far the time of a message may be off. */
const WINDOW_MS = 30_000;

export interface SentMessage {
  body: string;
  time: string;
  mac: string;
}

/** `to` is the address of the recipient, as its nonces have it. */
export function signMessage(
  keyring: Keyring,
  message: PeerMessage,
  { to, now }: { to: string; now: number },
): SentMessage {
  const body = JSON.stringify(message);
  const time = String(Math.round(now));
  return { body, time, mac: keyring.mac('peer-message', [to, time, body]) };
}

export type ReadMessage = { state: 'forged' } | { state: 'mistimed' } | { state: 'good'; message: PeerMessage };

/** What was received at the address `to`. A key that is not known is looked for first. */
export async function readMessage(
  keyring: Keyring,
  { body, time, mac }: SentMessage,
  { to, now }: { to: string; now: number },
): Promise<ReadMessage> {
  if (!keyring.knowsKeyOf(mac)) await keyring.reload();
  if (!keyring.verifyMac('peer-message', [to, time, body], mac)) return { state: 'forged' };
  if (!(Math.abs(Number(time) - now) <= WINDOW_MS)) return { state: 'mistimed' };
  return { state: 'good', message: parseJson(Buffer.from(body)) as PeerMessage };
}

export function signReply(keyring: Keyring, reply: PeerReply, to: SentMessage): { body: string; mac: string } {
  const body = JSON.stringify(reply);
  return { body, mac: keyring.mac('peer-reply', [to.mac, body]) };
}

/** The reply to this very message; undefined for anything else. */
export function readReply(
  keyring: Keyring,
  { body, mac }: { body: string; mac: string },
  to: SentMessage,
): PeerReply | undefined {
  return keyring.verifyMac('peer-reply', [to.mac, body], mac) ? (parseJson(Buffer.from(body)) as PeerReply) : undefined;
}
