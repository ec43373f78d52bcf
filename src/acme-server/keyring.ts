// Keys shared by all replicas, and what is made with them: deterministic authenticated encryption for URLs, MACs for objects.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { parseBase64url } from '../domain/encoding.ts';

/** One root key; `id` names it inside everything sealed with it. */
export interface RootKey {
  /** 1 to 255. */
  id: number;
  /** 32 bytes. */
  secret: Buffer;
}

interface DerivedKeys {
  id: number;
  /** Makes the synthetic IV. */
  iv: KeyObject;
  encrypt: KeyObject;
  mac: KeyObject;
}

/** What `open` says of text that is not ours: `unknown-key` may become readable by `reload`. */
export type Opened = { state: 'open'; plaintext: string } | { state: 'invalid' } | { state: 'unknown-key' };

export interface Keyring {
  /** base64url text, the same for the same purpose and plaintext. */
  seal(purpose: string, plaintext: string): string;
  open(purpose: string, text: string): Opened;
  /** `<key id>.<base64url HMAC-SHA-256>` over the purpose and the parts, with the current key. The id says which key must stay. */
  mac(purpose: string, parts: readonly string[]): string;
  /** Constant-time check against the key the MAC names. */
  verifyMac(purpose: string, parts: readonly string[], mac: string): boolean;
  /** Whether the key the MAC names is here; where it is not, `reload` may bring it. */
  knowsKeyOf(mac: string): boolean;
  /** Id of the key that seals now. */
  currentKey(): number;
  /** Ids of all keys there are, the one that seals now first. */
  keys(): readonly number[];
  /** base64url text of 256 bits, the same for as long as there is the key of that id; undefined without it. */
  derive(purpose: string, parts: readonly string[], key: number): string | undefined;
  /** Reads the keys anew; of calls at one time one reads. Rejects as the read does. */
  reload(): Promise<void>;
}

/** Results kept, and the longest input they are kept for, in characters: some 2 MiB as a rule, 10 MiB at most. */
const MEMO_ENTRIES = 2048;
const MEMO_LENGTH = 1024;

const IV_LENGTH = 12;
const TAG_LENGTH = 16;

function derive(root: RootKey): DerivedKeys {
  const key = (label: string) =>
    createSecretKey(Buffer.from(hkdfSync('sha256', root.secret, Buffer.alloc(0), `countersign ${label} v1`, 32)));
  return { id: root.id, iv: key('iv'), encrypt: key('encrypt'), mac: key('mac') };
}

function joined(purpose: string, parts: readonly string[]): string {
  // Lengths make the concatenation unambiguous whatever the parts contain.
  return [purpose, ...parts].map((part) => `${part.length}:${part}`).join('');
}

interface Keys {
  current: DerivedKeys;
  byId: ReadonlyMap<number, DerivedKeys>;
}

function keysOf(roots: readonly RootKey[]): Keys {
  const all = roots.map(derive);
  const current = all[0];
  if (!current) throw new Error('a keyring needs a key');
  return { current, byId: new Map(all.map((key) => [key.id, key])) };
}

const digest = (key: KeyObject, text: string) => createHmac('sha256', key).update(text).digest();

/** The IV is a MAC of what is sealed, so one key never meets one IV with two texts. */
function seal(key: DerivedKeys, purpose: string, plaintext: string): string {
  const iv = digest(key.iv, joined(purpose, [plaintext])).subarray(0, IV_LENGTH);
  const cipher = createCipheriv('aes-256-gcm', key.encrypt, iv, { authTagLength: TAG_LENGTH });
  cipher.setAAD(Buffer.from(purpose));
  const body = cipher.update(plaintext, 'utf8');
  cipher.final();
  return Buffer.concat([Buffer.of(key.id), iv, body, cipher.getAuthTag()]).toString('base64url');
}

function open(keys: Keys, purpose: string, text: string): Opened {
  const bytes = parseBase64url(text);
  if (!bytes || bytes.length < 1 + IV_LENGTH + TAG_LENGTH) return { state: 'invalid' };
  const key = keys.byId.get(bytes[0] as number);
  if (!key) return { state: 'unknown-key' };
  const iv = bytes.subarray(1, 1 + IV_LENGTH);
  const decipher = createDecipheriv('aes-256-gcm', key.encrypt, iv, { authTagLength: TAG_LENGTH });
  decipher.setAAD(Buffer.from(purpose));
  decipher.setAuthTag(bytes.subarray(-TAG_LENGTH));
  try {
    const body = bytes.subarray(1 + IV_LENGTH, -TAG_LENGTH);
    return { state: 'open', plaintext: decipher.update(body, undefined, 'utf8') + decipher.final('utf8') };
  } catch {
    return { state: 'invalid' };
  }
}

