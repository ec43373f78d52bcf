// The keys that seal URLs and sign objects, in a Secret that all replicas read: made by whoever comes first, followed by all, turned
// over by the lease holder (docs/adr/0008).
import { createKeyring, keyIdOf, type Keyring, type RootKey } from '../acme-server/keyring.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cache, Clock, Cluster, Log, Random } from '../ports.ts';

export const SEALING_KEYS_SECRET = 'countersign-sealing-keys';
const TYPE = 'countersign.dev/sealing-keys';
const KEY_LENGTH = 32;
/** Members of the Secret beside `key-<id>`: the id of the key that seals, and when each key came and began to seal. */
const CURRENT = 'current';
const TIMES = 'times.json';

/** A new key is there for this long before it seals, so that every replica has it by then. */
const PUBLISHED_MS = 600_000;
/** A key that seals no more is kept for this long at least, and for the life of an order and a day. */
const DAY_MS = 24 * 3_600_000;
const LEAST_KEPT_MS = 30 * DAY_MS;
/** A key not known here is looked for in the cluster at most this often: anybody can name one. */
const LEAST_READ_GAP_MS = 1000;
const MAX_ID = 255;

export interface SealingKeysDeps {
  cluster: Pick<Cluster, 'get' | 'create' | 'replace'>;
  namespace: string;
  clock: Clock;
  random: Random;
}

export const SEALING_KEY_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['update'],
    in: ['operator'],
    names: [SEALING_KEYS_SECRET],
    why: 'turn the sealing keys over',
  },
];

interface Times {
  made: string;
  /** When it began to seal; absent for a key that is published only. */
  sealing?: string;
}

/** What the Secret says. */
interface Stored {
  roots: RootKey[];
  current: number;
  times: Readonly<Record<string, Times>>;
}

/** The keyring of the Secret, which is made where there is none. Throws an Error that names the Secret where it holds no key. */
export async function loadKeyring(deps: SealingKeysDeps): Promise<Keyring> {
  const secret = (await read(deps)) ?? (await make(deps));
  const roots = rootsOf(secret);
  if (roots.length === 0)
    throw new Error(`the Secret ${SEALING_KEYS_SECRET} holds no key (key-<1..${MAX_ID}>, ${KEY_LENGTH} bytes)`);
  let latest = { answer: Promise.resolve(roots), at: deps.clock.monotonic() };
  return createKeyring(roots, () => {
    const now = deps.clock.monotonic();
    // A read that fails counts like one that does not: what cannot answer is not asked more often.
    if (now - latest.at >= LEAST_READ_GAP_MS) latest = { answer: readRoots(deps), at: now };
    return latest.answer;
  });
}

async function readRoots(deps: SealingKeysDeps): Promise<RootKey[]> {
  const found = await read(deps);
  return found ? rootsOf(found) : [];
}

async function read({ cluster, namespace }: SealingKeysDeps): Promise<Secret | undefined> {
  return cluster.get(SecretKind, { namespace, name: SEALING_KEYS_SECRET });
}

async function make(deps: SealingKeysDeps): Promise<Secret> {
  const now = deps.clock.now().toISOString();
  const key = { id: 1, secret: deps.random.bytes(KEY_LENGTH) };
  try {
    return await deps.cluster.create(SecretKind, {
      metadata: { name: SEALING_KEYS_SECRET, namespace: deps.namespace },
      type: TYPE,
      data: dataOf({ roots: [key], current: 1, times: { 1: { made: now, sealing: now } } }),
    });
  } catch (error) {
    const other = isClusterError(error, 'AlreadyExists') ? await read(deps) : undefined;
    if (!other) throw error;
    return other;
  }
}

/** The key that seals first. */
function rootsOf(secret: Secret): RootKey[] {
  const { roots, current } = storedOf(secret);
  return [...roots].sort((a, b) => Number(b.id === current) - Number(a.id === current));
}

