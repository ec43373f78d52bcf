import { expect, test } from 'vitest';
import { createFakeStore } from '../../test/fakes/world.ts';
import { NamespaceKind, SecretKind } from '../api/core.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import { createIssuerSecrets } from './issuer-secrets.ts';

const OPERATOR = 'countersign-system';

async function setUp() {
  const { cluster } = createFakeStore();
  for (const name of [OPERATOR, 'team-a', 'team-b']) {
    if (!(await cluster.get(NamespaceKind, { name }))) await cluster.create(NamespaceKind, { metadata: { name } });
    if (name !== 'team-b')
      await cluster.create(SecretKind, { metadata: { namespace: name, name: 'ca' }, stringData: { of: name } });
  }
  const secretsOf = createIssuerSecrets({
    cluster,
    namespace: OPERATOR,
    secrets: createSecretReader(cluster, OPERATOR),
  });
  const meta = { name: 'web', uid: 'u', resourceVersion: '1', generation: 1, creationTimestamp: '' };
  return {
    cluster,
    secretsOf: (namespace?: string) => secretsOf({ metadata: namespace === undefined ? meta : { ...meta, namespace } }),
  };
}

test('an issuer of the cluster reads those of the operator, one of a namespace its own', async () => {
  const { secretsOf } = await setUp();
  const of = async (namespace?: string) => (await secretsOf(namespace).read('ca'))?.of?.toString();
  expect(await of()).toBe(OPERATOR);
  expect(await of('team-a')).toBe('team-a');
  expect(await of('team-b')).toBeUndefined();
});

test('what it makes is made in its own namespace', async () => {
  const { cluster, secretsOf } = await setUp();
  expect(await secretsOf('team-b').create('ca', 'Opaque', { of: Buffer.from('new') })).toBe(true);
  expect(await secretsOf('team-a').create('ca', 'Opaque', { of: Buffer.from('new') })).toBe(false);
  const { items } = await cluster.list(SecretKind);
  expect(
    items.map(({ metadata, data }) => `${metadata.namespace} ${Buffer.from(data?.of ?? '', 'base64').toString()}`),
  ).toEqual([`${OPERATOR} ${OPERATOR}`, 'team-a team-a', 'team-b new']);
});

test('one that lives beside the Secrets of the operator gets none of them', async () => {
  const { cluster, secretsOf } = await setUp();
  await expect(secretsOf(OPERATOR).read('ca')).rejects.toMatchObject({ reason: 'NamespaceForbidden' });
  const made = secretsOf(OPERATOR).create('other', 'kubernetes.io/tls', {});
  await expect(made).rejects.toMatchObject({ reason: 'NamespaceForbidden' });
  expect((await cluster.list(SecretKind)).items).toHaveLength(2);
});
