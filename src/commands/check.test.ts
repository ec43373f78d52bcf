import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAuthority } from '../../test/contract/authorities.ts';
import { runCheck } from './check.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'check-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function check(...args: string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCheck(args, { out: (text) => void out.push(text), err: (text) => void err.push(text) });
  return { code, out: out.join(''), err: err.join('') };
}

const ISSUER = `apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: {name: main}
spec: {backend: {ca: {secretRef: {name: main-ca}}}}
`;

test('a good configuration and good manifests are nothing to complain about', async () => {
  const config = file('good.yaml', 'externalURLs: [https://acme.corp.example]\n');
  const issuer = file('issuer.yaml', ISSUER);
  expect(await check('--config', config, issuer)).toEqual({
    code: 0,
    out: '',
    err: `countersign: nothing wrong with ${config}, 1 objects\n`,
  });
});

test('every mistake of configuration and manifests is told, each at its place', async () => {
  const config = file('bad.yaml', 'externalURL: [https://acme.corp.example]\nlisten: {acme: 0}\n');
  const first = file('first.yaml', ISSUER.replace('secretRef', 'secretRefs'));
  const second = file('second.yaml', `${ISSUER}---\n${ISSUER}---\nkind: Nothing\n`);
  const { code, out } = await check('--config', config, first, second);
  expect(code).toBe(1);
  expect(out.trimEnd().split('\n')).toEqual([
    `${config}: externalURL: unknown field, did you mean externalURLs?`,
    `${config}: listen.acme: must be a whole number of 1 to 65535, not 0`,
    `${first} document 1: spec.backend.ca.secretRef: is required: a mapping with name`,
    `${first} document 1: spec.backend.ca.secretRefs: unknown field, did you mean secretRef?`,
    expect.stringContaining(`${second} document 3: kind: "Nothing" is not accepted`) as string,
    `${second} document 2: metadata.name: ClusterCAIssuer main is defined already in ${second} document 1`,
  ]);
});

test('what manifests say is shown on one line each, and nothing of it is obeyed by a terminal', async () => {
  const names = ['a\\u001b[2J\\nforged: line', 'b\\u202egpj\\u009b31m\\u2028'];
  const path = file('nasty.yml', names.map((name) => `kind: "${name}"\nmetadata: {name: "${name}"}\n`).join('---\n'));
  const { code, out, err } = await check(path);
  expect(code).toBe(1);
  expect(out.trimEnd().split('\n')).toHaveLength(names.length);
  for (const line of out.trimEnd().split('\n')) expect(line).toMatch(/^[\x20-\x7e]*$/);
  expect(err).toMatch(/^[\x20-\x7e]*\n$/);
});

test('a CAIssuer whose backend the configuration does not offer is told', async () => {
  const issuer = file(
    'tenant.yaml',
    `apiVersion: countersign.dev/v1alpha1
kind: CAIssuer
metadata: {name: remote, namespace: team-a}
spec:
  backend:
    webhook:
      url: https://signer.team-a.svc/sign
      trustAnchors: |
${createAuthority().pem.trimEnd().replace(/^/gm, '        ')}
      authentication: {hmac: {secretRef: {name: key, key: key}}}
`,
  );
  const closed = file('closed.yaml', 'externalURLs: [https://acme.corp.example]\n');
  expect(await check('--config', closed, issuer)).toMatchObject({
    code: 1,
    out: 'CAIssuer team-a/remote: the configuration does not offer the backend webhook to CAIssuers\n',
  });
  const open = file('open.yaml', 'tenantBackends: [webhook]\n');
  expect(await check('--config', open, issuer)).toMatchObject({ code: 0, out: '' });
});

test('a folder is read as dev reads it', async () => {
  file('issuer.yaml', ISSUER);
  const { out } = await check(folder);
  expect(out).toContain(`${join(folder, 'second.yaml')} document 3`);
});

test.each([
  [[], 'nothing to check'],
  [['--colour'], "Unknown option '--colour'"],
  [['/does/not/exist.yaml'], 'no such file'],
  [['--config', '/does/not/exist.yaml'], 'cannot be read'],
])('wrong flags are told apart by their exit code: %j', async (args, message) => {
  const { code, err } = await check(...args);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});

test('a kubeconfig that cannot be used is told', async () => {
  const { code, err } = await check('--kubeconfig', '/does/not/exist');
  expect([code, err]).toEqual([1, expect.stringContaining('/does/not/exist')]);
});

test('help says what it does', async () => {
  const { code, out } = await check('--help');
  expect([code, out]).toEqual([0, expect.stringContaining('Usage: countersign check')]);
});
