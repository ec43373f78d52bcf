// What somebody needs who has only the output of a failed run: Pods, events, and what was logged by those that are ours or not well.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { cacheFolder } from '../support/kubernetes-programs.ts';

interface Pod {
  metadata: { name: string; namespace: string; labels?: Record<string, string> };
  status: { phase: string; containerStatuses?: { ready: boolean; restartCount: number }[] };
}

const LINES = 60;

/** As text; what cannot be had says why. */
export async function diagnosis(kubeconfig: string): Promise<string> {
  const kubectl = (...args: string[]) =>
    new Promise<string>((resolve) => {
      const file = join(cacheFolder(), 'kubectl');
      const words = ['--kubeconfig', kubeconfig, '--request-timeout=20s', ...args];
      execFile(file, words, { maxBuffer: 2 ** 26, timeout: 30_000 }, (_error, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
  const parts: [title: string, text: string][] = [
    ['pods', await kubectl('get', 'pods', '--all-namespaces', '--output', 'wide')],
    ['objects of ours', await kubectl('get', 'countersign', '--all-namespaces', '--ignore-not-found')],
    ['events', tail(await kubectl('get', 'events', '--all-namespaces', '--sort-by=.lastTimestamp'), LINES)],
  ];
  for (const { metadata, status } of pods(await kubectl('get', 'pods', '--all-namespaces', '--output', 'json'))) {
    const { name, namespace, labels } = metadata;
    const isWell =
      status.phase === 'Succeeded' ||
      (status.containerStatuses ?? [{ ready: false, restartCount: 0 }]).every(
        (each) => each.ready && each.restartCount === 0,
      );
    if (isWell && labels?.['app.kubernetes.io/name'] !== 'countersign') continue;
    const logs = (...more: string[]) =>
      kubectl('logs', '--namespace', namespace, name, '--all-containers', `--tail=${LINES}`, ...more);
    parts.push([`log of ${namespace}/${name}`, await logs()]);
    if (status.containerStatuses?.some(({ restartCount }) => restartCount > 0))
      parts.push([`log of ${namespace}/${name} before its restart`, await logs('--previous')]);
    if (!isWell)
      parts.push([
        `${namespace}/${name}`,
        tail(await kubectl('describe', 'pod', '--namespace', namespace, name), LINES),
      ]);
  }
  return parts.map(([title, text]) => `\n---- ${title}\n${text}`).join('');
}

function pods(text: string): Pod[] {
  try {
    return (JSON.parse(text) as { items: Pod[] }).items;
  } catch {
    return [];
  }
}

function tail(text: string, lines: number): string {
  return text.split('\n').slice(-lines).join('\n');
}
