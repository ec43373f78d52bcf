// The program as one file: the same bytes wherever it is made, all its parts named, and it runs with nothing beside it.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BUNDLE, bundle, LICENCES, ROOT, SBOM } from '../../scripts/image/bundle.ts';
import { nameOf, packageOf, renderSbom } from '../../scripts/image/sbom.ts';
import { issue, register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { freePort, startProgram } from '../support/child-process.ts';
import { startResponders } from '../support/responders.ts';

interface Sbom {
  metadata: { component: { name: string; version: string } };
  components: {
    'bom-ref': string;
    group?: string;
    name: string;
    version: string;
    hashes: object[];
    licenses: object[];
  }[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

let folder: string;
let files: Map<string, string>;
const of = (name: string) => files.get(name) ?? '';
const sbom = () => JSON.parse(of(SBOM)) as Sbom;
const project = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { name: string; version: string };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-bundle-'));
  files = await bundle();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('two builds are the same, byte for byte, in whatever folder', async () => {
  const elsewhere = join(folder, 'a', 'checkout');
  mkdirSync(elsewhere, { recursive: true });
  for (const name of ['src', 'package.json', 'package-lock.json', 'tsconfig.json'])
    cpSync(join(ROOT, name), join(elsewhere, name), { recursive: true });
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(elsewhere, 'node_modules'));
  const again = await bundle(elsewhere);
  expect([...again.keys()]).toEqual([BUNDLE, SBOM, LICENCES]);
  for (const [name, content] of again) expect(content === files.get(name), name).toBe(true);
});

test('it is ASCII, which V8 keeps with one byte a letter', () => {
  const others = of(BUNDLE)
    .split('\n')
    .filter((line) => /[^\0-\x7f]/.test(line));
  expect(others).toEqual([]);
});

test('nothing in it tells where it was made', () => {
  const places = [ROOT, realpathSync(join(ROOT, 'node_modules'))];
  for (const [name, content] of files) for (const place of places) expect(content.includes(place), name).toBe(false);
});

test('the bill of materials names what is in the file, as the lock has it, and how it hangs together', () => {
  const { metadata, components, dependencies } = sbom();
  expect(metadata.component).toMatchObject({ name: project.name, version: project.version });
  const inFile = [...of(BUNDLE).matchAll(/^\/\/ ((?:\S*\/)?node_modules\/\S+)$/gm)];
  expect(inFile.length).toBeGreaterThan(100);
  const packages = new Set(inFile.map(([, file = '']) => nameOf(packageOf(file) ?? '')));
  const named = components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`));
  expect([...packages].filter((name) => !named.includes(name))).toEqual([]);
  expect(named).toContain('fastify');
  expect(named).not.toContain('vitest');
  for (const { hashes, licenses } of components) expect([hashes?.length, licenses?.length]).toEqual([1, 1]);
  const refs = new Set(components.map((component) => component['bom-ref']));
  expect(refs.size).toBe(components.length);
  const reached = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn));
  expect([...refs].filter((ref) => !reached.has(ref))).toEqual([]);
  expect([...reached].filter((ref) => !refs.has(ref))).toEqual([]);
});

test('a package that the lock does not know is an error', () => {
  const lock = { name: 'x', version: '1.0.0', packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } };
  expect(() => renderSbom(lock, ['node_modules/a', 'node_modules/b'])).toThrow(
    'package-lock.json does not know node_modules/b',
  );
});

test('the licence of every package comes with it', () => {
  for (const { group, name, version } of sbom().components) {
    const full = group === undefined ? name : `${group}/${name}`;
    expect(of(LICENCES)).toContain(`\n${full} ${version} (`);
  }
  expect(of(LICENCES)).toContain('Permission is hereby granted, free of charge');
});

test('with nothing beside it, it tells its version and issues a certificate', async () => {
  await using cleanup = new AsyncDisposableStack();
  const alone = join(folder, 'alone');
  const manifests = join(alone, 'manifests');
  mkdirSync(manifests, { recursive: true });
  const program = join(alone, BUNDLE);
  writeFileSync(program, of(BUNDLE));
  const version = startProgram(process.execPath, [program, '--version'], { cwd: alone });
  expect([await version.ended, version.output()]).toEqual([0, `${project.version}\n`]);

  const kind = (name: string, spec: object) => ({
    apiVersion: 'countersign.dev/v1alpha1',
    kind: name,
    metadata: { name: 'main' },
    spec,
  });
  const selfSigned = { commonName: 'Main CA' };
  const objects = {
    issuer: kind('ClusterCAIssuer', { backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned } } }),
    policy: kind('CertificateRequestPolicy', { selector: {}, allowed: { dnsNames: { values: ['**.localhost'] } } }),
  };
  for (const [name, object] of Object.entries(objects))
    writeFileSync(join(manifests, `${name}.yaml`), JSON.stringify(object));
  const responders = await startResponders();
  for (const responder of Object.values(responders)) cleanup.defer(() => responder.stop());
  const ports = { port: await freePort(), 'http-port': await freePort(), 'http01-port': responders.http01.port };
  const flags = Object.entries({ manifests, resolver: responders.dns.address, ...ports });
  const args = flags.flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  const dev = startProgram(process.execPath, [program, 'dev', '--memory', ...args], { cwd: alone });
  cleanup.defer(() => dev.stop());
  const [, directory = '', ca = ''] = await dev.waitFor(/^ready directory=(\S+) ca=(\S+)/m);
  const transport = createTransport(readFileSync(ca, 'utf8'));
  cleanup.defer(() => transport.close());
  const acme = await connect(transport, directory);
  await register(acme);
  const { certificateUrl } = await issue(acme, responders, ['shop.localhost']);
  expect((await acme.get(certificateUrl)).status).toBe(200);
});

test('of the Kubernetes library it has what a credential plugin of a kubeconfig needs', async () => {
  const program = join(folder, BUNDLE);
  writeFileSync(program, of(BUNDLE));
  const asked = join(folder, 'asked');
  const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token: 'x' } };
  const exec = {
    apiVersion: credential.apiVersion,
    command: process.execPath,
    args: [
      '-e',
      `require('fs').writeFileSync(${JSON.stringify(asked)}, ''); console.log(${JSON.stringify(JSON.stringify(credential))})`,
    ],
    interactiveMode: 'Never',
  };
  const kubeconfig = {
    clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${await freePort()}` } }],
    users: [{ name: 'u', user: { exec } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  const [file, config] = [join(folder, 'kubeconfig'), join(folder, 'config.yaml')];
  writeFileSync(file, JSON.stringify(kubeconfig));
  writeFileSync(config, 'namespace: countersign-system');
  const check = startProgram(process.execPath, [program, 'check', '--config', config, '--kubeconfig', file], {
    cwd: folder,
  });
  expect(await check.ended).toBe(1);
  // Nobody answers there; but it got as far as asking, with the plugin's token.
  expect(existsSync(asked), check.output()).toBe(true);
  expect(check.output()).toContain('ECONNREFUSED');
});
