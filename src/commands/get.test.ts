import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { claim, record } from '../../test/contract/cluster.ts';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { NamespaceKind } from '../api/core.ts';
import { ALL_KINDS } from '../api/index.ts';
import { IssuedCertificateKind } from '../api/issued-certificate.ts';
import { createEmbeddedCluster, type EmbeddedCluster } from '../cluster/embedded.ts';
import { sqliteStorage, storeFile } from '../cluster/sqlite-storage.ts';
import { runGet } from './get.ts';
import { humanDuration } from './table.ts';

let data: string;
let cluster: EmbeddedCluster;

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'countersign-get-'));
  cluster = createEmbeddedCluster({
    storage: sqliteStorage(storeFile(data)),
    clock: createFakeClock('2030-01-01T00:00:00Z'),
    random: createFakeRandom(),
    kinds: ALL_KINDS,
  });
  await cluster.create(NamespaceKind, { metadata: { name: 'team' } });
  const web = await cluster.create(CertificateClaimKind, claim('team', 'web'));
  const conditions = [
    {
      type: 'Ready',
      status: 'True' as const,
      reason: 'Issued',
      message: 'issued\u001b[31m!\nand more',
      lastTransitionTime: '2030-01-01T00:00:00Z',
    },
  ];
  const status = { conditions, notAfter: '2030-04-01T00:00:00Z' };
  await cluster.replaceStatus(CertificateClaimKind, { ...web, status });
  await cluster.create(CertificateClaimKind, claim('default', 'other', { secretName: 'elsewhere' }));
  await cluster.create(IssuedCertificateKind, record('countersign-system', 'ic-1'));
});

afterAll(async () => {
  await cluster.close();
  rmSync(data, { recursive: true });
});

async function get(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    now: () => new Date('2030-01-01T01:00:00Z'),
  };
  const code = await runGet([...args, '--data', data], io);
  return { code, out, err };
}

test('a table of all namespaces while the store is in use', async () => {
  expect(await get('cclaim')).toEqual({
    code: 0,
    err: '',
    out: [
      'NAMESPACE   NAME    READY   SECRET      AGE',
      'default     other           elsewhere   60m',
      'team        web     True    tls         60m',
      '',
    ].join('\n'),
  });
});

test('one namespace, wide, with foreign text made harmless', async () => {
  const { out } = await get('CertificateClaim', '-n', 'team', '-o', 'wide');
  expect(out).toBe(
    [
      'NAME   READY   SECRET   ISSUER      EXPIRES   STATUS                 AGE',
      'web    True    tls      corporate   in 89d    issued\\u001b[31m!...   60m',
      '',
    ].join('\n'),
  );
});

test('several kinds and names', async () => {
  const { out, code } = await get('ns,icert');
  expect(code).toBe(0);
  expect(out).toContain('namespace/team');
  expect(out).toContain('issuedcertificate/ic-1');
  expect((await get('certificateclaims.countersign.dev', 'web', 'other')).out.split('\n')).toHaveLength(4);
});

test('whole objects as YAML and JSON', async () => {
  const one = await get('cclaim', 'web', '-o', 'yaml');
  expect(parse(one.out)).toEqual(await cluster.get(CertificateClaimKind, { namespace: 'team', name: 'web' }));
  const all = await get('cclaim', '-o', 'json');
  const { items } = await cluster.list(CertificateClaimKind);
  expect(JSON.parse(all.out)).toEqual({ apiVersion: 'v1', kind: 'List', items });
});

test('whole objects hold nothing that a terminal obeys, and are the same to whoever parses them', async () => {
  // C0, C1 (CSI), bidirectional override, line separator, half a character, a tag outside the basic plane.
  const nasty = 'a\u001b[2J\u0085\u009b31m\u202egpj\u2028\u200b\udc00\u{e0041}\t: - {}';
  const annotations = { note: nasty, lines: `one\r\ntwo\n${nasty}` };
  const metadata = { name: 'nasty', namespace: 'team', annotations };
  const made = await cluster.create(CertificateClaimKind, { ...claim('team', 'nasty'), metadata });
  for (const [format, read] of [
    ['yaml', (text: string): unknown => parse(text)],
    ['json', (text: string): unknown => JSON.parse(text)],
  ] as const) {
    const { out } = await get('cclaim', 'nasty', '-o', format);
    expect(out).toMatch(/^[\n\x20-\x7e]*$/);
    expect(read(out)).toEqual(made);
  }
  expect((await get('cclaim', 'x\u202e\u009b')).err).toMatch(/^[\x20-\x7e]*\n$/);
  await cluster.delete(CertificateClaimKind, { namespace: 'team', name: 'nasty' });
});

test('what is not there', async () => {
  expect(await get('cclaim', 'none')).toEqual({
    code: 1,
    out: '',
    err: 'countersign: certificateclaims.countersign.dev "none" not found\n',
  });
  expect(await get('secrets', '-n', 'team')).toEqual({
    code: 0,
    out: '',
    err: 'No resources found in team namespace.\n',
  });
});

test('mistakes are told and end with 2', async () => {
  for (const [args, message] of [
    [[], 'which kind? Kinds are clustercaissuer or ccai, '],
    [['certificateclam'], 'there is no kind "certificateclam", did you mean certificateclaim? Kinds are'],
    [['cclaim', '-o', 'xml'], '-o must be wide, yaml or json, not "xml"'],
    [['cclaim', '-n', 'team', '-A'], '-n and -A do not go together'],
    [['cclaim', '--colour'], "Unknown option '--colour'"],
  ] as const) {
    const { code, err } = await get(...args);
    expect(err).toContain(message);
    expect(code).toBe(2);
  }
});

test('a missing or foreign store is told and ends with 1', async () => {
  const io = { out: () => {}, err: (text: string) => void lines.push(text), now: () => new Date() };
  const lines: string[] = [];
  const empty = mkdtempSync(join(tmpdir(), 'countersign-get-'));
  expect(await runGet(['secrets', '--data', empty], io)).toBe(1);
  writeFileSync(storeFile(empty), 'something else altogether, and long enough to be looked at'.repeat(20));
  expect(await runGet(['secrets', '--data', empty], io)).toBe(1);
  expect(lines).toEqual([
    expect.stringContaining(`there is no store in ${empty}: run countersign dev`),
    `countersign: cannot use the store ${storeFile(empty)}: it is no Countersign store, or it is corrupt\n`,
  ]);
  rmSync(empty, { recursive: true });
});

test('help', async () => {
  const { code, out } = await get('--help');
  expect(code).toBe(0);
  expect(out).toContain('Usage: countersign get');
});

test('durations as kubectl writes them', () => {
  const [minute, hour, day] = [60, 3600, 86_400];
  const written = [
    0,
    119,
    2 * minute,
    5 * minute + 30,
    59 * minute,
    3 * hour,
    7 * hour + 20 * minute,
    47 * hour,
    3 * day + 4 * hour,
    8 * day,
    700 * day,
    800 * day,
    3000 * day,
  ].map(humanDuration);
  expect(written).toEqual([
    '0s',
    '119s',
    '2m',
    '5m30s',
    '59m',
    '3h',
    '7h20m',
    '47h',
    '3d4h',
    '8d',
    '700d',
    '2y70d',
    '8y',
  ]);
});
