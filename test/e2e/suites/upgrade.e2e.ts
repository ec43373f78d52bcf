// The release upgraded while clients go on: from the chart of the last landed commit to this one, and from values to others.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { beforeAll, expect, test } from 'vitest';
import { CHART, chartAt, idOf, NAMESPACE, parsed, RELEASE, type Values } from '../../support/helm.ts';
import { connectCluster } from '../cluster.ts';
import { further, type Load, startLoad } from '../load.ts';
import { caIssuer, claim } from '../objects.ts';

const cluster = connectCluster();
const HERE = ['--namespace', NAMESPACE];
const PREVIOUS = process.env['PREVIOUS_CHART'] ?? 'HEAD^';
let ns = '';
let load: Load;

/** Uids of the objects of the release, and of all that people made, by what they are. */
async function uids(): Promise<Map<string, string>> {
  const own = parsed(await cluster.helm('get', 'manifest', RELEASE, ...HERE));
  const found = new Map<string, string>();
  interface Item {
    kind: string;
    metadata: { namespace?: string; name: string; uid: string };
  }
  for (const object of own) {
    const item = await cluster.get<Item>(object.kind, object.metadata.name, object.metadata.namespace);
    found.set(idOf(object), item?.metadata.uid ?? 'none');
  }
  const kinds = 'clustercaissuers,certificaterequestpolicies,certificateclaims,accounts.acme.countersign.dev';
  const { items } = JSON.parse(await cluster.kubectl('get', kinds, '--all-namespaces', '--output', 'json')) as {
    items: Item[];
  };
  for (const { kind, metadata } of items)
    found.set(`${kind} ${metadata.namespace ?? ''} ${metadata.name}`, metadata.uid);
  return found;
}

async function upgrade(chart: string, values: Values): Promise<void> {
  const input = JSON.stringify({ ...values, ...(await cluster.imageValues()) });
  const args = ['upgrade', RELEASE, chart, ...HERE, '--reset-values', '--values', '-'];
  expect(await cluster.command('helm', args, input)).toMatchObject({ status: 0 });
  await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...HERE, '--timeout=300s');
}

const podsOf = async () =>
  cluster.kubectl('get', 'pods', ...HERE, '--selector', `app.kubernetes.io/instance=${RELEASE}`, '--output', 'name');

beforeAll(async () => {
  await cluster.installed();
  const previous = chartAt(PREVIOUS, mkdtempSync(join(cluster.folder, 'previous-')));
  // The first chart to land has none before it.
  console.log(`chart of the last landed commit (${PREVIOUS}): ${previous ?? 'none'}`);
  if (previous !== undefined) await upgrade(previous, {});
  ns = await cluster.namespace('upgrade');
  await cluster.trust(ns);
  await cluster.apply(caIssuer('upgrade', ['*.*.svc.cluster.local', '**.upgrade.example']));
  await cluster.waitFor('clustercaissuer/upgrade', 'condition=Ready');
  await cluster.apply(claim('before', { issuer: 'upgrade', names: ['before.upgrade.example'] }), ns);
  await cluster.waitFor('certificateclaim/before', 'condition=Ready', ns);
  load = await startLoad(cluster, { issuer: 'upgrade', namespace: ns });
});

async function survives(change: () => Promise<void>): Promise<void> {
  const [objects, secret] = [await uids(), await cluster.get<{ data: object }>('secret', 'before-tls', ns)];
  await further(load, 1);
  await change();
  await further(load, 5);
  expect(await load.failed()).toEqual([]);
  const after = await uids();
  for (const [object, uid] of objects) expect(after.get(object), object).toBe(uid);
  expect((await cluster.get<{ data: object }>('secret', 'before-tls', ns))?.data).toEqual(secret?.data);
}

test('to the chart of this checkout: every object stays, and no order fails', async () => {
  await survives(() => upgrade(CHART, {}));
});

test('to other values: Pods are replaced one by one, every object stays, and no order fails', async () => {
  const before = (await podsOf()).trim().split('\n');
  await survives(() =>
    upgrade(CHART, {
      config: { logging: { level: 'debug' } },
      podLabels: { changed: 'yes' },
      service: { annotations: { 'example.com/a': 'b' } },
    }),
  );
  for (const pod of before) expect(await podsOf()).not.toContain(pod);
});

test('what is asked for afterwards is issued by the CA that was there before', async () => {
  await cluster.apply(claim('after', { issuer: 'upgrade', names: ['after.upgrade.example'] }), ns);
  await cluster.waitFor('certificateclaim/after', 'condition=Ready', ns);
  const caOf = async (name: string) =>
    (await cluster.get<{ data: Record<string, string> }>('secret', name, ns))?.data['ca.crt'];
  expect(await caOf('after-tls')).toBe(await caOf('before-tls'));
});

test('`helm rollback` goes back, and no order fails', async () => {
  await survives(async () => {
    await cluster.helm('rollback', RELEASE, ...HERE);
    await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...HERE, '--timeout=300s');
  });
});
