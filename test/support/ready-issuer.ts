// Waiting for an issuer.
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { isTrue } from '../../src/domain/conditions.ts';
import type { Cluster } from '../../src/ports.ts';
import { eventually } from './eventually.ts';

/** Resolves when the ClusterCAIssuer is Ready. */
export async function readyIssuer(cluster: Pick<Cluster, 'get'>, name = 'main'): Promise<void> {
  await eventually(`the issuer ${name} is ready`, async () => {
    const issuer = await cluster.get(ClusterCAIssuerKind, { name });
    return isTrue(issuer?.status?.conditions, 'Ready') || undefined;
  });
}
