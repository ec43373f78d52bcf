// The Kubernetes adapter on a real API server: the Cluster contract, and what only a real server shows.
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import { createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { describeCluster } from '../contract/cluster.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';

describeOnApiServer('the Kubernetes adapter', (plane) => {
  const connect = async (kubeconfig = plane().adminKubeconfig) => {
    const clock = createClock();
    const config = await loadApiConfig({ env: {}, clock, kubeconfig });
    return createKubernetesCluster({ config, clock, random: createRandom() });
  };

  describeCluster('Kubernetes', async () => {
    await plane().installCrds();
    const cluster = await connect();
    return { cluster, stop: async () => cluster.close() };
  });
});
