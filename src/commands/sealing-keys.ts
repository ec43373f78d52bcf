// The keys that seal URLs and sign objects: made once, kept in a Secret that all replicas read.
import { createKeyring, type Keyring, type RootKey } from '../acme-server/keyring.ts';
import type { Random, SecretReader } from '../ports.ts';

const SECRET = 'countersign-sealing-keys';
const KEY_LENGTH = 32;

/** Secret keys are `key-<id>`, id 1 to 255; the highest is the current one. */
export async function loadKeyring(secrets: SecretReader, random: Random): Promise<Keyring> {
  const roots = rootKeys((await secrets.read(SECRET)) ?? (await make(secrets, random)));
  if (roots.length === 0) throw new Error(`the Secret ${SECRET} holds no key (key-<1..255>, ${KEY_LENGTH} bytes)`);
  return createKeyring(roots, async () => rootKeys((await secrets.read(SECRET)) ?? {}));
}

function rootKeys(stored: Readonly<Record<string, Buffer>>): RootKey[] {
  const keys = Object.entries(stored).flatMap(([name, secret]): RootKey[] => {
    const id = Number(/^key-(\d{1,3})$/.exec(name)?.[1]);
    return id >= 1 && id <= 255 && secret.length === KEY_LENGTH ? [{ id, secret }] : [];
  });
  return keys.sort((a, b) => b.id - a.id);
}

async function make(secrets: SecretReader, random: Random): Promise<Readonly<Record<string, Buffer>>> {
  const keys = { 'key-1': random.bytes(KEY_LENGTH) };
  if (await secrets.create(SECRET, 'countersign.dev/sealing-keys', keys)) return keys;
  const other = await secrets.read(SECRET);
  if (!other) throw new Error(`the Secret ${SECRET} vanished`);
  return other;
}
