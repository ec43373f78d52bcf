// `countersign dev` as its user meets it: start, mistakes, restart, edits, stop.
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { freePort, type RunningProgram, startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey } from '../support/jws.ts';

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

const ISSUER = `apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: {name: lab}
spec:
  backend: {ca: {secretRef: {name: lab-ca}, selfSigned: {commonName: Lab CA}}}
`;
const POLICY = `apiVersion: countersign.dev/v1alpha1
kind: CertificateRequestPolicy
metadata: {name: lab}
spec:
  selector: {}
  allowed: {dnsNames: {values: ["*.lab.localhost"]}}
`;
const CLAIM = `apiVersion: countersign.dev/v1alpha1
kind: CertificateClaim
metadata: {name: web}
spec:
  secretName: web-tls
  issuerRef: {kind: ClusterCAIssuer, name: lab}
  dnsNames: [web.lab.localhost]
`;

let folder: string;
let manifests: string;
let data: string;
let ports: string[];
const running: RunningProgram[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-dev-test-'));
  manifests = join(folder, 'manifests');
  data = join(folder, 'data');
  mkdirSync(manifests);
  writeFileSync(join(manifests, 'issuer.yaml'), ISSUER);
  writeFileSync(join(manifests, 'policy.yaml'), POLICY);
  ports = ['--port', String(await freePort()), '--http-port', String(await freePort())];
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((program) => program.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function dev(...args: string[]): RunningProgram {
  const program = startProgram(process.execPath, [main, 'dev', '--manifests', manifests, ...ports, ...args]);
  running.push(program);
  return program;
}

function get(...args: string[]): Promise<string> {
  const program = startProgram(process.execPath, [main, 'get', ...args, '--data', data]);
  return program.ended.then((code) => {
    expect(code, program.output()).toBe(0);
    return program.output();
  });
}

const READY = /^ready directory=(\S+) ca=(\S+) issuer-ca=(\S+)$/m;

async function ready(program: RunningProgram) {
  const [, directory = '', ca = '', issuerCA = ''] = await program.waitFor(READY);
  return { directory, ca, issuerCA };
}

test('prints one ready line on stdout, with files that exist, and answers', async () => {
  const { directory, ca, issuerCA } = await ready(dev('--data', data));
  expect(directory).toBe(`https://localhost:${ports[1]}/acme/lab/directory`);
  expect(ca).toBe(join(data, 'ca.crt'));
  expect(readFileSync(issuerCA, 'utf8')).toContain('BEGIN CERTIFICATE');
  const transport = createTransport(readFileSync(ca, 'utf8'));
  expect((await transport.request('GET', directory)).status).toBe(200);
  expect((await transport.request('GET', `http://127.0.0.1:${ports[3]}/readyz`)).status).toBe(200);
  transport.close();
});

test('SIGINT and SIGTERM stop it with exit code 0, and --memory leaves nothing', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const program = dev('--memory');
    const { ca } = await ready(program);
    process.kill(program.pid, signal);
    expect(await program.ended).toBe(0);
    expect(existsSync(ca)).toBe(false);
  }
});

test('state survives a restart and a SIGKILL: account, CA and store', async () => {
  const first = dev('--data', data);
  const before = await ready(first);
  const key = createSigningKey();
  let transport = createTransport(readFileSync(before.ca, 'utf8'));
  const account = await register(await connect(transport, before.directory), key);
  expect(account.status).toBe(201);
  const root = readFileSync(before.issuerCA, 'utf8');
  transport.close();
  process.kill(first.pid, 'SIGKILL');
  await first.ended;

  const after = await ready(dev('--data', data));
  transport = createTransport(readFileSync(after.ca, 'utf8'));
  const again = await register(await connect(transport, after.directory), key);
  expect(again.status).toBe(200);
  expect(again.location).toBe(account.location);
  expect(readFileSync(after.issuerCA, 'utf8')).toBe(root);
  expect(statSync(join(data, 'store.sqlite')).mode & 0o777).toBe(0o600);
  transport.close();
});

test('a taken port is named with the flag that changes it: exit code 1', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(Number(ports[1]), '127.0.0.1', resolve));
  const program = dev('--memory');
  expect(await program.ended).toBe(1);
  expect(program.output()).toMatch(new RegExp(`port ${ports[1]} for the ACME server is taken.*--port`));
  server.close();
});

test('every mistake in the manifests is named with file, field and reason: exit code 1', async () => {
  writeFileSync(join(manifests, 'issuer.yaml'), ISSUER.replace('secretRef', 'secretReff'));
  writeFileSync(join(manifests, 'policy.yaml'), POLICY.replace('selector: {}', 'priority: high'));
  const program = dev('--memory');
  expect(await program.ended).toBe(1);
  expect(program.output()).toMatch(/issuer\.yaml.*spec\.backend\.ca\.secretReff/);
  expect(program.output()).toMatch(/issuer\.yaml.*spec\.backend\.ca\.secretRef\b/);
  expect(program.output()).toMatch(/policy\.yaml.*spec\.priority/);
  expect(program.output()).toMatch(/policy\.yaml.*spec\.selector/);
});

test.each([
  ['--prot 1', /--prot/],
  ['--port 0', /--port must be a port/],
  ['--memory --data x', /--memory keeps nothing/],
])('wrong flags (%s) are exit code 2', async (args, message) => {
  const program = dev(...args.split(' '));
  expect(await program.ended).toBe(2);
  expect(program.output()).toMatch(message);
});

