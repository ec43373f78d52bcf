// CertificateRequestPolicy: says in the status whether the policy can be used. A broken one is skipped when requests are judged.
import { type CertificateRequestPolicy, CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import type { Right } from '../api/right.ts';
import { setCondition } from '../domain/conditions.ts';
import type { Cache, Clock, Cluster, EventRecorder } from '../ports.ts';
import { enqueueEach, type Reconciler, TerminalError } from '../runtime/controller.ts';
import { writeStatus } from './status.ts';

export const POLICY_RIGHTS: readonly Right[] = [
  { kind: CertificateRequestPolicyKind, verbs: ['list', 'watch'], in: ['cluster'], why: 'know the policies' },
  {
    kind: CertificateRequestPolicyKind,
    subresource: 'status',
    verbs: ['update'],
    in: ['cluster'],
    why: 'say whether a policy is in force or broken',
  },
];

export interface PolicyDeps {
  cluster: Pick<Cluster, 'replaceStatus'>;
  policies: Cache<CertificateRequestPolicy>;
  /** Why the policy cannot be used, if it cannot: an expression that does not compile, for example. */
  faultOf: (policy: CertificateRequestPolicy) => string | undefined;
  clock: Clock;
  events: EventRecorder;
}

export function createPolicyReconciler(deps: PolicyDeps): Reconciler {
  return {
    async reconcile({ name }) {
      const policy = deps.policies.get({ name });
      if (!policy) return undefined;
      const fault = deps.faultOf(policy);
      const verdict =
        fault === undefined
          ? { status: 'True' as const, reason: 'Valid', message: 'the policy is in force' }
          : { status: 'False' as const, reason: 'Broken', message: `the policy is skipped: ${fault}` };
      const conditions = setCondition(
        policy.status?.conditions ?? [],
        { type: 'Ready', ...verdict, observedGeneration: policy.metadata.generation },
        deps.clock.now(),
      );
      const written = await writeStatus(deps.cluster, CertificateRequestPolicyKind, policy, {
        conditions: [...conditions],
      });
      if (written && fault !== undefined) deps.events.event(policy, 'Warning', verdict.reason, verdict.message);
      if (fault !== undefined) throw new TerminalError(verdict.message);
      return undefined;
    },
    watch: (enqueue) => enqueueEach(deps.policies, enqueue),
  };
}
