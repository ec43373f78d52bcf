// Logs of Pods, read through the API server.
import { PodKind } from '../api/foreign.ts';
import type { PodLogs } from '../ports.ts';
import { completed } from './kubernetes-calls.ts';
import { errorOf } from './kubernetes-errors.ts';
import { isPathStep, objectPath, withQuery } from './kubernetes-paths.ts';
import type { Requests } from './kubernetes-requests.ts';

export function createPodLogs({ text }: Pick<Requests, 'text'>): PodLogs {
  return {
    async read(pod, { container, limitBytes }) {
      if (!isPathStep(pod.name)) return undefined;
      const path = withQuery(objectPath(PodKind, pod, '/log'), { container, limitBytes });
      const result = await text(completed({ method: 'GET', path, accept: 'text/plain, */*' }));
      if (!('refusal' in result)) return result.value;
      // 404: the Pod is gone. 400: its container has not begun, or its log is no more.
      if (result.refusal.code === 404 || result.refusal.code === 400) return undefined;
      throw errorOf(result.refusal, false);
    },
  };
}
