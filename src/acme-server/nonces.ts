// Replay nonces (RFC 8555 section 6.5): process id, counter, and 128 random bits that are remembered for the last 65,536 nonces and
// forgotten when one is redeemed, so that each is accepted exactly once. A nonce of another process is not ours to accept.
import { timingSafeEqual } from 'node:crypto';
import { parseBase64url } from '../domain/encoding.ts';
import type { Random } from '../ports.ts';

/** Nonces older than this many are refused. */
const WINDOW = 65_536;
const ID_LENGTH = 6;
const COUNTER_LENGTH = 6;
const SECRET_LENGTH = 16;
const LENGTH = ID_LENGTH + COUNTER_LENGTH + SECRET_LENGTH;

export type Redeemed = 'accepted' | 'malformed' | 'unknown' | 'used';

export interface Nonces {
  issue(): string;
  /** Accepts each nonce at most once. Synchronous, so that of parallel requests with one nonce exactly one is accepted. */
  redeem(nonce: string): Redeemed;
}

export function createNonces(random: Random): Nonces {
  const processID = random.bytes(ID_LENGTH);
  const secrets = Buffer.alloc(WINDOW * SECRET_LENGTH);
  const open = new Uint8Array(WINDOW);
  let next = 0;

  function issue(): string {
    const counter = next++;
    const slot = counter % WINDOW;
    const nonce = Buffer.alloc(LENGTH);
    processID.copy(nonce);
    nonce.writeUIntBE(counter, ID_LENGTH, COUNTER_LENGTH);
    random.bytes(SECRET_LENGTH).copy(nonce, ID_LENGTH + COUNTER_LENGTH);
    nonce.copy(secrets, slot * SECRET_LENGTH, ID_LENGTH + COUNTER_LENGTH);
    open[slot] = 1;
    return nonce.toString('base64url');
  }

  function redeem(nonce: string): Redeemed {
    const bytes = nonce.length > 128 ? Buffer.alloc(0) : parseBase64url(nonce);
    if (!bytes) return 'malformed';
    if (bytes.length !== LENGTH || !bytes.subarray(0, ID_LENGTH).equals(processID)) return 'unknown';
    const counter = bytes.readUIntBE(ID_LENGTH, COUNTER_LENGTH);
    if (counter >= next || counter < next - WINDOW) return 'unknown';
    const slot = counter % WINDOW;
    const secret = secrets.subarray(slot * SECRET_LENGTH, (slot + 1) * SECRET_LENGTH);
    if (!timingSafeEqual(secret, bytes.subarray(ID_LENGTH + COUNTER_LENGTH))) return 'unknown';
    if (open[slot] !== 1) return 'used';
    open[slot] = 0;
    return 'accepted';
  }

  return { issue, redeem };
}
