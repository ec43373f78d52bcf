// The control plane that the other tests of this folder stand on does what it says.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createApiClient } from '../support/api-client.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';

const SECRETS = '/api/v1/namespaces/default/secrets';

const aSecret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { a: 'b' } });

interface Meta {
  metadata: { resourceVersion: string };
}

describeOnApiServer('a control plane', (plane) => {
  test('serves the release of test/tools/go.mod, to its administrator', async () => {
    const { api, adminKubeconfig } = plane();
    const goMod = readFileSync(new URL('../tools/go.mod', import.meta.url), 'utf8');
    const { gitVersion } = await api.expect<{ gitVersion: string }>('GET', '/version');
    expect(goMod).toContain(`k8s.io/kubernetes ${gitVersion} `);
    const [{ cluster }] = parse(readFileSync(adminKubeconfig, 'utf8')).clusters;
    expect(cluster.server).toBe(plane().url);
  });

  test('a token of a ServiceAccount is known and may do what RBAC says; the audit log tells of both', async () => {
    const { api, url, ca, audit, serviceAccountToken, kubeconfigFor } = plane();
    await api.expect('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'reader' } });
    const token = await serviceAccountToken('default', 'reader');
    const { users } = parse(readFileSync(await kubeconfigFor(token), 'utf8'));
    expect(users[0].user).toEqual({ token });

    const reader = createApiClient(url, ca, { token });
    expect((await reader.request('GET', SECRETS)).status).toBe(403);
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
    await api.expect('POST', `${rbac}/roles`, {
      metadata: { name: 'reader' },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }],
    });
    await api.expect('POST', `${rbac}/rolebindings`, {
      metadata: { name: 'reader' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: 'default' }],
    });
    await eventually('the grant counts', async () =>
      (await reader.request('GET', SECRETS)).status === 200 ? true : undefined,
    );
    reader.close();
    const codes = await eventually('the log has both', async () => {
      const mine = (await audit()).filter(({ user }) => user.username === 'system:serviceaccount:default:reader');
      const seen = new Set(mine.map(({ responseStatus }) => responseStatus?.code));
      return seen.size === 2 ? seen : undefined;
    });
    expect(codes).toEqual(new Set([403, 200]));
  });

  test('after a restart everything is there, and what was compacted is gone', async () => {
    const { api, compact, stopApiServer, startApiServer } = plane();
    const { metadata } = await api.expect<Meta>('POST', SECRETS, aSecret('first'));
    await api.expect('POST', SECRETS, aSecret('second'));
    await compact();
    await stopApiServer();
    await expect(api.request('GET', SECRETS)).rejects.toThrow('ECONNREFUSED');
    await startApiServer();
    await api.expect('GET', `${SECRETS}/first`);
    const since = `${SECRETS}?resourceVersionMatch=Exact&resourceVersion=${metadata.resourceVersion}`;
    expect((await api.request('GET', since)).status).toBe(410);
  });
});

test('programs that are bound end with the process that started them, even where it is killed', async () => {
  const support = new URL('../support/child-process.ts', import.meta.url).pathname;
  const source = `import { startProgram } from ${JSON.stringify(support)};
    console.log('pid', startProgram('sleep', ['600'], { bound: true }).pid);
    setInterval(() => {}, 1000);`;
  const parent = startProgram(process.execPath, ['--input-type=module', '--eval', source]);
  const [, pid = ''] = await parent.waitFor(/pid (\d+)\n/);
  expect(isAlive(Number(pid))).toBe(true);
  await parent.kill();
  await eventually('it is gone', async () => (isAlive(Number(pid)) ? undefined : true));
});

function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody waits for counts as gone.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