/** What was computed lately: one order seals, opens and derives the same a handful of times within a second. */
function createMemo<V>() {
  const kept = new Map<string, V>();
  return {
    get: (key: string) => kept.get(key),
    set: (key: string, value: V): V => {
      if (key.length > MEMO_LENGTH) return value;
      kept.set(key, value);
      if (kept.size > MEMO_ENTRIES) kept.delete(kept.keys().next().value as string);
      return value;
    },
  };
}

/** The keys and what was made with them. */
function keyringOf(roots: readonly RootKey[]) {
  const keys = keysOf(roots);
  const sealed = createMemo<string>();
  const opened = createMemo<Opened>();
  const macs = createMemo<string>();

  return {
    seal(purpose: string, plaintext: string): string {
      const key = joined(purpose, [plaintext]);
      const known = sealed.get(key);
      if (known !== undefined) return known;
      const text = sealed.set(key, seal(keys.current, purpose, plaintext));
      opened.set(joined(purpose, [text]), { state: 'open', plaintext });
      return text;
    },
    open(purpose: string, text: string): Opened {
      const key = joined(purpose, [text]);
      const known = opened.get(key);
      if (known) return known;
      const result = open(keys, purpose, text);
      return result.state === 'open' ? opened.set(key, result) : result;
    },
    mac: (purpose: string, parts: readonly string[]): string =>
      `${keys.current.id}.${macOf(keys.current, joined(purpose, parts))}`,
    verifyMac(purpose: string, parts: readonly string[], mac: string): boolean {
      const key = keys.byId.get(keyIdOf(mac) ?? 0);
      const given = key && parseBase64url(mac.slice(mac.indexOf('.') + 1));
      if (!key || given?.length !== 32) return false;
      return timingSafeEqual(digest(key.mac, joined(purpose, parts)), given);
    },
    knowsKeyOf: (mac: string) => keys.byId.has(keyIdOf(mac) ?? 0),
    currentKey: () => keys.current.id,
    keys: () => [...keys.byId.keys()],
    derive(purpose: string, parts: readonly string[], id: number): string | undefined {
      const key = keys.byId.get(id);
      return key && macOf(key, joined(purpose, parts));
    },
  };

  function macOf(key: DerivedKeys, text: string): string {
    const name = `${key.id}.${text}`;
    return macs.get(name) ?? macs.set(name, digest(key.mac, text).toString('base64url'));
  }
}

/** Id of the key a MAC was made with. */
export function keyIdOf(mac: string): number | undefined {
  const id = /^(\d{1,3})\./.exec(mac)?.[1];
  return id === undefined ? undefined : Number(id);
}

/**
 * `roots`: the current one first, then those still accepted; `read` gives them as they are stored now. The first byte of sealed
 * text is the key's id.
 */
export function createKeyring(roots: readonly RootKey[], read: () => Promise<readonly RootKey[]>): Keyring {
  let current = keyringOf(roots);
  let reading: Promise<void> | undefined;

  async function readAnew(): Promise<void> {
    const stored = await read();
    // A Secret that somebody emptied does not unseal what clients hold.
    if (stored.length > 0) current = keyringOf(stored);
  }

  return {
    seal: (purpose, plaintext) => current.seal(purpose, plaintext),
    open: (purpose, text) => current.open(purpose, text),
    mac: (purpose, parts) => current.mac(purpose, parts),
    verifyMac: (purpose, parts, mac) => current.verifyMac(purpose, parts, mac),
    knowsKeyOf: (mac) => current.knowsKeyOf(mac),
    currentKey: () => current.currentKey(),
    keys: () => current.keys(),
    derive: (purpose, parts, key) => current.derive(purpose, parts, key),
    reload: () => {
      reading ??= readAnew().finally(() => {
        reading = undefined;
      });
      return reading;
    },
  };
}
