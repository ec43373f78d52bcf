import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createClock } from '../runtime/clock.ts';
import { loadApiConfig } from './kubernetes-config.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const IN_POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '6443' };

function put(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A mounted volume, as the kubelet makes it: the files are links into a folder that is swapped whole. */
function mount(version: string, token: string, ca = 'the CA'): void {
  mkdirSync(join(folder, `..${version}`));
  put(`..${version}/token`, token);
  put(`..${version}/ca.crt`, ca);
  symlinkSync(`..${version}`, join(folder, '..next'));
  renameSync(join(folder, '..next'), join(folder, '..data'));
  if (version !== 'one') return;
  for (const name of ['token', 'ca.crt']) symlinkSync(`..data/${name}`, join(folder, name));
}

test('inside a Pod: the server, the namespace, token and CA as they rotate', async () => {
  mount('one', 'first\n');
  put('namespace', 'countersign-system');
  const clock = createFakeClock();
  const { server, namespace, access } = await loadApiConfig({ env: IN_POD, clock, serviceAccount: folder });
  expect([server.href, namespace]).toEqual(['https://10.96.0.1:6443/', 'countersign-system']);
  const first = await access(false);
  expect(first).toEqual({ tls: { ca: 'the CA' }, headers: { authorization: 'Bearer first' } });
  mount('two', 'second');
  expect(await access(false)).toEqual(first);
  await clock.advance(5_000);
  const second = await access(false);
  expect(second.headers).toEqual({ authorization: 'Bearer second' });
  // The same object: nothing of the connections has changed.
  expect(second.tls).toBe(first.tls);
  mount('three', 'third', 'another CA');
  const third = await access(true);
  expect(third).toEqual({ tls: { ca: 'another CA' }, headers: { authorization: 'Bearer third' } });
});

test('a token file whose times lie is read again all the same', async () => {
  mount('one', 'first');
  const clock = createFakeClock();
  const { access } = await loadApiConfig({ env: IN_POD, clock, serviceAccount: folder });
  const path = join(folder, '..one', 'token');
  utimesSync(path, 1, 1);
  await clock.advance(6_000);
  await access(false);
  writeFileSync(path, 'other');
  utimesSync(path, 1, 1);
  await clock.advance(30_000);
  expect((await access(false)).headers).toEqual({ authorization: 'Bearer first' });
  await clock.advance(40_000);
  expect((await access(false)).headers).toEqual({ authorization: 'Bearer other' });
});

test('a token that is missing or half written for a moment does not take away the one of before', async () => {
  mount('one', 'first');
  const { access } = await loadApiConfig({ env: IN_POD, clock: createFakeClock(), serviceAccount: folder });
  put('..one/token', '');
  expect((await access(true)).headers).toEqual({ authorization: 'Bearer first' });
  unlinkSync(join(folder, 'token'));
  expect((await access(true)).headers).toEqual({ authorization: 'Bearer first' });
});

test('an IPv6 service address is a host', async () => {
  mount('one', 'first');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1' };
  const { server } = await loadApiConfig({ env, clock: createFakeClock(), serviceAccount: folder });
  expect(server.href).toBe('https://[fd00::1]/');
});

interface Parts {
  cluster?: object;
  user?: object;
  more?: object;
}

function kubeconfig({ cluster, user, more }: Parts = {}): string {
  return put(
    'config',
    stringify({
      clusters: [
        { name: 'other', cluster: { server: 'https://other.test' } },
        { name: 'c', cluster: { server: 'https://api.test:6443', ...cluster } },
      ],
      users: [{ name: 'u', user: { token: 'one', ...user } }],
      contexts: [
        { name: 'x', context: { cluster: 'c', user: 'u', namespace: 'team' } },
        { name: 'y', context: { cluster: 'other', user: 'u' } },
      ],
      'current-context': 'x',
      ...more,
    }),
  );
}

const load = (parts?: Parts, context?: string) =>
  loadApiConfig({ env: IN_POD, clock: createClock(), kubeconfig: kubeconfig(parts), ...(context ? { context } : {}) });

test('a kubeconfig: server, CA, token, namespace of the context', async () => {
  const ca = Buffer.from('the CA').toString('base64');
  const config = await load({ cluster: { 'certificate-authority-data': ca, 'tls-server-name': 'api' } });
  expect([config.server.href, config.namespace]).toEqual(['https://api.test:6443/', 'team']);
  expect(await config.access(false)).toEqual({
    tls: { ca: 'the CA', servername: 'api' },
    headers: { authorization: 'Bearer one' },
  });
  expect((await load({}, 'y')).server.href).toBe('https://other.test/');
});

test('a kubeconfig: files beside it, which rotate, and whom it acts for', async () => {
  put('cert.pem', 'a certificate');
  put('key.pem', 'a key');
  const token = put('token', 'from a file');
  const user = {
    'client-certificate': 'cert.pem',
    'client-key': 'key.pem',
    tokenFile: token,
    as: 'someone',
    'as-groups': ['a', 'b'],
  };
  const { access } = await load({ user });
  expect(await access(false)).toEqual({
    tls: { cert: 'a certificate', key: 'a key' },
    headers: { authorization: 'Bearer from a file', 'impersonate-user': 'someone', 'impersonate-group': ['a', 'b'] },
  });
  put('token', 'newer');
  expect((await access(true)).headers).toMatchObject({ authorization: 'Bearer newer' });
});

test('a kubeconfig: a credential plugin is asked, and asked again after a refusal', async () => {
  const counter = put('count', '');
  const script = `echo >> ${counter}; n=$(wc -l < ${counter}); echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"token-'$n'"}}'`;
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] };
  const { access } = await load({ user: { token: undefined, exec } });
  expect((await access(false)).headers).toEqual({ authorization: 'Bearer token-1' });
  expect((await access(false)).headers).toEqual({ authorization: 'Bearer token-1' });
  expect((await access(true)).headers).toEqual({ authorization: 'Bearer token-2' });
  const failing = { ...exec, args: ['-c', 'echo no login >&2; exit 1'] };
  const broken = await load({ user: { token: undefined, exec: failing } });
  await expect(broken.access(false)).rejects.toThrow('no login');
});

