// The Kubernetes adapter on a real API server: the Cluster contract, and what only a real server shows.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type Secret, SecretKind } from '../../src/api/core.ts';
import { type Kind, type KubeObject, metadataOf } from '../../src/api/kind.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { type ApiConfigOptions, loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import {
  createKubernetesCluster,
  type KubernetesCluster,
  type KubernetesOptions,
} from '../../src/cluster/kubernetes.ts';
import { isClusterError } from '../../src/domain/cluster-error.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createReflector } from '../../src/runtime/reflector.ts';
import { claim, describeCluster } from '../contract/cluster.ts';
import { createCapturingLog } from '../fakes/log.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { eventually } from '../support/eventually.ts';

describeOnApiServer('the Kubernetes adapter', (plane) => {
  const open: { close(): void }[] = [];
  let stop = new AbortController();
  afterEach(() => {
    stop.abort();
    stop = new AbortController();
    for (const each of open.splice(0)) each.close();
  });

  async function connect(
    given: Partial<ApiConfigOptions> = {},
    more: Partial<KubernetesOptions> = {},
  ): Promise<KubernetesCluster> {
    const clock = createClock();
    const config = await loadApiConfig({ env: {}, clock, kubeconfig: plane().adminKubeconfig, ...given });
    const cluster = createKubernetesCluster({ config, clock, random: createRandom(), ...more });
    open.push(cluster);
    return cluster;
  }

  const secret = (name: string, value = 'x') => ({
    metadata: { namespace: 'default', name },
    data: { a: Buffer.from(value).toString('base64') },
  });
  const put = (cluster: KubernetesCluster, name: string, value?: string) =>
    cluster.apply(SecretKind, secret(name, value), { fieldManager: 'test' });

  /** What a stream of a namespace tells of, and the version it ends with. */
  async function streamed(cluster: KubernetesCluster, kind: Kind) {
    const told: KubeObject[] = [];
    let version = '';
    for await (const events of cluster.stream?.(kind, { namespace: 'default' }) ?? []) {
      told.push(...events.flatMap((event) => (event.type === 'BOOKMARK' ? [] : [event.object])));
      version = events.findLast((event) => event.type === 'BOOKMARK')?.resourceVersion ?? version;
    }
    return { told, version };
  }

  /** A copy of all Secrets, kept up to date. */
  async function follow(cluster: KubernetesCluster) {
    const log = createCapturingLog();
    const reflector = createReflector({ cluster, kind: SecretKind, clock: createClock(), random: createRandom(), log });
    void reflector.run(stop.signal);
    await reflector.synced();
    return { reflector, log };
  }

  describeCluster('Kubernetes', async () => {
    const clock = createClock();
    const config = await loadApiConfig({ env: {}, clock, kubeconfig: plane().adminKubeconfig });
    const cluster = createKubernetesCluster({ config, clock, random: createRandom() });
    return { cluster, stop: async () => cluster.close() };
  });

  test('two hundred requests at a time and ten watches hold fewer than twenty connections, and none waits for another', async () => {
    const cluster = await connect();
    const { resourceVersion } = await cluster.list(SecretKind);
    const told = Array.from({ length: 10 }, () => 0);
    const watches = told.map(async (_none, i) => {
      const { signal } = stop;
      for await (const event of cluster.watch(metadataOf(SecretKind), { resourceVersion, signal })) {
        if (event.type === 'ADDED' && event.object.metadata.name.startsWith('load-')) told[i] = (told[i] ?? 0) + 1;
      }
    });
    let most = 0;
    const work = Array.from({ length: 200 }, async (_none, i) => {
      await cluster.create(SecretKind, secret(`load-${i}`));
      most = Math.max(most, cluster.openSockets());
      await cluster.get(SecretKind, { namespace: 'default', name: `load-${i}` });
      most = Math.max(most, cluster.openSockets());
    });
    await Promise.all(work);
    await eventually('each watch has told of all', async () =>
      told.every((count) => count === 200) ? true : undefined,
    );
    expect(most).toBeGreaterThanOrEqual(11);
    expect(most).toBeLessThan(20);
    stop.abort();
    await Promise.all(watches);
  });

  test('watches outlive their connections without a word, quiet ones too', async () => {
    const cluster = await connect({}, { watches: { seconds: [2, 3], graceMs: 20_000 } });
    const { resourceVersion } = await cluster.list(SecretKind);
    const names: string[] = [];
    let failure: unknown;
    const watching = (async () => {
      const { signal } = stop;
      for await (const event of cluster.watch(SecretKind, { resourceVersion, signal }))
        if (event.type !== 'BOOKMARK') names.push(`${event.type} ${event.object.metadata.name}`);
    })().catch((error: unknown) => (failure = error));
    const wanted: string[] = [];
    for (let i = 0; i < 8; i++) {
      await cluster.create(SecretKind, secret(`lasting-${i}`));
      wanted.push(`ADDED lasting-${i}`);
      await new Promise((resolve) => setTimeout(resolve, i === 4 ? 4_500 : 900));
    }
    await eventually('all are told', async () => (names.length === 8 ? true : undefined));
    expect(names).toEqual(wanted);
    expect(failure).toBeUndefined();
    stop.abort();
    await watching;
    const uses = (await plane().audit()).filter(
      ({ verb, objectRef, requestURI }) =>
        verb === 'watch' && objectRef?.resource === 'secrets' && /timeoutSeconds=[23]$/.test(requestURI),
    );
    expect(new Set(uses.map(({ auditID }) => auditID)).size).toBeGreaterThanOrEqual(4);
  });

  test('a refused token is read anew and the request goes again, reads and writes', async () => {
    const { api, serviceAccountToken, folder, url, ca } = plane();
    await api.expect('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'rotated' } });
    await api.expect('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'rotated' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'rotated', namespace: 'default' }],
    });
    const serviceAccount = join(folder, 'rotated');
    mkdirSync(serviceAccount);
    writeFileSync(join(serviceAccount, 'ca.crt'), ca);
    const { hostname, port } = new URL(url);
    const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    const inPod = () => connect({ env, serviceAccount, kubeconfig: '' });
    writeFileSync(join(serviceAccount, 'token'), 'of-no-use');
    const [reader, writer, refused] = [await inPod(), await inPod(), await inPod()];
    expect(isClusterError(await refused.list(SecretKind).catch((error: unknown) => error), 'Unavailable')).toBe(true);
    writeFileSync(join(serviceAccount, 'token'), await serviceAccountToken('default', 'rotated'));
    const { resourceVersion } = await reader.list(SecretKind);
    expect((await writer.create(SecretKind, secret('by-token'))).metadata.name).toBe('by-token');
    const { signal } = stop;
    const events = refused.watch(SecretKind, { resourceVersion, signal });
    expect(await firstOf(events).next()).toMatchObject({ value: { object: { metadata: { name: 'by-token' } } } });
  });

  test('the API server restarts under a watch, kindly and not: nothing is lost or told twice', async () => {
    const cluster = await connect();
    const { reflector } = await follow(cluster);
    const changes: string[] = [];
    reflector.onChange(({ metadata }, type) => {
      if (metadata.name.startsWith('restart-')) changes.push(`${type} ${metadata.name}`);
    });
    const wanted: string[] = [];
    const { stopApiServer, startApiServer } = plane();
    for (const [round, signal] of (['SIGTERM', 'SIGKILL'] as const).entries()) {
      await put(cluster, `restart-${round}-before`);
      await stopApiServer(signal);
      const meanwhile = put(cluster, `restart-${round}-meanwhile`).catch((error: unknown) => error);
      await startApiServer();
      if (isClusterError(await meanwhile, 'Unavailable')) await put(cluster, `restart-${round}-meanwhile`);
      await put(cluster, `restart-${round}-after`);
      for (const when of ['before', 'meanwhile', 'after']) wanted.push(`ADDED restart-${round}-${when}`);
      await eventually('the copy has all', async () => (changes.length >= wanted.length ? true : undefined));
    }
    await cluster.delete(SecretKind, { namespace: 'default', name: 'restart-0-before' });
    await eventually('the deletion is told', async () => (changes.length > wanted.length ? true : undefined));
    expect(changes.toSorted()).toEqual([...wanted, 'DELETED restart-0-before'].toSorted());
  });

  test('what etcd has forgotten is Expired, on a list and on a watch; a copy recovers by itself', async () => {
    const cluster = await connect();
    const { reflector } = await follow(cluster);
    for (let i = 0; i < 5; i++) await put(cluster, `compacted-${i}`, 'old');
    const page = await cluster.list(SecretKind, { namespace: 'default', limit: 2 });
    for (let i = 0; i < 5; i++) await put(cluster, `compacted-${i}`, 'new');
    const { compact, stopApiServer, startApiServer } = plane();
    await compact();
    await stopApiServer();
    await startApiServer();
    const token = page.continue ?? '';
    const listed = await cluster
      .list(SecretKind, { namespace: 'default', limit: 2, continue: token })
      .catch((error: unknown) => error);
    expect(isClusterError(listed, 'Expired')).toBe(true);
    const { signal } = stop;
    const events = cluster.watch(SecretKind, { resourceVersion: page.resourceVersion, signal });
    const watched = await firstOf(events)
      .next()
      .catch((error: unknown) => error);
    expect(isClusterError(watched, 'Expired')).toBe(true);
    expect((await cluster.list(SecretKind)).items.length).toBeGreaterThanOrEqual(5);
    await put(cluster, 'compacted-0', 'newer');
    await eventually('the copy is as it is now', async () =>
      read(reflector.get({ namespace: 'default', name: 'compacted-0' })) === 'newer' ? true : undefined,
    );
    expect(read(reflector.get({ namespace: 'default', name: 'compacted-4' }))).toBe('new');
  });

  test('a stream tells of all that a list has, whole and by its metadata, and a watch goes on where it ends', async () => {
    const cluster = await connect();
    const names = Array.from({ length: 60 }, (_none, i) => `stream-${i}`);
    for (const name of names) await put(cluster, name);
    for (const kind of [SecretKind, metadataOf(SecretKind)]) {
      const { told, version } = await streamed(cluster, kind);
      const { items } = await cluster.list(kind, { namespace: 'default' });
      expect(told).toEqual(items);
      expect(told.length).toBeGreaterThanOrEqual(names.length);
      await put(cluster, 'stream-0', version);
      const { signal } = stop;
      for await (const event of cluster.watch(kind, { namespace: 'default', resourceVersion: version, signal })) {
        if (event.type === 'BOOKMARK') continue;
        expect([event.type, event.object.metadata.name]).toEqual(['MODIFIED', 'stream-0']);
        break;
      }
    }
  });

  test('tells what is served, what is not, and what time it is there', async () => {
    const cluster = await connect();
    const unknown = { ...CertificateClaimKind, plural: 'riddles', kind: 'Riddle' };
    expect(await cluster.serves(CertificateClaimKind)).toBe(true);
    expect(await cluster.serves(SecretKind)).toBe(true);
    expect(await cluster.serves(unknown)).toBe(false);
    expect(await cluster.serves({ ...unknown, group: 'riddles.test' })).toBe(false);
    // That there is no such kind is no proof that there is no such object.
    const got = await cluster.get(unknown, { namespace: 'default', name: 'x' }).catch((error: unknown) => error);
    expect(isClusterError(got, 'NotFound')).toBe(true);
    expect(Math.abs(cluster.serverTimeOffsetMs() ?? Number.NaN)).toBeLessThan(60_000);
  });

  test('an apply names unknown fields and leaves nothing behind', async () => {
    const cluster = await connect();
    const odd = claim('default', 'odd', { dnsName: 'a.example.test' } as never);
    const error = await cluster
      .apply(CertificateClaimKind, odd, { fieldManager: 'test' })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ reason: 'Invalid', fields: [{ path: 'spec.dnsName' }], outcomeUnknown: false });
    expect(await cluster.get(CertificateClaimKind, { namespace: 'default', name: 'odd' })).toBeUndefined();
  });
});

const read = (secret: Secret | undefined) => Buffer.from(secret?.data?.a ?? '', 'base64').toString();

function firstOf<T>(events: AsyncIterable<T>): AsyncIterator<T> {
  return events[Symbol.asyncIterator]();
}
