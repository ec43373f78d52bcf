// Replay nonces (RFC 8555 section 6.5): process id, address of the process, counter, and 128 random bits that are remembered for the
// last 65,536 nonces and forgotten when one is redeemed, so that each is accepted exactly once. A nonce of another process is
// redeemed by asking that process at its address (docs/adr/0009); a process without an address is alone.
import { timingSafeEqual } from 'node:crypto';
import { parseBase64url } from '../domain/encoding.ts';
import type { Random } from '../ports.ts';

/** Nonces older than this many are refused. */
const WINDOW = 65_536;
const ID_LENGTH = 6;
const COUNTER_LENGTH = 6;
const SECRET_LENGTH = 16;

export type Redeemed = 'accepted' | 'malformed' | 'unknown' | 'used';

export interface Nonces {
  issue(): string;
  /**
   * Accepts each nonce at most once. For a nonce of this process, synchronously: of parallel requests with one nonce exactly one is
   * accepted. For one of another replica as that answers; never rejects.
   */
  redeem(nonce: string): Redeemed | Promise<Redeemed>;
  /** As redeem, for nonces of this process alone: what other replicas ask for. */
  redeemOwn(nonce: string): Redeemed;
}

export interface NoncesDeps {
  random: Random;
  /** Absent where there are no other replicas. */
  replica?: {
    /** Where this process is asked, 16 bytes (an IPv4 address mapped). */
    address: Buffer;
    /** Asks the owner of a nonce; `unknown` where there is none at that address or it does not answer. Never rejects. */
    ask: (address: Buffer, nonce: string) => Promise<Redeemed>;
  };
}

export function createNonces({ random, replica }: NoncesDeps): Nonces {
  const home = Buffer.concat([random.bytes(ID_LENGTH), replica?.address ?? Buffer.alloc(0)]);
  const LENGTH = home.length + COUNTER_LENGTH + SECRET_LENGTH;
  const table = createTable();

  function parse(nonce: string): Buffer | Redeemed {
    const bytes = nonce.length > 128 ? Buffer.alloc(0) : parseBase64url(nonce);
    if (!bytes) return 'malformed';
    return bytes.length === LENGTH ? bytes : 'unknown';
  }

  const isOwn = (bytes: Buffer) => bytes.subarray(0, home.length).equals(home);

  function redeemParsed(bytes: Buffer): Redeemed {
    return table.redeem(bytes.readUIntBE(home.length, COUNTER_LENGTH), bytes.subarray(-SECRET_LENGTH));
  }

  return {
    issue: () => {
      const nonce = Buffer.allocUnsafe(LENGTH);
      home.copy(nonce);
      const secret = random.bytes(SECRET_LENGTH);
      nonce.writeUIntBE(table.add(secret), home.length, COUNTER_LENGTH);
      secret.copy(nonce, LENGTH - SECRET_LENGTH);
      return nonce.toString('base64url');
    },
    redeem: (nonce) => {
      const bytes = parse(nonce);
      if (typeof bytes === 'string') return bytes;
      if (isOwn(bytes)) return redeemParsed(bytes);
      return replica ? replica.ask(bytes.subarray(ID_LENGTH, home.length), nonce) : 'unknown';
    },
    redeemOwn: (nonce) => {
      const bytes = parse(nonce);
      if (typeof bytes === 'string') return bytes;
      return isOwn(bytes) ? redeemParsed(bytes) : 'unknown';
    },
  };
}

/** The secrets of the last nonces, by counter, and which of them are open. */
function createTable() {
  const secrets = Buffer.alloc(WINDOW * SECRET_LENGTH);
  const open = new Uint8Array(WINDOW);
  let next = 0;
  return {
    add(secret: Buffer): number {
      const counter = next++;
      const slot = counter % WINDOW;
      secret.copy(secrets, slot * SECRET_LENGTH);
      open[slot] = 1;
      return counter;
    },
    redeem(counter: number, given: Buffer): Redeemed {
      if (counter >= next || counter < next - WINDOW) return 'unknown';
      const slot = counter % WINDOW;
      const secret = secrets.subarray(slot * SECRET_LENGTH, (slot + 1) * SECRET_LENGTH);
      if (!timingSafeEqual(secret, given)) return 'unknown';
      if (open[slot] !== 1) return 'used';
      open[slot] = 0;
      return 'accepted';
    },
  };
}