test('a data folder that cannot be used is named: exit code 1', async () => {
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  const program = dev('--data', join(file, 'data'));
  expect(await program.ended).toBe(1);
  expect(program.output()).toContain(`the data folder ${join(file, 'data')} cannot be used`);
});

test('a second server on the same data folder is refused: exit code 1', async () => {
  await ready(dev('--data', data));
  ports = ['--port', String(await freePort()), '--http-port', String(await freePort())];
  const second = dev('--data', data);
  expect(await second.ended).toBe(1);
  expect(second.output()).toContain(join(data, 'store.sqlite'));
});

test('an issuer that never becomes ready, or is not there, is an error that says why', async () => {
  const program = dev('--memory', '--issuer', 'nobody');
  expect(await program.ended).toBe(1);
  expect(program.output()).toContain('no ClusterCAIssuer named nobody');
});

test('a claim put into the folder becomes key and certificate as files of 0600; get lists it while dev runs', async () => {
  await ready(dev('--data', data));
  writeFileSync(join(manifests, 'claim.yaml'), CLAIM);
  const key = join(data, 'secrets', 'default', 'web-tls', 'tls.key');
  await expect.poll(() => existsSync(key), { timeout: 60_000 }).toBe(true);
  expect(statSync(key).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(data, 'secrets', 'default', 'web-tls', 'tls.crt'), 'utf8')).toContain('BEGIN CERTIFICATE');
  const listed = await get('icert', '-o', 'wide');
  expect(listed).toContain('web.lab.localhost');
  expect(listed).toMatch(/CertificateClaim\s+web\s+default\s+lab\b/);
});

test('an edit takes effect, an invalid edit keeps the last good object, a removed file removes it', async () => {
  const program = dev('--data', data);
  await ready(program);
  writeFileSync(join(manifests, 'policy.yaml'), POLICY.replace('selector: {}', 'priority: 7\n  selector: {}'));
  await expect.poll(() => get('cspol', '-o', 'yaml'), { timeout: 60_000 }).toContain('priority: 7');
  writeFileSync(join(manifests, 'policy.yaml'), POLICY.replace('selector: {}', 'priority: no'));
  await expect.poll(() => program.output(), { timeout: 60_000 }).toMatch(/policy\.yaml.*spec\.priority/);
  expect(await get('cspol', '-o', 'yaml')).toContain('priority: 7');
  rmSync(join(manifests, 'policy.yaml'));
  await expect.poll(() => get('cspol', '-o', 'yaml'), { timeout: 60_000 }).not.toContain('name: lab');
});

test('a CA Secret stays when its issuer goes', async () => {
  await ready(dev('--data', data));
  rmSync(join(manifests, 'issuer.yaml'));
  await expect.poll(() => get('ccai', '-o', 'yaml'), { timeout: 60_000 }).not.toContain('name: lab');
  expect(await get('secret', 'lab-ca', '-n', 'countersign-system', '-o', 'yaml')).toContain('tls.key');
});

test('the example of a tenant gives a directory under its namespace and a certificate of its own CA', async () => {
  manifests = join(import.meta.dirname, '..', '..', 'examples', 'tenants', 'manifests');
  const { directory, issuerCA } = await ready(dev('--data', data, '--issuer', 'team-a/internal'));
  expect(directory).toMatch(/^https:\/\/localhost:\d+\/ns\/team-a\/acme\/internal\/directory$/);
  const root = new X509Certificate(readFileSync(issuerCA));
  expect(root.subject).toBe('CN=Team A Internal CA');
  const file = join(data, 'secrets', 'team-a', 'web-tls', 'tls.crt');
  const leaf = await eventually('the claim has its certificate', async () =>
    existsSync(file) ? new X509Certificate(readFileSync(file)) : undefined,
  );
  expect(leaf.checkHost('web.team-a.localhost')).toBe('web.team-a.localhost');
  expect(leaf.verify(root.publicKey)).toBe(true);
  expect(await get('cai', '-o', 'wide')).toMatch(/NAMESPACE\s+NAME[\s\S]*team-a\s+internal\s+True/);
});

test('without a ClusterCAIssuer the ready line has a CAIssuer; one that is not there is said', async () => {
  manifests = join(import.meta.dirname, '..', '..', 'examples', 'tenants', 'manifests');
  const { directory } = await ready(dev('--memory'));
  expect(directory).toContain('/ns/team-a/acme/internal/directory');
  ports = ['--port', String(await freePort()), '--http-port', String(await freePort())];
  const program = dev('--memory', '--issuer', 'team-b/internal');
  expect(await program.ended).toBe(1);
  expect(program.output()).toContain('no CAIssuer named team-b/internal');
});

test('the examples of the README, put into the folder as they stand, give what it says they give', async () => {
  const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/```yaml\n(.*?)```/gs)]
    .map(([, yaml]) => yaml ?? '')
    .filter((yaml) => yaml.includes('countersign.dev/'));
  expect(examples).toHaveLength(2);
  rmSync(manifests, { recursive: true });
  mkdirSync(manifests);
  for (const [i, yaml] of examples.entries()) writeFileSync(join(manifests, `${i}.yaml`), yaml);
  const { directory } = await ready(dev('--data', data));
  expect(directory).toMatch(/\/acme\/corporate\/directory$/);
  const file = join(data, 'secrets', 'default', 'shop-tls', 'tls.crt');
  const pem = await eventually('the claim has its certificate', async () =>
    existsSync(file) ? readFileSync(file) : undefined,
  );
  expect(new X509Certificate(pem).checkHost('shop.web.example')).toBe('shop.web.example');
});
