// Replicas, the leader and all of them at once come to an end while clients go on.
import { beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { connectCluster } from '../cluster.ts';
import { further, type Load, startLoad } from '../load.ts';
import { caIssuer, claim } from '../objects.ts';

const cluster = connectCluster();
const HERE = ['--namespace', NAMESPACE];
let ns = '';
let load: Load;

interface Pod {
  metadata: { name: string; uid: string; deletionTimestamp?: string };
  status: { podIP: string; containerStatuses: { restartCount: number; ready: boolean }[] };
}

async function replicas(): Promise<Pod[]> {
  const args = ['get', 'pods', ...HERE, '--selector', `app.kubernetes.io/instance=${RELEASE}`, '--output', 'json'];
  const { items } = JSON.parse(await cluster.kubectl(...args)) as { items: Pod[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

interface Lease {
  spec: { holderIdentity?: string };
}

/** Name of the Pod that leads. */
async function leader(): Promise<string> {
  return eventually('somebody leads', async () => {
    const lease = await cluster.get<Lease>('lease', `${RELEASE}-leader`, NAMESPACE);
    const holder = lease?.spec.holderIdentity?.split('_')[0];
    return (await replicas()).find(({ metadata }) => metadata.name === holder)?.metadata.name;
  });
}

/** SIGKILL for the program of that Pod, from a Pod that sees all processes of the node. */
async function kill(...pods: Pod[]): Promise<void> {
  const found = pods.map(({ status }) => `$(grep -lz '^POD_IP=${status.podIP}$' /proc/[0-9]*/environ | cut -d/ -f3)`);
  await cluster.exec('pod/executioner', ns, ['sh', '-c', `kill -9 ${found.join(' ')}`]);
}

async function settled(): Promise<void> {
  await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...HERE, '--timeout=300s');
  await eventually('two replicas are ready', async () => {
    const all = await replicas();
    return all.length === 2 && all.every(({ status }) => status.containerStatuses.every(({ ready }) => ready))
      ? true
      : undefined;
  });
}

let claimed = 0;
async function claimIsServed(): Promise<void> {
  const name = `claim-${++claimed}`;
  await cluster.apply(claim(name, { issuer: 'chaos', names: [`${name}.chaos.example`] }), ns);
  await cluster.waitFor(`certificateclaim/${name}`, 'condition=Ready', ns);
}

beforeAll(async () => {
  await cluster.installed();
  ns = await cluster.namespace('chaos');
  await cluster.trust(ns);
  await cluster.apply(caIssuer('chaos', ['*.*.svc.cluster.local', '**.chaos.example']));
  await cluster.waitFor('clustercaissuer/chaos', 'condition=Ready');
  load = await startLoad(cluster, { issuer: 'chaos', namespace: ns });
  await cluster.start('executioner', ns, {
    image: await cluster.image('debian'),
    command: ['sleep', 'infinity'],
    spec: {
      hostPID: true,
      containers: [
        {
          name: 'main',
          image: await cluster.image('debian'),
          command: ['sleep', 'infinity'],
          securityContext: { privileged: true },
        },
      ],
    },
  });
});

test('the leader is deleted: no order fails, another leads, a claim is served', async () => {
  const first = await leader();
  await cluster.kubectl('delete', 'pod', first, ...HERE, '--wait=false');
  await claimIsServed();
  await further(load, 5);
  expect(await leader()).not.toBe(first);
  await settled();
  expect(await load.failed()).toEqual([]);
});

test('a replica that does not lead is killed: its container is started anew, orders and claims go on', async () => {
  const first = await leader();
  const [victim] = (await replicas()).filter(({ metadata }) => metadata.name !== first);
  if (!victim) throw new Error('there is but one replica');
  await kill(victim);
  await claimIsServed();
  await further(load, 5);
  await settled();
  const again = (await replicas()).find(({ metadata }) => metadata.uid === victim.metadata.uid);
  expect(again?.status.containerStatuses[0]?.restartCount).toBe(1);
  expect(await leader()).toBe(first);
});

test('the leader is killed: the Lease passes on or is taken up again, orders and claims go on', async () => {
  const name = await leader();
  const victims = (await replicas()).filter(({ metadata }) => metadata.name === name);
  await kill(...victims);
  await claimIsServed();
  await further(load, 5);
  await settled();
  await leader();
});

test('all replicas are killed at once: afterwards everything is as before', async () => {
  const before = (await load.issued()).length;
  await kill(...(await replicas()));
  await claimIsServed();
  await settled();
  await further(load, 5);
  expect((await load.issued()).length).toBeGreaterThan(before);
});

test('no certificate was issued twice or without a record', async () => {
  const issued = await load.issued();
  expect(new Set(issued).size).toBe(issued.length);
  interface Records {
    items: { metadata: { labels: Record<string, string> }; spec: { requestID: string; issuerRef: { name: string } } }[];
  }
  const { items } = JSON.parse(
    await cluster.kubectl('get', 'issuedcertificates', ...HERE, '--output', 'json'),
  ) as Records;
  const ours = items.filter(({ spec }) => spec.issuerRef.name === 'chaos');
  const ids = ours.map(({ spec }) => spec.requestID);
  expect(new Set(ids).size).toBe(ids.length);
  const serials = new Set(ours.map(({ metadata }) => metadata.labels['countersign.dev/serial']));
  const stripped = (serial: string) => serial.replace(/^0+/, '');
  const known = new Set([...serials].map((serial) => stripped(serial ?? '')));
  expect(issued.filter((serial) => !known.has(stripped(serial)))).toEqual([]);
});

test('orders that failed lost their connection or met a replica that was not ready, and were never refused', async () => {
  const reasons = new Map<string, number>();
  for (const failure of await load.failed()) {
    const reason =
      /ConnectionRefused|ConnectionReset|RemoteDisconnected|No route|timed out|urn:[\w:]+/.exec(failure)?.[0] ??
      failure;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  console.log(
    `chaos: ${(await load.issued()).length} certificates, orders interrupted: ${JSON.stringify([...reasons])}`,
  );
  const refused = (await load.failed()).filter((failure) =>
    /urn:ietf:params:acme:error:(?!serverInternal|badNonce)/.test(failure),
  );
  expect(refused).toEqual([]);
});
