// Requests to a webhook signed with a shared key: docs/write-your-own-backend.md, "Shared key". The key is read once and kept until somebody
// asks for a fresh look.
import { createHash, createHmac } from 'node:crypto';
import type { SharedKeySpec } from '../../api/webhook-backend.ts';
import type { BackendDeps } from '../../ports.ts';
import { readValue } from './mutual-tls.ts';
import { RemoteFault } from './remote-fault.ts';

export interface Signable {
  method: string;
  /** With the query. */
  path: string;
  body: Buffer;
}

export interface SharedKey {
  /** Headers that sign a request. Throws RemoteFault for a key that is missing or too short. */
  sign(request: Signable): Promise<Record<string, string>>;
  /** The next `sign` reads the Secret again. */
  refresh(): void;
}

/** Less can be guessed. */
const MIN_KEY_BYTES = 32;

export function createSharedKey(
  deps: Pick<BackendDeps, 'secrets' | 'clock'>,
  { keyID, secretRef }: SharedKeySpec,
): SharedKey {
  let current: Promise<Buffer> | undefined;

  async function load(): Promise<Buffer> {
    const key = trimmed(await readValue(deps, secretRef));
    if (key.length >= MIN_KEY_BYTES) return key;
    const message = `the shared key has ${key.length} bytes, at least ${MIN_KEY_BYTES} are needed`;
    throw new RemoteFault('KeyTooShort', message);
  }

  return {
    async sign({ method, path, body }) {
      const loading = (current ??= load());
      const key = await loading.catch((error: unknown) => {
        if (current === loading) current = undefined;
        throw error;
      });
      const timestamp = String(Math.floor(deps.clock.now().getTime() / 1000));
      const digest = createHash('sha256').update(body).digest('hex');
      const signed = ['v1', method, path, timestamp, digest].join('\n');
      return {
        'Countersign-Timestamp': timestamp,
        'Countersign-Signature': `v1=${createHmac('sha256', key).update(signed).digest('hex')}`,
        ...(keyID === undefined ? {} : { 'Countersign-Key-ID': keyID }),
      };
    },
    refresh() {
      current = undefined;
    },
  };
}

/** Editors and shells like to end files with a line feed. */
function trimmed(value: Buffer): Buffer {
  const end = value.at(-1) === 0x0a ? (value.at(-2) === 0x0d ? -2 : -1) : value.length;
  return value.subarray(0, end);
}
