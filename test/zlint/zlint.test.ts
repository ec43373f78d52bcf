// Two hundred varied certificates of the `ca` backend, through zlint and through the verifiers of OpenSSL, Go and Java.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { caBackend } from '../../src/backends/ca/index.ts';
import type { CertificateModel } from '../../src/domain/certificate-model.ts';
import { defaultSubject, parseSubjectTemplate, renderSubject } from '../../src/domain/subject.ts';
import type { Backend } from '../../src/ports.ts';
import { anIssuer, createAuthority, createMemorySecrets, subjectKeyIdentifier } from '../contract/authorities.ts';
import {
  aSigningRequest,
  createKey,
  KEY_KINDS,
  type KeyKind,
  type ModelOptions,
  type TestKey,
} from '../contract/models.ts';
import { opensslTest, verifyStrict } from '../contract/openssl.ts';
import { createFakeClock } from '../fakes/clock.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { buildCertificate, pemOf } from '../support/certificate-builder.ts';
import * as der from '../support/der-writer.ts';

const TOOL = join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'bin', 'zlint');
const GO = 'go';
const JAVA = 'java';
const SOURCES = 'RFC3279,RFC5280,RFC5480,RFC5891,RFC8813,Community';
const COUNT = 200;

/** A test that needs a program; named as skipped where there is none, unless all are required. */
function requiring(found: boolean, name: string) {
  if (!found && process.env['COUNTERSIGN_REQUIRE'] === 'all') throw new Error(`${name} is required and is not here`);
  return test.skipIf(!found);
}

function runs(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const zlintTest = requiring(isExecutable(TOOL), `zlint (node scripts/build-tools.ts zlint)`);
const goTest = requiring(runs(GO, 'version'), 'Go');
const javaTest = requiring(runs('javac', '-version') && runs(JAVA, '-version'), 'a JDK');

const DAY_MS = 86_400_000;
const NOW = new Date(Math.floor(Date.now() / 1000) * 1000);
const random = createFakeRandom('zlint');
const none = new AbortController().signal;
/** Compiling on a busy machine takes its time. */
const COMPILE_MS = 300_000;

/** A number below n, the same in each run. */
const below = (n: number): number => random.bytes(4).readUInt32BE() % n;
const pick = <T>(list: readonly [T, ...T[]]): T => list[below(list.length)] ?? list[0];

const LABELS = [
  'api',
  'db-1',
  'mail',
  'xn--mller-kva',
  'a',
  'very-long-label-that-takes-more-room-than-most-and-goes-on-to-63-x',
  '0',
] as const;

function dnsName(i: number, long: boolean): string {
  const label = pick(LABELS).slice(0, 63);
  return long ? `${`${'l'.repeat(60)}.`.repeat(3)}n${i}.example.com` : `${label}.n${i}.example.com`;
}

function variedNames(i: number): CertificateModel['names'] {
  const count = pick([1, 1, 2, 3, 10, 100]);
  const empty: string[] = [];
  const dnsNames = Array.from({ length: count }, (_, n) =>
    below(5) === 0 ? `*.w${i}-${n}.example.com` : dnsName(i * 1000 + n, below(12) === 0),
  );
  const ipAddresses = below(3) === 0 ? [`192.0.2.${i}`, `2001:db8::${(i + 1).toString(16)}`] : empty;
  const uris = below(6) === 0 ? [`spiffe://cluster.local/ns/n${i}/sa/default`] : empty;
  const emailAddresses = below(8) === 0 ? [`n${i}@example.com`] : empty;
  return { dnsNames: below(10) === 0 && ipAddresses.length > 0 ? empty : dnsNames, ipAddresses, uris, emailAddresses };
}

const TEMPLATES = [
  'CN={names[0]},O=Example Ltd,C=DE',
  'CN={names[0]},OU={namespace},O=Müller \\& Söhne\\, GmbH,L=Zürich,ST=Zürich,C=CH',
  'O=日本 Example,SERIALNUMBER=HRB 12345',
  'UID={account},DC=example,DC=com',
] as const;

function variedSubject(names: CertificateModel['names']): CertificateModel['subject'] {
  const choice = below(4);
  if (choice === 0) return [];
  if (choice === 1) return defaultSubject(names);
  const template = parseSubjectTemplate(pick(TEMPLATES).replace('\\&', '&'));
  if (typeof template === 'string') throw new Error(template);
  return renderSubject(template, { names, namespace: 'payments', account: 'acc-1' });
}

function variedModel(i: number, keys: TestKey): ModelOptions {
  const names = variedNames(i);
  const days = pick([1, 30, 90, 365, 3650 - 2]);
  return {
    keys,
    names,
    subject: variedSubject(names),
    usages: pick<CertificateModel['usages']>([['server auth'], ['client auth'], ['server auth', 'client auth']]),
    from: NOW,
    notAfter: new Date(NOW.getTime() + days * DAY_MS),
  };
}

function createBackend(kind: KeyKind): { backend: Backend } {
  const root = createAuthority({ subject: `Root of ${kind}`, extensions: [subjectKeyIdentifier(Buffer.alloc(20, 1))] });
  const aki = { oid: '2.5.29.35', value: der.sequence(der.contextPrimitive(0, Buffer.alloc(20, 1))) };
  const ca = createAuthority({
    subject: `Issuing ${kind}`,
    kind,
    parent: root,
    extensions: [subjectKeyIdentifier(Buffer.alloc(20, 2)), aki],
  });
  const spec = { ca: { secretRef: { name: 'ca' } } };
  const secrets = createMemorySecrets({ ca: { 'tls.key': ca.key, 'tls.crt': ca.pem + root.pem } });
  const urls = {
    crl: 'http://pki.example.com/crl/corporate.crl',
    issuerCertificate: 'http://pki.example.com/ca/corporate.cer',
  };
  return { backend: caBackend.create({ secrets, clock: createFakeClock(NOW), random, urls }, anIssuer(spec), spec) };
}

/** A root as the bootstrap makes it. */
async function selfSigned(algorithm: 'RSA' | 'ECDSA' | 'Ed25519'): Promise<Buffer> {
  const spec = {
    ca: {
      secretRef: { name: 'ca' },
      selfSigned: { commonName: `${algorithm} trial CA`, organization: 'Example', privateKey: { algorithm } },
    },
  };
  const deps = { secrets: createMemorySecrets(), clock: createFakeClock(NOW), random, urls: undefined };
  const { ca } = await caBackend.create(deps, anIssuer(spec), spec).check(none);
  return ca?.certificate ?? Buffer.alloc(0);
}

let folder = '';
let chains: (readonly Buffer[])[] = [];
let files: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-zlint-'));
  const backends = KEY_KINDS.map((kind) => createBackend(kind));
  const keys = KEY_KINDS.map((kind) => createKey(kind));
  for (let i = 0; i < COUNT; i++) {
    const { backend } = backends[i % backends.length] ?? createBackend('P-256');
    const request = aSigningRequest(
      variedModel(i, keys[Math.floor(i / backends.length) % keys.length] ?? createKey('P-256')),
    );
    const outcome = await backend.sign(request, none);
    if (outcome.kind !== 'issued') throw new Error(JSON.stringify(outcome));
    chains.push(outcome.chain);
  }
  files = chains.map((chain, i) => write(`${i}.pem`, chain.map((bytes) => pemOf('CERTIFICATE', bytes)).join('')));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Names of the lints that found an error, one list a certificate. */
function zlint(certificates: readonly Buffer[]): string[][] {
  const paths = certificates.map((bytes, i) => write(`lint-${i}.der`, bytes));
  const { stdout, stderr, status } = spawnSync(TOOL, ['-format', 'der', '-includeSources', SOURCES, ...paths], {
    encoding: 'utf8',
    maxBuffer: 256 << 20,
  });
  if (status !== 0) throw new Error(stderr);
  const reports = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, { result: string }>);
  expect(reports).toHaveLength(certificates.length);
  return reports.map((report) =>
    Object.entries(report).flatMap(([lint, { result }]) => (result === 'error' || result === 'fatal' ? [lint] : [])),
  );
}