function storedOf({ data = {} }: Secret): Stored {
  const roots = Object.entries(data).flatMap(([name, value]): RootKey[] => {
    const id = Number(/^key-(\d{1,3})$/.exec(name)?.[1]);
    const secret = Buffer.from(value, 'base64');
    return id >= 1 && id <= MAX_ID && secret.length === KEY_LENGTH ? [{ id, secret }] : [];
  });
  const named = Number(textOf(data[CURRENT]));
  const newest = Math.max(...roots.map(({ id }) => id));
  return { roots, current: roots.some(({ id }) => id === named) ? named : newest, times: timesOf(data[TIMES]) };
}

const textOf = (value: string | undefined) => Buffer.from(value ?? '', 'base64').toString('utf8');

/** Times are a note of ours; without a readable one a key counts as made when it is next looked at. */
function timesOf(value: string | undefined): Stored['times'] {
  try {
    return JSON.parse(textOf(value)) as Stored['times'];
  } catch {
    return {};
  }
}

function dataOf({ roots, current, times }: Stored): Record<string, string> {
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  const kept = Object.fromEntries(roots.map(({ id }) => [id, times[id]]));
  return {
    ...Object.fromEntries(roots.map(({ id, secret }) => [`key-${id}`, secret.toString('base64')])),
    [CURRENT]: encoded(String(current)),
    [TIMES]: encoded(JSON.stringify(kept)),
  };
}

export interface RotationDeps extends SealingKeysDeps {
  log: Log;
  keyring: Pick<Keyring, 'reload'>;
  rotateAfterMs: number;
  /** The longest life an order may have. */
  longestOrderMs: () => number;
  /** MACs of everything stored that was signed with one of the keys. */
  macs: () => Iterable<string>;
}

export interface RotationLoopDeps extends RotationDeps {
  /** Those of the operator's namespace at least; metadata is enough. */
  secrets: Pick<Cache<Secret>, 'onChange'>;
}

/** After a step or a failure; else the keys are looked at when the next step is due, when somebody writes them, and once a day. */
const LOOK_MS = 300_000;

/** Turns the keys over until the signal aborts; for the lease holder. Never rejects. */
export async function rotateKeys(deps: RotationLoopDeps, signal: AbortSignal): Promise<void> {
  let written = new AbortController();
  const stop = deps.secrets.onChange(({ metadata: { namespace, name } }) => {
    if (name === SEALING_KEYS_SECRET && namespace === deps.namespace) written.abort();
  });
  while (!signal.aborted) {
    written = new AbortController();
    const waitMs = await rotateOnce(deps).catch((error: unknown) => {
      // Somebody else wrote it, or the cluster cannot answer: there is time.
      deps.log.warn({ error, secret: SEALING_KEYS_SECRET }, 'sealing keys could not be looked after');
      return LOOK_MS;
    });
    await deps.clock.sleep(waitMs, AbortSignal.any([signal, written.signal])).catch(() => undefined);
  }
  stop();
}

/**
 * At most one step of a rotation. Conflict where somebody else wrote the Secret meanwhile. Resolves with the milliseconds until there
 * may be another step.
 */
export async function rotateOnce(deps: RotationDeps): Promise<number> {
  const secret = await read(deps);
  if (!secret) return LOOK_MS;
  const stored = storedOf(secret);
  const next = nextOf(deps, stored);
  if (!next) return idleMs(deps, stored);
  await deps.cluster.replace(SecretKind, { ...secret, data: dataOf(next.stored) });
  deps.log.info({ key: next.key }, next.what);
  await deps.keyring.reload();
  return LOOK_MS;
}

