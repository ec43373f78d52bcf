// Hostile inputs 63 to 66, as far as claims are concerned, on a real API server, with the operator under the roles of deploy/.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKubernetesCluster, type KubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { HOSTILE_CLAIMS } from '../support/hostile-claims.ts';
import { apply, deployed } from '../support/manifests.ts';

const [TENANT, OTHER] = ['shop', 'bank'];

async function clusterOf(kubeconfig: string): Promise<KubernetesCluster> {
  const clock = createClock();
  const config = await loadApiConfig({ env: {}, clock, kubeconfig });
  return createKubernetesCluster({ config, clock, random: createRandom() });
}

// Without the admission policy: what it would refuse, records made by hand, has to be harmless too.
describeOnApiServer('hostile claims', (plane) => {
  let admin: KubernetesCluster;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    const { api } = plane();
    for (const name of ['namespace', 'roles', 'everywhere']) await apply(api, deployed(name));
    for (const name of [TENANT, OTHER]) await api.expect('POST', '/api/v1/namespaces', { metadata: { name } });
    admin = await clusterOf(plane().adminKubeconfig);
    const token = await plane().serviceAccountToken(NAMESPACE, 'countersign');
    const own = await clusterOf(await plane().kubeconfigFor(token));
    const operator = await startOperator({ clusters: { operator: own, admin } });
    stop = async () => {
      await operator.stop();
      own.close();
      admin.close();
    };
  });

  afterAll(() => stop());

  test.each(HOSTILE_CLAIMS.map((each) => [each.input, each.title, each] as const))(
    '%i: %s',
    async (_input, _title, { run }) => {
      await run({ cluster: admin, namespace: NAMESPACE, tenant: TENANT, other: OTHER });
    },
  );

  test('nothing the operator did was forbidden to it', async () => {
    const own = `system:serviceaccount:${NAMESPACE}:countersign`;
    const denied = (await plane().audit()).filter(
      ({ user, responseStatus }) => user.username === own && responseStatus?.code === 403,
    );
    expect(denied.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
  });
});
