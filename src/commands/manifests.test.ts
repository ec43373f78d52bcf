import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import { ALL_KINDS } from '../api/index.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import { createEmbeddedCluster, type EmbeddedCluster } from '../cluster/embedded.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { createClock } from '../runtime/clock.ts';
import { loadManifests, renderManifestError } from './manifest-files.ts';
import { watchManifests } from './manifests.ts';

let folder: string;
let stop: AbortController;
let cluster: EmbeddedCluster;
let lines: string[];
let running: Promise<void>[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-manifests-'));
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
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string): void {
  // As editors do: a whole new file under the old name.
  writeFileSync(join(folder, `.${name}.new`), text);
  renameSync(join(folder, `.${name}.new`), join(folder, name));
}

async function start(signal = stop.signal) {
  const report = (line: string) => void lines.push(line);
  const deps = { folder, cluster, clock: createClock(), signal, report, namespace: 'countersign-system' };
  const watched = await watchManifests(deps);
  running.push(watched.done);
  return watched;
}

async function until<T>(read: () => Promise<T>, fits: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (fits(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const issuer = (name: string, extra = '') => `apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: {name: ${name}}
spec:
  backend: {ca: {secretRef: {name: ${name}-ca}, selfSigned: {commonName: Example CA}}}
${extra}`;

const errors = () => loadManifests(folder).errors.map(renderManifestError);
const readIssuer = (name: string) => () => cluster.get(ClusterCAIssuerKind, { name });

test('documents of several files are read, namespaced ones into default', () => {
  write(
    'b.yaml',
    `${issuer('corporate')}---\n---\n# nothing\n---\nkind: Namespace\napiVersion: v1\nmetadata: {name: team}\n`,
  );
  write('a.json', '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"eab"},"stringData":{"key":"c2VjcmV0"}}');
  write('notes.txt', 'not a manifest');
  const { manifests, errors } = loadManifests(folder);
  expect(errors).toEqual([]);
  expect(manifests.map(({ kind, object, file, document }) => [kind.kind, object.metadata, file, document])).toEqual([
    ['Namespace', { name: 'team' }, 'b.yaml', 4],
    ['Secret', { name: 'eab', namespace: 'default' }, 'a.json', 1],
    ['ClusterCAIssuer', { name: 'corporate' }, 'b.yaml', 1],
  ]);
});

test('every mistake of every document is told, with file, document and path', () => {
  write(
    'a.yaml',
    `${issuer('corporate', '  profile: []\n  acme: {orderDuration: soon}\n')}---\n${issuer('x').replace('name: x}', 'name: Bad Name}')}`,
  );
  write('b.yaml', 'kind: IssuedCertificate\napiVersion: countersign.dev/v1alpha1\nmetadata: {name: x}\n');
  write('c.yaml', 'a: [1\n');
  write(
    'd.yaml',
    'apiVersion: countersign.dev/v1\nkind: ClusterCAIssuer\nmetadata: {name: x}\n---\nkind: ClusterCAIsuer\n---\n- list\n',
  );
  write(
    'e.yaml',
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: x, label: {a: b}}\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n',
  );
  expect(errors()).toEqual([
    'a.yaml document 1: spec.profile: unknown field, did you mean profiles?',
    'a.yaml document 1: spec.acme.orderDuration: must be a duration such as 2160h, 90m or 1h30m, not "soon"',
    'a.yaml document 2: metadata.name: must be lower-case letters, digits, inner hyphens and dots, at most 253 characters (RFC 1123)',
    'b.yaml document 1: kind: IssuedCertificate is written by the operator only',
    expect.stringMatching(/^c\.yaml document 1: .* at line 2, column 1$/) as string,
    'd.yaml document 1: apiVersion: must be countersign.dev/v1alpha1 for a ClusterCAIssuer',
    expect.stringContaining(
      'd.yaml document 2: kind: "ClusterCAIsuer" is not accepted, did you mean ClusterCAIssuer?',
    ) as string,
    'd.yaml document 3: a manifest is a mapping with apiVersion, kind and metadata',
    'e.yaml document 1: metadata.label: unknown field, did you mean labels?',
    'e.yaml document 2: metadata.name: is required: the name of the object',
  ]);
});

test('an object in two documents is told, and the first stands', () => {
  write('a.yaml', issuer('corporate'));
  write('b.yaml', issuer('corporate', '  suspend: true\n'));
  expect(errors()).toEqual([
    'b.yaml document 1: metadata.name: ClusterCAIssuer corporate is defined already in a.yaml document 1',
  ]);
  expect(loadManifests(folder).manifests.map(({ file }) => file)).toEqual(['a.yaml']);
});

test('aliases cannot unfold to gigabytes', () => {
  const levels = Array.from({ length: 30 }, (_, i) => `l${i}: &l${i} [${i === 0 ? 'x' : `*l${i - 1}, *l${i - 1}`}]`);
  write('bomb.yaml', `apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n${levels.join('\n')}\n`);
  expect(errors()).toEqual([expect.stringContaining('bomb.yaml document 1: Excessive alias count')]);
});

test('a folder that cannot be read is an error that names it', async () => {
  rmSync(folder, { recursive: true });
  await expect(start()).rejects.toThrow(`the manifests folder ${folder} cannot be read`);
});

test('what is there is applied, edits follow, and what goes is deleted', async () => {
  write('issuer.yaml', issuer('corporate'));
  write('eab.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: {name: eab}\nstringData: {key: c2VjcmV0}\n');
  expect(await start()).toMatchObject({ count: 2, errors: 0 });
  const created = await readIssuer('corporate')();
  expect(created?.spec.suspend).toBeUndefined();
  expect((await cluster.get(SecretKind, { namespace: 'default', name: 'eab' }))?.data).toEqual({ key: 'YzJWamNtVjA=' });

  write('issuer.yaml', issuer('corporate', '  suspend: true\n'));
  const changed = await until(readIssuer('corporate'), (found) => found?.spec.suspend === true);
  expect(changed?.metadata.uid).toBe(created?.metadata.uid);

  write('issuer.yaml', issuer('corporate'));
  await until(readIssuer('corporate'), (found) => found?.spec.suspend === undefined);

  rmSync(join(folder, 'issuer.yaml'));
  await until(readIssuer('corporate'), (found) => found === undefined);
  expect(await cluster.get(SecretKind, { namespace: 'default', name: 'eab' })).toBeDefined();
});

test('a new file in an object’s place renames it', async () => {
  write('issuer.yaml', issuer('corporate'));
  await start();
  write('issuer.yaml', issuer('other'));
  await until(readIssuer('other'), (found) => found !== undefined);
  await until(readIssuer('corporate'), (found) => found === undefined);
});

test('an invalid edit leaves the last good object, and nothing is deleted until it is mended', async () => {
  write('issuer.yaml', issuer('corporate', '  suspend: true\n'));
  write('second.yaml', issuer('second'));
  await start();
  write('issuer.yaml', issuer('corporate', '  suspend: maybe\n'));
  rmSync(join(folder, 'second.yaml'));
  await until(
    async () => lines,
    (all) => all.some((line) => line.startsWith('kept ClusterCAIssuer second, no longer')),
  );
  expect(lines).toContain('issuer.yaml document 1: spec.suspend: must be true or false, not "maybe"');
  expect((await readIssuer('corporate')())?.spec.suspend).toBe(true);
  expect(await readIssuer('second')()).toBeDefined();
  write('issuer.yaml', issuer('corporate'));
  await until(readIssuer('second'), (found) => found === undefined);
  expect((await readIssuer('corporate')())?.spec.suspend).toBeUndefined();
});

test('what was removed while nothing watched goes at the next start', async () => {
  write('issuer.yaml', issuer('corporate'));
  write('other.yaml', issuer('other'));
  const first = new AbortController();
  const { done } = await start(first.signal);
  first.abort();
  await done;
  rmSync(join(folder, 'issuer.yaml'));
  await start();
  expect(await readIssuer('corporate')()).toBeUndefined();
  expect(await readIssuer('other')()).toBeDefined();
});

test('what no manifest created is never deleted', async () => {
  const spec = { backend: { ca: { secretRef: { name: 'corporate-ca' } } } };
  await cluster.create(ClusterCAIssuerKind, { metadata: { name: 'corporate' }, spec });
  write('issuer.yaml', issuer('corporate', '  suspend: true\n'));
  await start();
  expect((await readIssuer('corporate')())?.spec.suspend).toBe(true);
  write('other.yaml', issuer('other'));
  rmSync(join(folder, 'issuer.yaml'));
  await until(readIssuer('other'), (found) => found !== undefined);
  expect(await readIssuer('corporate')()).toBeDefined();
});

test('the Secret of a CA stays when its manifest goes', async () => {
  const secret = (name: string) =>
    `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: countersign-system}\nstringData: {x: y}\n`;
  write('issuer.yaml', issuer('corporate'));
  write('ca.yaml', secret('corporate-ca'));
  write('other.yaml', secret('other'));
  await start();
  for (const name of ['issuer.yaml', 'ca.yaml', 'other.yaml']) rmSync(join(folder, name));
  const namespace = 'countersign-system';
  await until(
    () => cluster.get(SecretKind, { namespace, name: 'other' }),
    (found) => found === undefined,
  );
  expect(await cluster.get(SecretKind, { namespace, name: 'corporate-ca' })).toBeDefined();
});

test('the Secret of a CAIssuer is one of its namespace, and stays too', async () => {
  const secret = (namespace: string) =>
    `apiVersion: v1\nkind: Secret\nmetadata: {name: corporate-ca, namespace: ${namespace}}\nstringData: {x: y}\n`;
  const ofTeam = issuer('corporate')
    .replace('ClusterCAIssuer', 'CAIssuer')
    .replace('{name: corporate}', '{name: corporate, namespace: team}');
  write('namespace.yaml', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n');
  write('issuer.yaml', ofTeam);
  write('team.yaml', secret('team'));
  write('other.yaml', secret('default'));
  expect(await start()).toMatchObject({ count: 4, errors: 0 });
  expect(await cluster.get(CAIssuerKind, { namespace: 'team', name: 'corporate' })).toBeDefined();
  for (const name of ['issuer.yaml', 'team.yaml', 'other.yaml']) rmSync(join(folder, name));
  const secretIn = (namespace: string) => () => cluster.get(SecretKind, { namespace, name: 'corporate-ca' });
  await until(secretIn('default'), (found) => found === undefined);
  expect(await secretIn('team')()).toBeDefined();
  expect(lines).toContain('kept Secret team/corporate-ca: it belongs to a CA');
});

test('namespaces come before what is in them, whatever the order of files', async () => {
  write(
    'a.yaml',
    'apiVersion: countersign.dev/v1alpha1\nkind: CertificateClaim\nmetadata: {name: web, namespace: team}\nspec: {secretName: web, issuerRef: {kind: ClusterCAIssuer, name: x}, dnsNames: [a.test]}\n',
  );
  write('z.yaml', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n');
  expect(await start()).toMatchObject({ count: 2, errors: 0 });
  expect(await cluster.get(CertificateClaimKind, { namespace: 'team', name: 'web' })).toBeDefined();
});

test('what the store refuses is told with its file', async () => {
  write('a.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: nowhere}\nstringData: {a: b}\n');
  write('b.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: {name: y}\nstringdata: {a: b}\n');
  expect(await start()).toMatchObject({ count: 0, errors: 2 });
  expect(lines).toEqual([
    'a.yaml document 1: namespaces "nowhere" not found',
    'b.yaml document 1: stringdata: unknown field, known are type, data, stringData, immutable',
  ]);
});

test('a folder that disappears deletes nothing', async () => {
  write('issuer.yaml', issuer('corporate'));
  await start();
  rmSync(folder, { recursive: true });
  await until(
    async () => lines,
    (all) => all.some((line) => line.includes('cannot be read')),
  );
  expect(await readIssuer('corporate')()).toBeDefined();
  mkdirSync(folder);
  write('issuer.yaml', issuer('corporate', '  suspend: true\n'));
  await until(readIssuer('corporate'), (found) => found?.spec.suspend === true);
  expect(await cluster.get(NamespaceKind, { name: 'default' })).toBeDefined();
});