zlintTest(`zlint finds no error in ${COUNT} varied certificates, nor in self-signed roots`, async () => {
  const roots = await Promise.all((['RSA', 'ECDSA', 'Ed25519'] as const).map(selfSigned));
  const certificates = [...chains.map(([leaf]) => leaf ?? Buffer.alloc(0)), ...roots];
  const found = zlint(certificates)
    .map((errors, i) => [i, errors] as const)
    .filter(([, errors]) => errors.length > 0);
  expect(found).toEqual([]);
});

zlintTest('zlint as it is run here does find errors', () => {
  const keys = createKey('P-256');
  const names = (...list: der.Der[]) =>
    buildCertificate({ subject: der.sequence(), issuer: 'x', keys, extensions: [der.subjectAltName(list)] });
  const [bad, uncritical] = zlint([
    names(der.generalName.dns('a b.example.com')),
    names(der.generalName.dns('a.example.com')),
  ]);
  expect(bad?.length).toBeGreaterThan(0);
  expect(uncritical).toContain('e_ext_san_not_critical_without_subject');
});

test('the certificates are as varied as they should be', () => {
  const leaves = chains.map(([leaf]) => leaf ?? Buffer.alloc(0));
  expect(leaves).toHaveLength(COUNT);
  expect(Math.max(...leaves.map(({ length }) => length))).toBeGreaterThan(3000);
  for (const part of [
    '*.w',
    'spiffe://',
    '日本 Example',
    'xn--mller-kva',
    `${'l'.repeat(60)}.`,
    '@example.com',
    'Zürich',
  ])
    expect([part, leaves.some((leaf) => leaf.includes(part))]).toEqual([part, true]);
});

opensslTest('openssl verify -x509_strict takes a fifth of them', () => {
  for (const chain of chains.filter((_, i) => i % 5 === 0)) expect(verifyStrict(chain)).toMatchObject({ ok: true });
});

goTest(
  'Go verifies all of them, by every name',
  () => {
    const { stdout, stderr } = spawnSync(GO, ['run', join(import.meta.dirname, 'verify', 'main.go'), ...files], {
      encoding: 'utf8',
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    expect(stdout + stderr).toBe(`verified ${COUNT}\n`);
  },
  COMPILE_MS,
);

javaTest(
  'Java verifies all of them',
  () => {
    const { stdout, stderr } = spawnSync(JAVA, [join(import.meta.dirname, 'verify', 'Verify.java'), ...files], {
      encoding: 'utf8',
    });
    expect(stdout + stderr).toBe(`verified ${COUNT}\n`);
  },
  COMPILE_MS,
);
