// What every Cluster adapter promises: the embedded store and a real API server run this suite unchanged. Each test works in a
// namespace of its own, and asserts nothing that another client of the same API server could disturb.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CertificateClaim, CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { type IssuedCertificate, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { type Kind, type KubeObject, metadataOf, type NewObject } from '../../src/api/kind.ts';
import { ClusterError, type ClusterErrorReason } from '../../src/domain/cluster-error.ts';
import type { Cluster, WatchEvent } from '../../src/ports.ts';

export interface ClusterHarness {
  cluster: Cluster;
  stop(): Promise<void>;
}

type ClaimSpec = CertificateClaim['spec'];

export function claim(namespace: string, name: string, spec: Partial<ClaimSpec> = {}): NewObject<CertificateClaim> {
  return {
    metadata: { namespace, name },
    spec: {
      secretName: 'tls',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      dnsNames: ['a.example.test'],
      ...spec,
    },
  };
}

export function record(namespace: string, name: string): NewObject<IssuedCertificate> {
  return {
    metadata: { namespace, name },
    spec: {
      requestID: 'request-1',
      door: 'ACME',
      issuerRef: { kind: 'ClusterCAIssuer', name: 'corporate' },
      issuerUID: '00000000-0000-4000-8000-000000000000',
      requester: { account: 'someone' },
      names: ['dns:a.example.test'],
      csr: 'AAAA',
      policy: 'open',
      decisionID: 'decision-1',
    },
    status: {
      certificate: 'AAAA',
      serial: '0a',
      notBefore: '2030-01-01T00:00:00Z',
      notAfter: '2030-04-01T00:00:00Z',
      issuedAt: '2030-01-01T00:00:00Z',
      chain: 'ab',
    },
  };
}

async function refusal(work: Promise<unknown>): Promise<ClusterError> {
  const error = await work.then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  );
  if (error instanceof ClusterError) return error;
  throw error;
}

async function reasonOf(work: Promise<unknown>): Promise<ClusterErrorReason> {
  return (await refusal(work)).reason;
}

/** Events of a watch, bookmarks left out, until `enough` says so. */
async function collect<T extends KubeObject>(
  events: AsyncIterable<WatchEvent<T>>,
  enough: (seen: readonly { type: string; object: T }[]) => boolean,
): Promise<{ type: string; object: T }[]> {
  const seen: { type: string; object: T }[] = [];
  for await (const event of events) {
    if (event.type === 'BOOKMARK') continue;
    seen.push(event);
    if (enough(seen)) break;
  }
  return seen;
}

