import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { type Secret, SecretKind } from '../api/core.ts';
import { ALL_KINDS } from '../api/index.ts';
import type { NewObject } from '../api/kind.ts';
import { createClock } from '../runtime/clock.ts';
import { createEmbeddedCluster, type EmbeddedCluster } from './embedded.ts';
import { FILES_LABEL, mirrorSecrets } from './secret-files.ts';
import { memoryStorage } from './storage.ts';

let folder: string;
let stop: AbortController;
let cluster: EmbeddedCluster;
let lines: string[];
let running: Promise<void>[];

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'countersign-secrets-')), 'secrets');
  stop = new AbortController();
  lines = [];
  running = [];
  cluster = createEmbeddedCluster({
    storage: memoryStorage(),
    clock: createClock(),
    random: createFakeRandom(),
    kinds: ALL_KINDS,
  });
});

afterEach(async () => {
  stop.abort();
  await Promise.all(running);
  await cluster.close();
  rmSync(join(folder, '..'), { recursive: true });
});

async function start(): Promise<void> {
  const report = (line: string) => void lines.push(line);
  const { done } = await mirrorSecrets({ cluster, clock: createClock(), folder, signal: stop.signal, report });
  running.push(done);
}

function tls(name: string, crt: string, key = 'key'): NewObject<Secret> {
  return {
    metadata: { namespace: 'default', name },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': crt, 'tls.key': key },
  };
}

/** Every file below the folder with its content. */
function files(): Record<string, string> {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
      (entry) => !entry.isDirectory(),
    );
    return Object.fromEntries(
      entries.map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(folder.length + 1), readFileSync(path, 'utf8')];
      }),
    );
  } catch {
    return {};
  }
}

async function untilFiles(wanted: Record<string, string>): Promise<void> {
  const sorted = (record: Record<string, string>) =>
    JSON.stringify(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  while (sorted(files()) !== sorted(wanted)) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('files follow the Secrets, for their owner alone', async () => {
  await cluster.create(SecretKind, tls('web', 'one'));
  await cluster.create(SecretKind, { metadata: { namespace: 'default', name: 'opaque' }, stringData: { a: 'b' } });
  await start();
  expect(files()).toEqual({ 'default/web/tls.crt': 'one', 'default/web/tls.key': 'key' });
  expect(statSync(join(folder, 'default/web/tls.key')).mode & 0o777).toBe(0o600);
  for (const path of ['', 'default', 'default/web']) expect(statSync(join(folder, path)).mode & 0o777).toBe(0o700);

  await cluster.apply(SecretKind, tls('web', 'two', 'newer'), { fieldManager: 'test' });
  await untilFiles({ 'default/web/tls.crt': 'two', 'default/web/tls.key': 'newer' });
  await cluster.delete(SecretKind, { namespace: 'default', name: 'web' });
  await untilFiles({});
  expect(readdirSync(folder)).toEqual([]);
});

test('a label asks for other types, and taking it off removes the files', async () => {
  await start();
  const secret = {
    metadata: { namespace: 'default', name: 'eab', labels: { [FILES_LABEL]: '' } },
    stringData: { a: 'b' },
  };
  const created = await cluster.create(SecretKind, secret);
  await untilFiles({ 'default/eab/a': 'b' });
  await cluster.replace(SecretKind, { ...created, metadata: { ...created.metadata, labels: {} } });
  await untilFiles({});
});

test('a start makes it exact, whatever a crash or a person left behind', async () => {
  mkdirSync(join(folder, 'default/web/tls.key'), { recursive: true });
  mkdirSync(join(folder, 'gone/old'), { recursive: true });
  writeFileSync(join(folder, 'default/web/..tls.crt'), 'half a cert');
  writeFileSync(join(folder, 'default/web/stray'), 'stray');
  writeFileSync(join(folder, 'gone/old/tls.key'), 'old');
  writeFileSync(join(folder, 'stray'), 'stray');
  const outside = join(folder, '../outside');
  writeFileSync(outside, 'untouched');
  symlinkSync(outside, join(folder, 'default/web/tls.crt'));
  await cluster.create(SecretKind, tls('web', 'one'));
  await start();
  expect(files()).toEqual({ 'default/web/tls.crt': 'one', 'default/web/tls.key': 'key' });
  expect(readFileSync(outside, 'utf8')).toBe('untouched');
});

test('an unchanged Secret is not written again', async () => {
  await cluster.create(SecretKind, tls('web', 'one'));
  await start();
  const before = statSync(join(folder, 'default/web/tls.crt'));
  stop.abort();
  await Promise.all(running);
  stop = new AbortController();
  await start();
  const after = statSync(join(folder, 'default/web/tls.crt'));
  expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
});

test('names and keys that lead elsewhere are never followed', async () => {
  await start();
  const hostile = {
    ...tls('web', 'one'),
    apiVersion: 'v1',
    kind: 'Secret',
    data: { '../../escape': 'eA==', '..': 'eA==', '..data': 'eA==', 'tls.crt': 'eA==', 'a/b': 'eA==' },
    metadata: { ...tls('web', 'one').metadata, uid: 'u', resourceVersion: '9', generation: 1, creationTimestamp: '' },
  } as unknown as Secret;
  const elsewhere = { ...hostile, metadata: { ...hostile.metadata, name: '../../escape' } };
  const fake = {
    list: async () => ({ items: [hostile, elsewhere], resourceVersion: '9' }),
    watch: async function* () {
      yield { type: 'DELETED', object: elsewhere };
    },
  };
  writeFileSync(join(folder, '..', 'escape'), 'untouched');
  const { done } = await mirrorSecrets({
    cluster: fake as unknown as EmbeddedCluster,
    clock: createClock(),
    folder,
    signal: stop.signal,
    report: () => {},
  });
  running.push(done);
  expect(files()).toEqual({ 'default/web/tls.crt': 'x' });
  expect(readFileSync(join(folder, '..', 'escape'), 'utf8')).toBe('untouched');
});

test('what cannot be written is reported and written once it can', async () => {
  writeFileSync(folder, 'a file in the way');
  await cluster.create(SecretKind, tls('web', 'one'));
  await start();
  expect(lines).toEqual([expect.stringContaining('Secrets as files: ')]);
  rmSync(folder);
  await untilFiles({ 'default/web/tls.crt': 'one', 'default/web/tls.key': 'key' });
});
