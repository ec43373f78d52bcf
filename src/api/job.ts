// A Kubernetes Job, reduced to what is written and read.
import type { Kind, KubeObject } from './kind.ts';

export interface Job extends KubeObject {
  spec: {
    backoffLimit: number;
    /** Seconds from its start, after which its Pods are ended and deleted. */
    activeDeadlineSeconds: number;
    ttlSecondsAfterFinished: number;
    template: {
      metadata: { labels: Record<string, string> };
      /** A PodSpec. */
      spec: Record<string, unknown>;
    };
  };
  status?: { conditions?: readonly { type: string; status: string; reason?: string; message?: string }[] | null };
}

export const JobKind: Kind<Job> = {
  group: 'batch',
  version: 'v1',
  kind: 'Job',
  plural: 'jobs',
  singular: 'job',
  shortNames: [],
  namespaced: true,
  statusSubresource: true,
  schema: undefined,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  description: 'A Kubernetes Job.',
  rules: () => [],
};
