// Replay nonces (RFC 8555 section 6.5): an authenticated counter, so that nothing is stored per nonce issued, and a bit per
// nonce of the last 65,536 so that each is accepted exactly once. A nonce of another process is not ours to accept.
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { parseBase64url } from '../domain/encoding.ts';
import type { Random } from '../ports.ts';

/** Nonces older than this many are refused. */
const WINDOW = 65_536;
const ID_LENGTH = 6;
const COUNTER_LENGTH = 6;
const TAG_LENGTH = 16;

export type Redeemed = 'accepted' | 'malformed' | 'unknown' | 'used';

export interface Nonces {
  issue(): string;
  /** Accepts each nonce at most once. Synchronous, so that of parallel requests with one nonce exactly one is accepted. */
  redeem(nonce: string): Redeemed;
}

export function createNonces(random: Random): Nonces {
  const key = createSecretKey(random.bytes(32));
  const processID = random.bytes(ID_LENGTH);
  const used = new Uint8Array(WINDOW);
  let next = 0;

  function issue(): string {
    const counter = next++;
    used[counter % WINDOW] = 0;
    // The counter never repeats under this key, so it serves as IV; the tag alone is what nobody else can make.
    const iv = Buffer.alloc(ID_LENGTH + COUNTER_LENGTH);
    processID.copy(iv);
    iv.writeUIntBE(counter, ID_LENGTH, COUNTER_LENGTH);
    const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_LENGTH });
    cipher.final();
    return Buffer.concat([iv, cipher.getAuthTag()]).toString('base64url');
  }

  function redeem(nonce: string): Redeemed {
    const bytes = nonce.length > 128 ? Buffer.alloc(0) : parseBase64url(nonce);
    if (!bytes) return 'malformed';
    if (bytes.length !== ID_LENGTH + COUNTER_LENGTH + TAG_LENGTH) return 'unknown';
    const iv = bytes.subarray(0, ID_LENGTH + COUNTER_LENGTH);
    if (!iv.subarray(0, ID_LENGTH).equals(processID)) return 'unknown';
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_LENGTH });
    decipher.setAuthTag(bytes.subarray(iv.length));
    try {
      decipher.final();
    } catch {
      return 'unknown';
    }
    const counter = iv.readUIntBE(ID_LENGTH, COUNTER_LENGTH);
    if (counter >= next || counter < next - WINDOW) return 'unknown';
    if (used[counter % WINDOW] === 1) return 'used';
    used[counter % WINDOW] = 1;
    return 'accepted';
  }

  return { issue, redeem };
}
