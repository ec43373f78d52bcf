// What our replicas use of memory and CPU, as the kubelet counts it every ten seconds or so.
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../support/helm.ts';
import type { Cluster } from './cluster.ts';

export interface Usage {
  rssBytes: number;
  /** Since the container was started. */
  cpuSeconds: number;
  /** When it was counted, in milliseconds. */
  at: number;
}

interface Summary {
  pods: {
    podRef: { name: string };
    containers: {
      memory?: { rssBytes?: number };
      cpu?: { time: string; usageCoreNanoSeconds?: number };
    }[];
  }[];
}

/** By Pod. Waits until all have been counted at `since` or later. */
export async function usage(cluster: Cluster, since = 0): Promise<Map<string, Usage>> {
  const selector = ['--selector', `app.kubernetes.io/instance=${RELEASE},app.kubernetes.io/name=countersign`];
  const names = async () =>
    (await cluster.kubectl('get', 'pods', '--namespace', NAMESPACE, ...selector, '--output', 'name'))
      .trim()
      .split('\n')
      .map((name) => name.replace('pod/', ''));
  const [node = ''] = (await cluster.kubectl('get', 'nodes', '--output', 'name')).split('\n');
  const path = `/api/v1/nodes/${node.replace('node/', '')}/proxy/stats/summary`;
  return eventually('the kubelet has figures of all replicas', async () => {
    const { pods } = JSON.parse(await cluster.kubectl('get', '--raw', path)) as Summary;
    const found = new Map<string, Usage>();
    for (const { podRef, containers } of pods) {
      const [{ memory, cpu } = {}] = containers;
      const at = Date.parse(cpu?.time ?? '');
      if (memory?.rssBytes && cpu && at >= since)
        found.set(podRef.name, { rssBytes: memory.rssBytes, cpuSeconds: (cpu.usageCoreNanoSeconds ?? 0) / 1e9, at });
    }
    const ours = await names();
    if (ours.every((name) => found.has(name))) return new Map(ours.map((name) => [name, found.get(name) as Usage]));
    // Asking is work too.
    await sleep(2000);
    return undefined;
  });
}

/** Prints resident memory and CPU of each replica between the two. */
export function measureUsage(
  cluster: Cluster,
  when: string,
  before: ReadonlyMap<string, Usage>,
  after: ReadonlyMap<string, Usage>,
): void {
  for (const [name, { rssBytes, cpuSeconds, at }] of after) {
    const first = before.get(name);
    cluster.measure(`${when}, resident memory of ${name}`, `${(rssBytes / 1e6).toFixed(0)} MB`);
    if (!first) continue;
    const seconds = (at - first.at) / 1000;
    const share = (cpuSeconds - first.cpuSeconds) / seconds;
    cluster.measure(`${when}, CPU of ${name} over ${seconds.toFixed(0)} s`, `${(share * 1000).toFixed(1)} m`);
  }
}