export function describeCluster(name: string, createCluster: () => Promise<ClusterHarness>): void {
  describe(`Cluster contract: ${name}`, () => {
    let harness: ClusterHarness;
    let cluster: Cluster;

    beforeAll(async () => {
      harness = await createCluster();
      cluster = harness.cluster;
    });
    afterAll(async () => {
      await harness.stop();
    });

    async function newNamespace(): Promise<string> {
      const namespace = `contract-${randomBytes(5).toString('hex')}`;
      await cluster.create(NamespaceKind, { metadata: { name: namespace } });
      return namespace;
    }

    async function read<T extends KubeObject>(kind: Kind<T>, namespace: string, name: string): Promise<T> {
      const object = await cluster.get(kind, { namespace, name });
      if (!object) throw new Error(`${kind.kind} ${namespace}/${name} is gone`);
      return object;
    }

    describe('create and get', () => {
      test('fills what the server fills in, and get returns the same', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        expect(created.apiVersion).toBe('countersign.dev/v1alpha1');
        expect(created.kind).toBe('CertificateClaim');
        expect(created.metadata.uid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        expect(created.metadata.generation).toBe(1);
        expect(created.metadata.resourceVersion).not.toBe('');
        expect(created.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        expect(created.spec.dnsNames).toEqual(['a.example.test']);
        expect(await read(CertificateClaimKind, namespace, 'one')).toEqual(created);
      });

      test('of twenty parallel creates of one name, one wins and the rest find it there', async () => {
        const namespace = await newNamespace();
        const attempts = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) =>
            cluster.create(CertificateClaimKind, claim(namespace, 'one', { secretName: `tls-${i}` })),
          ),
        );
        const won = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
        const lost = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason as unknown] : []));
        expect(won).toHaveLength(1);
        expect(lost.map((error) => (error as ClusterError).reason)).toEqual(Array(19).fill('AlreadyExists'));
        expect(await read(CertificateClaimKind, namespace, 'one')).toEqual(won[0]);
      });

      test('an object that is not there is undefined', async () => {
        const namespace = await newNamespace();
        expect(await cluster.get(CertificateClaimKind, { namespace, name: 'none' })).toBeUndefined();
        expect(await cluster.get(NamespaceKind, { name: 'no-such-namespace' })).toBeUndefined();
      });

      test('what can be no name is the name of nothing', async () => {
        const namespace = await newNamespace();
        await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        for (const name of ['', '.', '..', '../one', 'one/status', 'One', 'a%2fb', 'x?y', '\n']) {
          expect(await cluster.get(CertificateClaimKind, { namespace, name })).toBeUndefined();
        }
        const wrong = { labels: { 'countersign.dev/serial': 'a,b=c' } };
        expect((await cluster.list(CertificateClaimKind, { namespace, ...wrong })).items).toEqual([]);
      });

      test('what is handed out cannot be changed in place', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const { items } = await cluster.list(CertificateClaimKind, { namespace });
        for (const object of [created, items[0], await read(CertificateClaimKind, namespace, 'one')]) {
          expect([object, object?.metadata, object?.spec.dnsNames].every(Object.isFrozen)).toBe(true);
        }
      });

      test('the name is free again after a delete, and the new object is another', async () => {
        const namespace = await newNamespace();
        const first = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        expect(await cluster.delete(CertificateClaimKind, { namespace, name: 'one' })).toBe(true);
        expect(await cluster.get(CertificateClaimKind, { namespace, name: 'one' })).toBeUndefined();
        const second = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        expect(second.metadata.uid).not.toBe(first.metadata.uid);
      });

      test('what is handed in may be changed afterwards without changing what is stored', async () => {
        const namespace = await newNamespace();
        const wanted = claim(namespace, 'one', { dnsNames: ['a.example.test'] });
        await cluster.create(CertificateClaimKind, wanted);
        wanted.spec.dnsNames?.push('b.example.test');
        expect((await read(CertificateClaimKind, namespace, 'one')).spec.dnsNames).toEqual(['a.example.test']);
      });

      test('labels, annotations and owner references are kept', async () => {
        const namespace = await newNamespace();
        const owner = await cluster.create(CertificateClaimKind, claim(namespace, 'owner'));
        const { apiVersion, kind, metadata } = owner;
        const given = {
          labels: { 'countersign.dev/door': 'ACME', plain: '' },
          annotations: { 'countersign.dev/note': 'two\nlines ✓' },
          ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid }],
        };
        await cluster.create(CertificateClaimKind, {
          ...claim(namespace, 'one'),
          metadata: { namespace, name: 'one', ...given },
        });
        expect((await read(CertificateClaimKind, namespace, 'one')).metadata).toMatchObject(given);
      });
    });

    describe('namespaces', () => {
      test('nothing is created in a namespace that does not exist', async () => {
        expect(await reasonOf(cluster.create(CertificateClaimKind, claim('no-such-namespace', 'one')))).toBe(
          'NotFound',
        );
      });

      test('one name may be used in two namespaces', async () => {
        const [left, right] = [await newNamespace(), await newNamespace()];
        await cluster.create(CertificateClaimKind, claim(left, 'one', { secretName: 'left' }));
        await cluster.create(CertificateClaimKind, claim(right, 'one', { secretName: 'right' }));
        expect((await read(CertificateClaimKind, left, 'one')).spec.secretName).toBe('left');
        expect((await read(CertificateClaimKind, right, 'one')).spec.secretName).toBe('right');
      });

      test('a namespace carries its name as a label', async () => {
        const namespace = await newNamespace();
        const found = await cluster.get(NamespaceKind, { name: namespace });
        expect(found?.metadata.labels).toMatchObject({ 'kubernetes.io/metadata.name': namespace });
      });
    });

    describe('replace', () => {
      test('a stale resourceVersion is a conflict and changes nothing', async () => {
        const namespace = await newNamespace();
        const first = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const second = await cluster.replace(CertificateClaimKind, {
          ...first,
          spec: { ...first.spec, secretName: 'second' },
        });
        expect(second.metadata.resourceVersion).not.toBe(first.metadata.resourceVersion);
        const late = { ...first, spec: { ...first.spec, secretName: 'late' } };
        expect(await reasonOf(cluster.replace(CertificateClaimKind, late))).toBe('Conflict');
        expect(await read(CertificateClaimKind, namespace, 'one')).toEqual(second);
      });

      test('of ten parallel replacements of one version, one wins', async () => {
        const namespace = await newNamespace();
        const first = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const attempts = await Promise.allSettled(
          Array.from({ length: 10 }, (_, i) =>
            cluster.replace(CertificateClaimKind, { ...first, spec: { ...first.spec, secretName: `tls-${i}` } }),
          ),
        );
        const outcomes = attempts.map((attempt) =>
          attempt.status === 'fulfilled' ? 'won' : (attempt.reason as ClusterError).reason,
        );
        expect(outcomes.toSorted()).toEqual([...Array<string>(9).fill('Conflict'), 'won']);
      });

      test('read, change, replace, again on conflict: no increment is lost', async () => {
        const namespace = await newNamespace();
        await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const increment = async (): Promise<void> => {
          for (;;) {
            const current = await read(CertificateClaimKind, namespace, 'one');
            const count = Number(current.metadata.annotations?.['countersign.dev/count'] ?? 0) + 1;
            const annotations = { 'countersign.dev/count': String(count) };
            const next = { ...current, metadata: { ...current.metadata, annotations } };
            const outcome = await cluster
              .replace(CertificateClaimKind, next)
              .catch((error: ClusterError) => error.reason);
            if (typeof outcome !== 'string') return;
            expect(outcome).toBe('Conflict');
          }
        };
        await Promise.all(
          Array.from({ length: 5 }, async () => {
            for (let i = 0; i < 5; i++) await increment();
          }),
        );
        const final = await read(CertificateClaimKind, namespace, 'one');
        expect(final.metadata.annotations).toEqual({ 'countersign.dev/count': '25' });
      });

      test('generation follows the spec and nothing else', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const labelled = await cluster.replace(CertificateClaimKind, {
          ...created,
          metadata: { ...created.metadata, labels: { team: 'a' } },
        });
        expect(labelled.metadata.generation).toBe(1);
        const reported = await cluster.replaceStatus(CertificateClaimKind, { ...labelled, status: { revision: 1 } });
        expect(reported.metadata.generation).toBe(1);
        const changed = await cluster.replace(CertificateClaimKind, {
          ...reported,
          spec: { ...reported.spec, duration: '24h' },
        });
        expect(changed.metadata.generation).toBe(2);
        expect(changed.metadata.creationTimestamp).toBe(created.metadata.creationTimestamp);
      });

      test('a replacement that changes nothing is no new version', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        expect(await cluster.replace(CertificateClaimKind, created)).toEqual(created);
      });

      test('what the server fills in cannot be replaced', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const replaced = await cluster.replace(CertificateClaimKind, {
          ...created,
          metadata: {
            ...created.metadata,
            creationTimestamp: '2001-01-01T00:00:00Z',
            generation: 77,
            labels: { a: 'b' },
          },
        });
        expect(replaced.metadata.creationTimestamp).toBe(created.metadata.creationTimestamp);
        expect(replaced.metadata.generation).toBe(1);
      });

      test('an object that is gone is not found, one of another uid a conflict', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const uid = '11111111-1111-4111-8111-111111111111';
        const foreign = { ...created, metadata: { ...created.metadata, uid, labels: { a: 'b' } } };
        expect(await reasonOf(cluster.replace(CertificateClaimKind, foreign))).toBe('Conflict');
        await cluster.delete(CertificateClaimKind, { namespace, name: 'one' });
        expect(await reasonOf(cluster.replace(CertificateClaimKind, created))).toBe('NotFound');
        expect(await reasonOf(cluster.replaceStatus(CertificateClaimKind, created))).toBe('NotFound');
      });
    });

    describe('status', () => {
      test('create and replace leave status alone', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, {
          ...claim(namespace, 'one'),
          status: { revision: 9 },
        });
        expect(created.status).toBeUndefined();
        const reported = await cluster.replaceStatus(CertificateClaimKind, { ...created, status: { revision: 1 } });
        const replaced = await cluster.replace(CertificateClaimKind, {
          ...reported,
          spec: { ...reported.spec, secretName: 'other' },
          status: { revision: 5 },
        });
        expect(replaced.status).toEqual({ revision: 1 });
      });

      test('replaceStatus leaves all else alone', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const reported = await cluster.replaceStatus(CertificateClaimKind, {
          ...created,
          metadata: { ...created.metadata, labels: { sneaked: 'in' } },
          spec: { ...created.spec, secretName: 'sneaked-in' },
          status: { revision: 1 },
        });
        expect(reported.status).toEqual({ revision: 1 });
        expect(reported.spec).toEqual(created.spec);
        expect(reported.metadata.labels).toBeUndefined();
        expect(reported.metadata.resourceVersion).not.toBe(created.metadata.resourceVersion);
        expect(await reasonOf(cluster.replaceStatus(CertificateClaimKind, created))).toBe('Conflict');
      });

      test('a kind without the subresource keeps status from its create on', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(IssuedCertificateKind, record(namespace, 'one'));
        expect(created.status?.serial).toBe('0a');
        expect((await read(IssuedCertificateKind, namespace, 'one')).status).toEqual(created.status);
      });
    });

    describe('delete', () => {
      test('says whether there was anything', async () => {
        const namespace = await newNamespace();
        await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        expect(await cluster.delete(CertificateClaimKind, { namespace, name: 'one' })).toBe(true);
        expect(await cluster.delete(CertificateClaimKind, { namespace, name: 'one' })).toBe(false);
      });

      test('spares an object that is not the one of the precondition', async () => {
        const namespace = await newNamespace();
        const first = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const ref = { namespace, name: 'one' };
        const uid = '11111111-1111-4111-8111-111111111111';
        expect(await reasonOf(cluster.delete(CertificateClaimKind, ref, { uid }))).toBe('Conflict');
        const second = await cluster.replace(CertificateClaimKind, {
          ...first,
          spec: { ...first.spec, secretName: 'other' },
        });
        const { resourceVersion } = first.metadata;
        expect(await reasonOf(cluster.delete(CertificateClaimKind, ref, { resourceVersion }))).toBe('Conflict');
        expect(await read(CertificateClaimKind, namespace, 'one')).toEqual(second);
        const precondition = { uid: second.metadata.uid, resourceVersion: second.metadata.resourceVersion };
        expect(await cluster.delete(CertificateClaimKind, ref, precondition)).toBe(true);
      });

      test('a finalizer keeps the object, marked, until it is taken off', async () => {
        const namespace = await newNamespace();
        const ref = { namespace, name: 'one' };
        await cluster.create(CertificateClaimKind, {
          ...claim(namespace, 'one'),
          metadata: { ...ref, finalizers: ['countersign.dev/cleanup'] },
        });
        expect(await cluster.delete(CertificateClaimKind, ref)).toBe(true);
        const marked = await read(CertificateClaimKind, namespace, 'one');
        expect(marked.metadata.deletionTimestamp).toBeDefined();
        expect(await reasonOf(cluster.create(CertificateClaimKind, claim(namespace, 'one')))).toBe('AlreadyExists');
        const { finalizers: _gone, ...metadata } = marked.metadata;
        await cluster.replace(CertificateClaimKind, { ...marked, metadata });
        expect(await cluster.get(CertificateClaimKind, ref)).toBeUndefined();
      });
    });

    describe('list', () => {
      test('is sorted by name, within the namespace, by labels', async () => {
        const namespace = await newNamespace();
        for (const name of ['c', 'a', 'b']) {
          const labels = { team: name === 'b' ? 'two' : 'one', tier: 'web' };
          await cluster.create(CertificateClaimKind, {
            ...claim(namespace, name),
            metadata: { namespace, name, labels },
          });
        }
        const names = async (labels?: Record<string, string>): Promise<string[]> => {
          const { items } = await cluster.list(CertificateClaimKind, { namespace, ...(labels ? { labels } : {}) });
          return items.map(({ metadata }) => metadata.name);
        };
        expect(await names()).toEqual(['a', 'b', 'c']);
        expect(await names({ team: 'one' })).toEqual(['a', 'c']);
        expect(await names({ team: 'one', tier: 'web' })).toEqual(['a', 'c']);
        expect(await names({ team: 'one', tier: 'db' })).toEqual([]);
        const moved = await read(CertificateClaimKind, namespace, 'a');
        await cluster.replace(CertificateClaimKind, {
          ...moved,
          metadata: { ...moved.metadata, labels: { team: 'two' } },
        });
        await cluster.delete(CertificateClaimKind, { namespace, name: 'c' });
        expect(await names({ team: 'one' })).toEqual([]);
        expect(await names({ team: 'two' })).toEqual(['a', 'b']);
      });

      test('comes in pages that together are the whole, once each', async () => {
        const namespace = await newNamespace();
        const wanted = Array.from({ length: 7 }, (_, i) => `claim-${i}`);
        await Promise.all(wanted.map((name) => cluster.create(CertificateClaimKind, claim(namespace, name))));
        const pages: string[][] = [];
        const versions = new Set<string>();
        let token: string | undefined;
        do {
          const page = await cluster.list(CertificateClaimKind, {
            namespace,
            limit: 3,
            ...(token === undefined ? {} : { continue: token }),
          });
          pages.push(page.items.map(({ metadata }) => metadata.name));
          versions.add(page.resourceVersion);
          token = page.continue;
        } while (token !== undefined && token !== '');
        expect(pages.map((page) => page.length)).toEqual([3, 3, 1]);
        expect(pages.flat()).toEqual(wanted);
        expect(versions.size).toBe(1);
      });

      test('spans namespaces when none is named', async () => {
        const [left, right] = [await newNamespace(), await newNamespace()];
        await cluster.create(CertificateClaimKind, claim(left, 'one'));
        await cluster.create(CertificateClaimKind, claim(right, 'one'));
        const { items } = await cluster.list(CertificateClaimKind);
        const mine = items.map(({ metadata }) => metadata.namespace ?? '').filter((it) => it === left || it === right);
        expect(mine.toSorted()).toEqual([left, right].toSorted());
      });
    });

    describe('watch', () => {
      test('tells everything after the list, in order', async () => {
        const namespace = await newNamespace();
        await cluster.create(CertificateClaimKind, claim(namespace, 'before'));
        const { resourceVersion } = await cluster.list(CertificateClaimKind, { namespace });
        const stop = new AbortController();
        const events = cluster.watch(CertificateClaimKind, { namespace, resourceVersion, signal: stop.signal });
        const seen = collect(events, (so) => so.at(-1)?.type === 'DELETED');
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const reported = await cluster.replaceStatus(CertificateClaimKind, { ...created, status: { revision: 1 } });
        await cluster.replace(CertificateClaimKind, { ...reported, spec: { ...reported.spec, secretName: 'other' } });
        await cluster.delete(CertificateClaimKind, { namespace, name: 'one' });
        const all = await seen;
        stop.abort();
        expect(all.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED']);
        expect(all[0]?.object).toEqual(created);
        expect(all[1]?.object).toEqual(reported);
        expect(all[3]?.object.spec.secretName).toBe('other');
        const versions = all.map(({ object }) => object.metadata.resourceVersion);
        expect(new Set(versions).size).toBe(4);
      });

      test('resumes after any version it told', async () => {
        const namespace = await newNamespace();
        const { resourceVersion } = await cluster.list(CertificateClaimKind, { namespace });
        for (const name of ['a', 'b', 'c', 'd']) await cluster.create(CertificateClaimKind, claim(namespace, name));
        const from = async (version: string): Promise<string[]> => {
          const { signal } = new AbortController();
          const events = cluster.watch(CertificateClaimKind, { namespace, resourceVersion: version, signal });
          const seen = await collect(events, (so) => so.at(-1)?.object.metadata.name === 'd');
          return seen.map(({ object }) => object.metadata.name);
        };
        expect(await from(resourceVersion)).toEqual(['a', 'b', 'c', 'd']);
        const b = await read(CertificateClaimKind, namespace, 'b');
        expect(await from(b.metadata.resourceVersion)).toEqual(['c', 'd']);
      });

      test('is blind to other namespaces, and to other kinds', async () => {
        const [mine, other] = [await newNamespace(), await newNamespace()];
        const { resourceVersion } = await cluster.list(CertificateClaimKind, { namespace: mine });
        await cluster.create(CertificateClaimKind, claim(other, 'one'));
        await cluster.create(SecretKind, { metadata: { namespace: mine, name: 'one' } });
        await cluster.create(CertificateClaimKind, claim(mine, 'two'));
        const { signal } = new AbortController();
        const events = cluster.watch(CertificateClaimKind, { namespace: mine, resourceVersion, signal });
        const seen = await collect(events, (so) => so.length === 1);
        expect(seen.map(({ object }) => object.metadata.name)).toEqual(['two']);
      });

      test('many watchers of parallel writes all see each once and in one order', async () => {
        const namespace = await newNamespace();
        const { resourceVersion } = await cluster.list(CertificateClaimKind, { namespace });
        const { signal } = new AbortController();
        const watchers = Array.from({ length: 3 }, () =>
          collect(
            cluster.watch(CertificateClaimKind, { namespace, resourceVersion, signal }),
            (so) => so.length === 30,
          ),
        );
        await Promise.all(
          Array.from({ length: 30 }, (_, i) => cluster.create(CertificateClaimKind, claim(namespace, `claim-${i}`))),
        );
        const orders = (await Promise.all(watchers)).map((seen) => seen.map(({ object }) => object.metadata.name));
        expect(new Set(orders[0]).size).toBe(30);
        expect(orders[1]).toEqual(orders[0]);
        expect(orders[2]).toEqual(orders[0]);
      });

      test('ends quietly once aborted', async () => {
        const namespace = await newNamespace();
        const { resourceVersion } = await cluster.list(CertificateClaimKind, { namespace });
        const stop = new AbortController();
        const { signal } = stop;
        const seen = collect(cluster.watch(CertificateClaimKind, { namespace, resourceVersion, signal }), () => false);
        stop.abort();
        expect(await seen).toEqual([]);
      });

      test('from a version long gone is Expired', async () => {
        const namespace = await newNamespace();
        await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const { signal } = new AbortController();
        const events = cluster.watch(CertificateClaimKind, { namespace, resourceVersion: '1', signal });
        expect(await reasonOf(collect(events, () => true))).toBe('Expired');
      });

      test('shows a deletion held up by a finalizer as a change, then as a deletion', async () => {
        const namespace = await newNamespace();
        const ref = { namespace, name: 'one' };
        const created = await cluster.create(CertificateClaimKind, {
          ...claim(namespace, 'one'),
          metadata: { ...ref, finalizers: ['countersign.dev/cleanup'] },
        });
        await cluster.delete(CertificateClaimKind, ref);
        const marked = await read(CertificateClaimKind, namespace, 'one');
        const { finalizers: _gone, ...metadata } = marked.metadata;
        await cluster.replace(CertificateClaimKind, { ...marked, metadata });
        const { signal } = new AbortController();
        const { resourceVersion } = created.metadata;
        const events = cluster.watch(CertificateClaimKind, { namespace, resourceVersion, signal });
        const seen = await collect(events, (so) => so.at(-1)?.type === 'DELETED');
        expect(seen.map(({ type }) => type)).toEqual(['MODIFIED', 'DELETED']);
      });
    });

    describe('apply', () => {
      const secret = (namespace: string, data: Record<string, string>, labels?: Record<string, string>) => ({
        metadata: { namespace, name: 'one', ...(labels ? { labels } : {}) },
        type: 'Opaque',
        data: Object.fromEntries(
          Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
        ),
      });
      const as = (fieldManager: string) => ({ fieldManager });
      const keys = async (namespace: string): Promise<string[]> =>
        Object.keys((await read(SecretKind, namespace, 'one')).data ?? {}).toSorted();

      test('creates, then makes it so, and twice the same is no new version', async () => {
        const namespace = await newNamespace();
        const first = await cluster.apply(SecretKind, secret(namespace, { a: '1' }), as('left'));
        expect(first.metadata.uid).toBeDefined();
        const second = await cluster.apply(SecretKind, secret(namespace, { a: '2' }), as('left'));
        expect(second.data).toEqual({ a: Buffer.from('2').toString('base64') });
        expect(second.metadata.uid).toBe(first.metadata.uid);
        const third = await cluster.apply(SecretKind, secret(namespace, { a: '2' }), as('left'));
        expect(third.metadata.resourceVersion).toBe(second.metadata.resourceVersion);
      });

      test('removes what it owned and leaves out, and keeps what others own', async () => {
        const namespace = await newNamespace();
        await cluster.apply(SecretKind, secret(namespace, { a: '1', b: '1' }, { team: 'x' }), as('left'));
        await cluster.apply(SecretKind, secret(namespace, { c: '1' }), as('right'));
        expect(await keys(namespace)).toEqual(['a', 'b', 'c']);
        await cluster.apply(SecretKind, secret(namespace, { a: '1' }), as('left'));
        expect(await keys(namespace)).toEqual(['a', 'c']);
        expect((await read(SecretKind, namespace, 'one')).metadata.labels).toBeUndefined();
      });

      test('a field of two owners stays until both leave it out', async () => {
        const namespace = await newNamespace();
        await cluster.apply(SecretKind, secret(namespace, { a: '1', shared: 's' }), as('left'));
        await cluster.apply(SecretKind, secret(namespace, { b: '1', shared: 's' }), as('right'));
        await cluster.apply(SecretKind, secret(namespace, { a: '1' }), as('left'));
        expect(await keys(namespace)).toEqual(['a', 'b', 'shared']);
        await cluster.apply(SecretKind, secret(namespace, { b: '1' }), as('right'));
        expect(await keys(namespace)).toEqual(['a', 'b']);
      });

      test('a field whose value another changes is the other’s', async () => {
        const namespace = await newNamespace();
        await cluster.apply(SecretKind, secret(namespace, { a: '1', b: '1' }), as('left'));
        await cluster.apply(SecretKind, secret(namespace, { b: '2' }), as('right'));
        await cluster.apply(SecretKind, secret(namespace, { a: '1' }), as('left'));
        expect(await keys(namespace)).toEqual(['a', 'b']);
      });

      test('leaves what a create made and a replace changed', async () => {
        const namespace = await newNamespace();
        await cluster.create(SecretKind, secret(namespace, { made: 'x' }, { made: 'x' }));
        const applied = await cluster.apply(SecretKind, secret(namespace, { a: '1', b: '1' }), as('left'));
        const data = { ...applied.data, b: Buffer.from('changed').toString('base64') };
        await cluster.replace(SecretKind, { ...applied, data });
        await cluster.apply(SecretKind, secret(namespace, {}), as('left'));
        expect(await keys(namespace)).toEqual(['b', 'made']);
        expect((await read(SecretKind, namespace, 'one')).metadata.labels).toEqual({ made: 'x' });
      });

      test('leaves status alone and moves generation with the spec', async () => {
        const namespace = await newNamespace();
        const created = await cluster.apply(CertificateClaimKind, claim(namespace, 'one'), as('left'));
        expect(created.metadata.generation).toBe(1);
        await cluster.replaceStatus(CertificateClaimKind, { ...created, status: { revision: 3 } });
        const changed = await cluster.apply(
          CertificateClaimKind,
          { ...claim(namespace, 'one', { duration: '24h' }), status: { revision: 9 } },
          as('left'),
        );
        expect(changed.status).toEqual({ revision: 3 });
        expect(changed.metadata.generation).toBe(2);
        const shortened = await cluster.apply(CertificateClaimKind, claim(namespace, 'one'), as('left'));
        expect(shortened.spec.duration).toBeUndefined();
      });

      test('lists are replaced whole', async () => {
        const namespace = await newNamespace();
        const names = (dnsNames: string[]) => claim(namespace, 'one', { dnsNames });
        await cluster.apply(CertificateClaimKind, names(['a.example.test', 'b.example.test']), as('left'));
        await cluster.apply(CertificateClaimKind, names(['c.example.test']), as('left'));
        expect((await read(CertificateClaimKind, namespace, 'one')).spec.dnsNames).toEqual(['c.example.test']);
      });

      test('parallel applies of several managers all take effect', async () => {
        const namespace = await newNamespace();
        await Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            cluster.apply(SecretKind, secret(namespace, { [`key-${i}`]: 'x' }), as(`manager-${i}`)),
          ),
        );
        expect(await keys(namespace)).toEqual(Array.from({ length: 8 }, (_, i) => `key-${i}`));
      });
    });

    describe('validation', () => {
      const paths = async (work: Promise<unknown>): Promise<string[]> => {
        const error = await refusal(work);
        expect(error.reason).toBe('Invalid');
        expect(error.fields.every(({ message }) => message !== '')).toBe(true);
        return error.fields.map(({ path }) => path);
      };
      const create = (namespace: string, spec: unknown) =>
        cluster.create(CertificateClaimKind, claim(namespace, 'one', spec as Partial<ClaimSpec>));

      test('names the field, and every field, that the schema refuses', async () => {
        const namespace = await newNamespace();
        expect(await paths(create(namespace, { issuerRef: { kind: 'Issuer', name: 'x' } }))).toEqual([
          'spec.issuerRef.kind',
        ]);
        const both = await paths(create(namespace, { duration: 'long', rotationPolicy: 'Sometimes' }));
        expect(both.toSorted()).toEqual(['spec.duration', 'spec.rotationPolicy']);
        expect(await cluster.get(CertificateClaimKind, { namespace, name: 'one' })).toBeUndefined();
      });

      test('refuses unknown fields by name', async () => {
        const namespace = await newNamespace();
        expect(await paths(create(namespace, { dnsName: 'a.example.test' }))).toEqual(['spec.dnsName']);
      });

      test('refuses an empty list', async () => {
        const namespace = await newNamespace();
        expect(await paths(create(namespace, { usages: [] }))).toEqual(['spec.usages']);
      });

      test('asks the rules across fields', async () => {
        const namespace = await newNamespace();
        const { dnsNames: _none, ...spec } = claim(namespace, 'one').spec;
        const nameless = { metadata: { namespace, name: 'one' }, spec };
        expect(await paths(cluster.create(CertificateClaimKind, nameless))).toEqual(['spec']);
      });

      test('asks them of replacements too, with what was', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(IssuedCertificateKind, record(namespace, 'one'));
        const altered = { ...created, spec: { ...created.spec, policy: 'another' } };
        expect(await paths(cluster.replace(IssuedCertificateKind, altered))).toEqual(['spec']);
        const revocation = { reason: 1, revokedAt: '2030-02-01T00:00:00Z', by: 'someone' };
        const revoked = await cluster.replace(IssuedCertificateKind, {
          ...created,
          spec: { ...created.spec, revocation },
        });
        expect(revoked.spec.revocation).toEqual(revocation);
        expect(await reasonOf(cluster.replace(IssuedCertificateKind, { ...revoked, spec: created.spec }))).toBe(
          'Invalid',
        );
      });

      test('an invalid replacement changes nothing', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const spec = { ...created.spec, duration: 'long' };
        expect(await paths(cluster.replace(CertificateClaimKind, { ...created, spec }))).toEqual(['spec.duration']);
        expect(await read(CertificateClaimKind, namespace, 'one')).toEqual(created);
      });

      test('a status is validated too', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(CertificateClaimKind, claim(namespace, 'one'));
        const status = { revision: -1 };
        expect(await paths(cluster.replaceStatus(CertificateClaimKind, { ...created, status }))).toEqual([
          'status.revision',
        ]);
      });

      test('holds names, labels and annotations to the rules of Kubernetes', async () => {
        const namespace = await newNamespace();
        const withMetadata = (metadata: object) =>
          cluster.create(CertificateClaimKind, {
            ...claim(namespace, 'one'),
            metadata: { namespace, name: 'one', ...metadata },
          });
        expect(await paths(withMetadata({ name: 'Bad_Name' }))).toEqual(['metadata.name']);
        for (const labels of [{ team: 'a b' }, { team: 'x'.repeat(64) }, { 'bad key': 'x' }]) {
          const [path] = await paths(withMetadata({ labels }));
          expect(path).toMatch(/^metadata\.labels/);
        }
        const annotations = { note: 'x'.repeat(256 * 1024) };
        expect(await paths(withMetadata({ annotations }))).toEqual(['metadata.annotations']);
      });
    });

    describe('a kind by its metadata', () => {
      const SecretMetadata = metadataOf(SecretKind);
      const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
      const secret = (namespace: string, name: string) => ({
        metadata: {
          namespace,
          name,
          labels: { team: 'a' },
          annotations: { [LAST_APPLIED]: '{"data":{"key":"c2VjcmV0"}}', kept: 'x' },
        },
        data: { key: 'c2VjcmV0' },
      });

      test('get, list and watch tell who an object is and nothing of what is in it', async () => {
        const namespace = await newNamespace();
        const { resourceVersion } = await cluster.list(SecretMetadata, { namespace });
        const created = await cluster.create(SecretKind, secret(namespace, 'one'));
        const { annotations: _both, ...rest } = created.metadata;
        const expected = {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { ...rest, annotations: { kept: 'x' } },
        };
        expect(await cluster.get(SecretMetadata, { namespace, name: 'one' })).toEqual(expected);
        const page = await cluster.list(SecretMetadata, { namespace, labels: { team: 'a' } });
        expect(page.items).toEqual([expected]);
        await cluster.delete(SecretKind, { namespace, name: 'one' });
        const { signal } = new AbortController();
        const events = cluster.watch(SecretMetadata, { namespace, resourceVersion, signal });
        const seen = await collect(events, (so) => so.at(-1)?.type === 'DELETED');
        expect(seen.map(({ type }) => type)).toEqual(['ADDED', 'DELETED']);
        expect(seen[0]?.object).toEqual(expected);
        expect(Object.keys(seen[1]?.object ?? {}).toSorted()).toEqual(['apiVersion', 'kind', 'metadata']);
      });

      test('the object as a whole keeps what its metadata alone leaves out', async () => {
        const namespace = await newNamespace();
        await cluster.create(SecretKind, secret(namespace, 'one'));
        const { items } = await cluster.list(SecretKind, { namespace });
        expect(items[0]?.metadata.annotations).toHaveProperty([LAST_APPLIED]);
        expect(items[0]?.data).toEqual({ key: 'c2VjcmV0' });
      });

      test('comes in pages', async () => {
        const namespace = await newNamespace();
        for (const name of ['a', 'b', 'c']) await cluster.create(SecretKind, secret(namespace, name));
        const first = await cluster.list(SecretMetadata, { namespace, limit: 2 });
        const token = first.continue ?? '';
        const second = await cluster.list(SecretMetadata, { namespace, limit: 2, continue: token });
        const names = [...first.items, ...second.items].map(({ metadata }) => metadata.name);
        expect(names).toEqual(['a', 'b', 'c']);
        expect([...first.items, ...second.items].every((item) => !('data' in item))).toBe(true);
      });

      test('can be deleted, but not written', async () => {
        const namespace = await newNamespace();
        await cluster.create(SecretKind, secret(namespace, 'one'));
        const found = await read(SecretMetadata, namespace, 'one');
        expect(await reasonOf(cluster.replace(SecretMetadata, found))).toBe('Invalid');
        expect(await reasonOf(cluster.replaceStatus(SecretMetadata, found))).toBe('Invalid');
        const given = { metadata: { namespace, name: 'two' } };
        expect(await reasonOf(cluster.create(SecretMetadata, given))).toBe('Invalid');
        expect(await reasonOf(cluster.apply(SecretMetadata, given, { fieldManager: 'left' }))).toBe('Invalid');
        const { uid } = found.metadata;
        expect(await cluster.delete(SecretMetadata, { namespace, name: 'one' }, { uid })).toBe(true);
      });
    });

    describe('Secrets', () => {
      test('stringData becomes data, and the type is Opaque unless said', async () => {
        const namespace = await newNamespace();
        const created = await cluster.create(SecretKind, {
          metadata: { namespace, name: 'one' },
          stringData: { key: 'välue' },
        });
        expect(created.data).toEqual({ key: Buffer.from('välue').toString('base64') });
        expect(created.stringData).toBeUndefined();
        expect(created.type).toBe('Opaque');
      });

      test('the type is for good, and kubernetes.io/tls needs both keys', async () => {
        const namespace = await newNamespace();
        const metadata = { namespace, name: 'one' };
        const created = await cluster.create(SecretKind, { metadata, type: 'Opaque' });
        expect(await reasonOf(cluster.replace(SecretKind, { ...created, type: 'example.test/other' }))).toBe('Invalid');
        const half = { metadata: { namespace, name: 'two' }, type: 'kubernetes.io/tls', data: { 'tls.crt': '' } };
        expect(await reasonOf(cluster.create(SecretKind, half))).toBe('Invalid');
      });

      test('an immutable Secret keeps its data', async () => {
        const namespace = await newNamespace();
        const metadata = { namespace, name: 'one' };
        const created = await cluster.create(SecretKind, { metadata, data: { a: 'AA==' }, immutable: true });
        expect(await reasonOf(cluster.replace(SecretKind, { ...created, data: { a: 'AQ==' } }))).toBe('Invalid');
        expect((await read(SecretKind, namespace, 'one')).data).toEqual({ a: 'AA==' });
      });
    });
  });
}
