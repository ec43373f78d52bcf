// The operator in this process, on a real API server, with the rights of its ServiceAccount under the roles of deploy/ and nothing else.
import { NamespaceKind } from '../../src/api/core.ts';
import { createKubernetesCluster, type KubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { type HarnessOptions, NAMESPACE, startOperator } from '../operator/harness.ts';
import { createTransport, type Transport } from './acme-wire.ts';
import type { ControlPlane } from './control-plane.ts';
import { apply, deployed } from './manifests.ts';

export interface RoledOperator {
  admin: KubernetesCluster;
  transport: Transport;
  ca: string;
  directory: string;
  /** Of the log. */
  lines: readonly string[];
  stop(): Promise<void>;
}

async function clusterOf(kubeconfig: string): Promise<KubernetesCluster> {
  const clock = createClock();
  const config = await loadApiConfig({ env: {}, clock, kubeconfig });
  return createKubernetesCluster({ config, clock, random: createRandom(), sockets: { requests: 7, watches: 30 } });
}

/** `optional`: features whose roles are granted from the start. */
export async function startUnderRoles(
  plane: ControlPlane,
  options: Pick<HarnessOptions, 'issuer' | 'policy' | 'overrides'> & {
    namespaces: readonly string[];
    optional?: readonly string[];
  },
): Promise<RoledOperator> {
  await using cleanup = new AsyncDisposableStack();
  const files = ['namespace', 'roles', 'everywhere', 'admission', 'users'];
  for (const name of [...files, ...(options.optional ?? []).map((each) => `optional-${each}`)])
    await apply(plane.api, deployed(name));
  const admin = await clusterOf(plane.adminKubeconfig);
  cleanup.defer(() => admin.close());
  const own = await clusterOf(await plane.kubeconfigFor(await plane.serviceAccountToken(NAMESPACE, 'countersign')));
  cleanup.defer(() => own.close());
  for (const name of options.namespaces) {
    await admin.create(NamespaceKind, { metadata: { name } });
    // Pods need it, and no controller is there to make it.
    await plane.api.expect('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
  }
  const operator = await startOperator({
    ...options,
    clusters: { operator: own, admin },
    overrides: { lookAgainMs: 500, ...options.overrides },
  });
  cleanup.defer(() => operator.stop());
  const transport = createTransport(operator.ca);
  cleanup.defer(() => transport.close());
  const running = cleanup.move();
  const { directory, lines, ca } = operator;
  return { admin, transport, ca, directory, lines, stop: () => running.disposeAsync() };
}
