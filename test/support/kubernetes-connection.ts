// The Kubernetes adapter under test, connected to a server of the test's own.
import type { ApiConfig } from '../../src/cluster/kubernetes-access.ts';
import {
  createKubernetesCluster,
  type KubernetesCluster,
  type KubernetesOptions,
} from '../../src/cluster/kubernetes.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import type { HttpsServer } from './https-server.ts';

/** With a fixed token, unless `more` says otherwise. */
export function connectTo(server: HttpsServer, more: Partial<KubernetesOptions> = {}): KubernetesCluster {
  return createKubernetesCluster({
    config: tokenConfig(server),
    clock: createClock(),
    random: createRandom(),
    ...more,
  });
}

export function tokenConfig({ url, ca }: HttpsServer): ApiConfig {
  const access = { tls: { ca }, headers: { authorization: 'Bearer one' } };
  return { server: new URL(url), namespace: undefined, access: async () => access };
}