test.each([
  ['server must begin with https', { cluster: { server: 'http://api.test' } }],
  ['no usable server', { cluster: { server: 'api.test' } }],
  ['insecure-skip-tls-verify is not supported', { cluster: { 'insecure-skip-tls-verify': true } }],
  ['proxy-url is not supported', { cluster: { 'proxy-url': 'http://proxy.test' } }],
  ['neither token nor client certificate', { user: { token: '', username: 'u', password: 'p' } }],
  ['ENOENT', { user: { 'client-certificate': 'missing.pem' } }],
  ['no entry of contexts is named z', { more: { 'current-context': 'z' } }],
  ['has no current-context', { more: { 'current-context': '' } }],
  ['no entry of users is named u', { more: { users: [] } }],
])('a kubeconfig is refused: %s', async (message, parts) => {
  await expect(load(parts)).rejects.toThrow(message);
});

test('what is asked for comes first, and nothing is guessed', async () => {
  mount('one', 'first');
  const clock = createClock();
  const file = kubeconfig();
  const found = async (env: Record<string, string>, more = {}) =>
    (await loadApiConfig({ env: { HOME: folder, ...env }, clock, serviceAccount: folder, ...more })).server.host;
  expect(await found({ ...IN_POD, KUBECONFIG: `/nowhere-but-first-wins` }, { kubeconfig: file })).toBe('api.test:6443');
  expect(await found({ ...IN_POD, KUBECONFIG: file })).toBe('api.test:6443');
  expect(await found(IN_POD)).toBe('10.96.0.1:6443');
  await expect(found({})).rejects.toThrow('no cluster');
  mkdirSync(join(folder, '.kube'));
  renameSync(file, join(folder, '.kube', 'config'));
  expect(await found({})).toBe('api.test:6443');
  const context = put('context', stringify({ 'current-context': 'y' }));
  expect(await found({ KUBECONFIG: `${context}:${join(folder, '.kube', 'config')}` })).toBe('other.test');
});
