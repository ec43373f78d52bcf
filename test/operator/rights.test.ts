// The rights that features declare are those that the program uses: no more, and no less.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { memoryStorage } from '../../src/cluster/storage.ts';
import { OPTIONAL_FEATURES } from '../../src/commands/optional-features.ts';
import { FEATURES } from '../../src/commands/rights.ts';
import type { Cluster } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { ISSUER, useEveryFeature } from '../support/every-feature.ts';
import { createJumpingClock } from '../support/jumping-clock.ts';
import { declaredRights, differences, noteRights } from '../support/rights.ts';
import { NAMESPACE, startOperator } from './harness.ts';
import { startResponders, stopResponders } from '../support/responders.ts';

const TENANT = 'payments';
const declared = declaredRights(FEATURES.flatMap(({ rights }) => rights));

/** All that is asked of the cluster in a run through every feature. */
async function rightsUsed(tenants?: readonly string[]): Promise<Set<string>> {
  const used = new Set<string>();
  const wrap = (cluster: Cluster) => noteRights(cluster, { used, declared, operator: NAMESPACE });
  const responders = await startResponders();
  const clock = createJumpingClock();
  const operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    issuer: ISSUER,
    wrap,
    overrides: { clock, ...(tenants ? { tenants } : {}) },
  });
  const transport = createTransport(operator.ca);
  try {
    await operator.cluster.create(NamespaceKind, { metadata: { name: TENANT } });
    await useEveryFeature({
      admin: operator.cluster,
      operator: wrap(operator.cluster),
      namespace: NAMESPACE,
      tenant: TENANT,
      acme: await connect(transport, operator.directory),
      responders,
      clock,
    });
  } finally {
    transport.close();
    await operator.stop();
    await stopResponders(responders);
  }
  return used;
}

test('what is declared is what is used, serving every namespace', { timeout: 240_000 }, async () => {
  expect(differences(declared, await rightsUsed())).toEqual([]);
});

test('what is declared is what is used, serving namespaces one by one', { timeout: 240_000 }, async () => {
  expect(differences(declared, await rightsUsed([TENANT]))).toEqual([]);
});

test('a call that nobody declared is told, and a right that nobody uses', async () => {
  const [clock, random] = [createClock(), createRandom()];
  const store = createEmbeddedCluster({
    storage: memoryStorage(),
    clock,
    random,
    kinds: ALL_KINDS,
    namespaces: [TENANT],
  });
  const used = new Set(declared);
  used.delete('cluster watch namespaces');
  const cluster = noteRights(store, { used, declared, operator: NAMESPACE });
  await cluster.delete(SecretKind, { namespace: TENANT, name: 'shop-tls' });
  await cluster.apply(NamespaceKind, { metadata: { name: 'new' } }, { fieldManager: 'test' });
  expect(differences(declared, used)).toEqual([
    'declared, not used: cluster watch namespaces',
    'used, not declared: cluster create namespaces',
    'used, not declared: cluster patch namespaces',
    'used, not declared: tenants delete secrets',
  ]);
  await store.close();
});

// ---- What no run may come by: calls as they stand in the source ---------------------------------------------------

const SRC = join(import.meta.dirname, '../../src');
const VERB: Readonly<Record<string, readonly string[]>> = {
  get: ['get'],
  list: ['list'],
  watch: ['watch'],
  create: ['create'],
  replace: ['update'],
  replaceStatus: ['update'],
  writeStatus: ['update'],
  delete: ['delete'],
  apply: ['patch', 'create'],
};

/** Calls that no operator in a cluster makes. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'cluster/secret-files.ts': 'dev: copies Secrets into files',
  'commands/manifests.ts': 'dev: applies a folder of manifests',
  'commands/ca-bundle.ts': 'ca-bundle: a Job with rights of its own',
  'controllers/event-garbage.ts': 'dev: in a cluster the API server lets Events expire',
};

/** Files that do what optional features need rights for. */
const OPTIONAL_IN: readonly string[] = [
  'backends/certbot/job-runner.ts',
  'commands/evidence.ts',
  'controllers/minted-keys.ts',
  'controllers/trust-objects.ts',
];

/** Functions that give one of several kinds, by their names without `Kind`. */
const EITHER: Readonly<Record<string, readonly string[]>> = { issuer: ['ClusterCAIssuer', 'CAIssuer'] };

/** `file: verb Kind` of every call whose kind is written down where it is made. */
function calls(source: string): { verb: string; kind: string }[] {
  const found = [
    ...source.matchAll(/\.(get|list|watch|create|replace|replaceStatus|delete|apply)\(\s*(\w+)Kind\b/g),
    ...source.matchAll(/\b(writeStatus)\(\s*[\w.]+,\s*(\w+)Kind\b/g),
  ];
  return found.flatMap(([, verb = '', name = '']) => (EITHER[name] ?? [name]).map((kind) => ({ verb, kind })));
}

function undeclared(file: string, source: string): string[] {
  const optional = OPTIONAL_IN.includes(file) ? OPTIONAL_FEATURES : [];
  const rights = [...FEATURES, ...optional].flatMap((feature) => feature.rights);
  return calls(source).flatMap(({ verb, kind }) => {
    const ofStatus = verb.endsWith('Status');
    const has = (wanted: string) =>
      rights.some(
        (right) =>
          right.kind.kind === kind &&
          (right.subresource === 'status') === ofStatus &&
          right.verbs.some((each) => each === wanted),
      );
    return VERB[verb]?.every(has) ? [] : [`${file}: ${verb} ${kind}`];
  });
}

test('every call in the source is declared', () => {
  const files = globSync('**/*.ts', { cwd: SRC }).filter((file) => !file.endsWith('.test.ts') && !(file in ELSEWHERE));
  const sources = files.map((file) => ({ file, source: readFileSync(join(SRC, file), 'utf8') }));
  expect(sources.flatMap(({ source }) => calls(source)).length).toBeGreaterThan(25);
  expect(sources.flatMap(({ file, source }) => undeclared(file, source))).toEqual([]);
});

test('a planted call is found', () => {
  expect(
    undeclared('x.ts', 'await cluster.delete(SecretKind, ref); await writeStatus(deps.cluster, SecretKind, it)'),
  ).toEqual(['x.ts: delete Secret', 'x.ts: writeStatus Secret']);
});
