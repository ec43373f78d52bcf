// Trust published on a real API server: ConfigMaps and ClusterTrustBundles as it admits them, under the roles of deploy/.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { ConfigMapKind } from '../../src/api/core.ts';
import { type ClusterTrustBundle, clusterTrustBundleKind } from '../../src/api/foreign.ts';
import { findCondition } from '../../src/domain/conditions.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { eventually } from '../support/eventually.ts';
import { apply, deployed } from '../support/manifests.ts';
import { type RoledOperator, startUnderRoles } from '../support/operator-under-roles.ts';

const FLAGS = ['--runtime-config=certificates.k8s.io/v1beta1=true', '--feature-gates=ClusterTrustBundle=true'];
const PUBLISH = { configMap: { name: 'trust', namespaceSelector: { matchNames: ['web'] } }, clusterTrustBundle: true };

async function conditionOf({ admin }: RoledOperator) {
  const issuer = await admin.get(ClusterCAIssuerKind, { name: 'main' });
  return findCondition(issuer?.status?.conditions, 'TrustPublished');
}

const untilCondition = (operator: RoledOperator, reason: string) =>
  eventually(`TrustPublished says ${reason}`, async () => {
    const condition = await conditionOf(operator);
    return condition?.reason === reason ? condition : undefined;
  });

async function touch({ admin }: RoledOperator, spec: object): Promise<void> {
  await eventually('the issuer is changed', async () => {
    const issuer = await admin.get(ClusterCAIssuerKind, { name: 'main' });
    return (
      issuer &&
      admin.replace(ClusterCAIssuerKind, { ...issuer, spec: { ...issuer.spec, ...spec } }).catch(() => undefined)
    );
  });
}

describeOnApiServer(
  'trust',
  (plane) => {
    let operator: RoledOperator;
    beforeAll(async () => {
      operator = await startUnderRoles(plane(), { issuer: { publishTrust: PUBLISH }, namespaces: ['web', 'db'] });
    }, 300_000);
    afterAll(() => operator?.stop());

    const bundles = async (): Promise<ClusterTrustBundle[]> =>
      (await operator.admin.list(clusterTrustBundleKind('v1beta1'))).items;

    test('without rights the condition says what is missing, with them it is published', async () => {
      expect((await untilCondition(operator, 'Forbidden')).message).toContain('configmaps');
      for (const name of ['trust', 'trust-bundles']) await apply(plane().api, deployed(`optional-${name}`));
      await touch(operator, { publishTrust: { ...PUBLISH, configMap: { ...PUBLISH.configMap, name: 'ca-trust' } } });
      await untilCondition(operator, 'Published');
      const map = await operator.admin.get(ConfigMapKind, { namespace: 'web', name: 'ca-trust' });
      expect(new X509Certificate(map?.data?.['ca.crt'] ?? '').subject).toBe('CN=Test CA');
      expect(map?.data?.['acme-ca.crt']?.trim()).toBe(operator.ca.trim());
      expect(await operator.admin.get(ConfigMapKind, { namespace: 'db', name: 'ca-trust' })).toBeUndefined();
      const found = (await bundles()).map(({ metadata, spec }) => [metadata.name, spec.signerName]);
      expect(found).toEqual([
        ['clustercaissuers.countersign.dev:main:roots', 'clustercaissuers.countersign.dev/main'],
        ['countersign.dev:acme:serving', 'countersign.dev/acme'],
      ]);
    });

    test('a client that trusts what is published, and no more, reaches the directory', async () => {
      const map = await operator.admin.get(ConfigMapKind, { namespace: 'web', name: 'ca-trust' });
      const transport = createTransport(map?.data?.['acme-ca.crt'] ?? '');
      expect((await connect(transport, operator.directory)).directory.newOrder).toContain('/acme/main/');
      transport.close();
    });

    test('what is wanted no more goes, and with it the condition', async () => {
      await touch(operator, { publishTrust: undefined });
      await eventually('nothing is left', async () => {
        const maps = (await operator.admin.list(ConfigMapKind)).items.filter(
          ({ metadata }) => metadata.name === 'ca-trust',
        );
        const left = [...maps, ...(await bundles())];
        return left.length === 0 && (await conditionOf(operator)) === undefined ? true : undefined;
      });
    });
  },
  { apiServerFlags: FLAGS },
);

describeOnApiServer('trust without ClusterTrustBundles', (plane) => {
  test('the condition says that the API server has none; ConfigMaps are published all the same', async () => {
    const optional = ['trust', 'trust-bundles'];
    const operator = await startUnderRoles(plane(), {
      issuer: { publishTrust: PUBLISH },
      namespaces: ['web'],
      optional,
    });
    try {
      await untilCondition(operator, 'NoClusterTrustBundles');
      expect(await operator.admin.get(ConfigMapKind, { namespace: 'web', name: 'trust' })).toBeDefined();
    } finally {
      await operator.stop();
    }
  });
});