/** Until the next step is due where none is now; old keys that something is still signed with are looked at once a day. */
function idleMs(deps: RotationDeps, { current, roots, times }: Stored): number {
  const now = deps.clock.now().getTime();
  const waiting = roots.flatMap(({ id }) =>
    times[id]?.sealing === undefined ? [Date.parse(times[id]?.made ?? '')] : [],
  );
  const due = [
    ...waiting.map((made) => made + PUBLISHED_MS),
    Date.parse(times[current]?.sealing ?? '') + deps.rotateAfterMs,
  ];
  return Math.min(DAY_MS, ...due.map((at) => at - now).filter((ms) => ms > 0));
}

interface Step {
  stored: Stored;
  key: number;
  what: string;
}

function nextOf(deps: RotationDeps, stored: Stored): Step | undefined {
  const now = deps.clock.now().getTime();
  const dated = withTimes(stored, now);
  const age = (id: number, since: keyof Times) => now - Date.parse(dated.times[id]?.[since] ?? '');
  const waiting = stored.roots.find(({ id }) => dated.times[id]?.sealing === undefined);
  if (waiting) return age(waiting.id, 'made') < PUBLISHED_MS ? undefined : takeUp(dated, waiting.id, now);
  if (age(dated.current, 'sealing') >= deps.rotateAfterMs) return publish(deps, dated, now);
  const old = oldKey(deps, dated, now);
  if (old !== undefined) return drop(dated, old);
  return dated === stored ? undefined : { stored: dated, key: dated.current, what: 'times of sealing keys noted' };
}

/** Keys without times are from before times were kept: they seal, or did. */
function withTimes(stored: Stored, now: number): Stored {
  const missing = stored.roots.filter(({ id }) => Number.isNaN(Date.parse(stored.times[id]?.made ?? '')));
  if (missing.length === 0) return stored;
  const noted = { made: new Date(now).toISOString(), sealing: new Date(now).toISOString() };
  return { ...stored, times: { ...stored.times, ...Object.fromEntries(missing.map(({ id }) => [id, noted])) } };
}

function publish({ random, log }: RotationDeps, stored: Stored, now: number): Step | undefined {
  const taken = new Set(stored.roots.map(({ id }) => id));
  // Upwards from the current one, so that an id comes back as late as can be.
  const ids = Array.from({ length: MAX_ID }, (_, i) => ((stored.current + i) % MAX_ID) + 1);
  const id = ids.find((each) => !taken.has(each));
  if (id === undefined) {
    log.error({}, 'every id of a sealing key is taken: no new key can be made');
    return undefined;
  }
  const roots = [...stored.roots, { id, secret: random.bytes(KEY_LENGTH) }];
  const times = { ...stored.times, [id]: { made: new Date(now).toISOString() } };
  return { stored: { ...stored, roots, times }, key: id, what: 'a sealing key was published' };
}

function takeUp(stored: Stored, id: number, now: number): Step {
  const sealing = new Date(now).toISOString();
  const times = { ...stored.times, [id]: { ...stored.times[id], made: stored.times[id]?.made ?? sealing, sealing } };
  return { stored: { ...stored, current: id, times }, key: id, what: 'a sealing key was taken up' };
}

/** A key whose last URL is over and with which nothing stored is signed. */
function oldKey(deps: RotationDeps, { roots, current, times }: Stored, now: number): number | undefined {
  const kept = Math.max(LEAST_KEPT_MS, deps.longestOrderMs() + DAY_MS);
  const began = (id: number) => Date.parse(times[id]?.sealing ?? '');
  // A key sealed until the next one began.
  const ended = (id: number) => Math.min(...roots.map((other) => began(other.id)).filter((at) => at > began(id)));
  const over = roots.filter(({ id }) => id !== current && now - ended(id) >= kept);
  if (over.length === 0) return undefined;
  const inUse = new Set([...deps.macs()].map(keyIdOf));
  return over.find(({ id }) => !inUse.has(id))?.id;
}

function drop(stored: Stored, id: number): Step {
  const roots = stored.roots.filter((root) => root.id !== id);
  return { stored: { ...stored, roots }, key: id, what: 'a sealing key was dropped' };
}
