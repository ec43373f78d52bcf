// Runs certbot as Jobs in the operator's namespace, one for each request and named after it. All that is known of a run is in its Job and
// the log of its Pod, so that any process of ours goes on with it. Jobs go by themselves an hour after their end.
import { type Job, JobKind } from '../../api/job.ts';
import { type ContainerState, type Pod, PodKind } from '../../api/foreign.ts';
import type { NewObject } from '../../api/kind.ts';
import type { Right } from '../../api/right.ts';
import { isClusterError } from '../../domain/cluster-error.ts';
import { shownText } from '../../domain/remote-text.ts';
import type { CertbotRun, CertbotRunner, CertbotState, Cluster, PodLogs, Random } from '../../ports.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { LOG_BYTES, planOf, renderPlan } from './program.ts';
import { CONTAINER, podSpecOf, SECRETS_FOLDER } from './pod.ts';

export const CERTBOT_RIGHTS: readonly Right[] = [
  {
    kind: JobKind,
    verbs: ['get', 'create', 'delete'],
    in: ['operator'],
    why: 'run certbot, one Job for each certificate that is asked for; those that failed and may be tried again are deleted',
  },
  { kind: PodKind, verbs: ['list'], in: ['operator'], why: 'see how the Pods of those Jobs stand' },
  {
    kind: PodKind,
    subresource: 'log',
    verbs: ['get'],
    in: ['operator'],
    why: 'read answers to challenges, and certificates, which those Pods write to their logs',
  },
];

export interface JobRunnerDeps {
  cluster: Pick<Cluster, 'get' | 'list' | 'create' | 'delete'>;
  logs: PodLogs;
  /** The operator's. */
  namespace: string;
  random: Random;
  /** Where answers to http-01 are seen from a Pod, up to the token. */
  answersURL: string;
}

const Mark = {
  /** Of the Job and of its Pods: the name of the run. */
  run: 'countersign.dev/certbot-run',
  issuer: 'countersign.dev/issuer',
  managedBy: 'app.kubernetes.io/managed-by',
  marker: 'countersign.dev/certbot-marker',
} as const;

/** Beside its own deadline certbot's image must be had, and a node. */
const START_SECONDS = 300;
const TTL_SECONDS = 3600;
/** Of one environment variable, by the kernel. */
const PLAN_BYTES = 120_000;

export function createJobRunner(deps: JobRunnerDeps): CertbotRunner {
  const { cluster, namespace } = deps;
  return {
    lacks: ({ pod }) =>
      pod.image === undefined
        ? { reason: 'ImageNotSet', message: 'certbot runs in Pods here, and the issuer names no image for them' }
        : undefined,
    async start(run) {
      try {
        await cluster.create(JobKind, jobOf(deps, run));
      } catch (error) {
        if (isClusterError(error, 'AlreadyExists')) return;
        throw isClusterError(error, 'Invalid')
          ? new RemoteFault('JobRefused', `the API server takes no Job of ours: ${shownText(error.message)}`)
          : withReason(error);
      }
    },
    state: (name) =>
      stateOf(deps, name).catch((error: unknown) => {
        throw withReason(error);
      }),
    async remove(name) {
      const job = await cluster.get(JobKind, { namespace, name });
      if (job) await cluster.delete(JobKind, job.metadata, { uid: job.metadata.uid });
    },
  };
}

/** What is not permitted is for people to mend. */
function withReason(error: unknown): unknown {
  if (!isClusterError(error, 'Forbidden')) return error;
  return new RemoteFault('JobsForbidden', `certbot cannot be run in Jobs: ${shownText(error.message)}`);
}

function jobOf({ namespace, random, answersURL }: JobRunnerDeps, run: CertbotRun): NewObject<Job> {
  const secrets = Object.entries(run.secrets);
  const plan = planOf(run, {
    random,
    secrets: Object.fromEntries(secrets.map(([path], i) => [`${SECRETS_FOLDER}/${i}`, path])),
    answersURL,
    attached: false,
  });
  const text = renderPlan(plan);
  if (text.length > PLAN_BYTES)
    throw new RemoteFault('ConfigurationTooLarge', 'the CA bundle is too large to be handed to certbot');
  const labels = { [Mark.managedBy]: 'countersign', [Mark.run]: run.name };
  const annotations = { [Mark.marker]: plan.marker, [Mark.issuer]: run.issuer };
  return {
    metadata: { namespace, name: run.name, labels, annotations },
    spec: {
      // A failed validation counts at the CA: whether there is to be another is decided here.
      backoffLimit: 0,
      activeDeadlineSeconds: plan.deadlineSeconds + START_SECONDS,
      ttlSecondsAfterFinished: TTL_SECONDS,
      template: {
        metadata: { labels },
        spec: podSpecOf(
          run,
          text,
          secrets.map(([, ref]) => ref),
        ),
      },
    },
  };
}

async function stateOf(deps: JobRunnerDeps, name: string): Promise<CertbotState> {
  const { cluster, namespace } = deps;
  const job = await cluster.get(JobKind, { namespace, name });
  if (!job) return { kind: 'absent' };
  const marker = job.metadata.annotations?.[Mark.marker] ?? '';
  // Without one, every line would be for us.
  if (marker === '') throw new RemoteFault('JobUnknown', `the Job ${name} is none of ours: delete it`);
  const { items } = await cluster.list(PodKind, { namespace, labels: { [Mark.run]: name } });
  // Those of a Job of that name that was deleted go after it.
  const own = items.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid));
  const pods = own.toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  // Kubernetes may run one twice: what came of the first that succeeded counts.
  const pod = pods.find((each) => exitOf(each)?.exitCode === 0) ?? pods.at(-1);
  const read = async () => pod && deps.logs.read(pod.metadata, { container: CONTAINER, limitBytes: LOG_BYTES });
  const over = endOf(job, pod);
  if (over) return { kind: 'ended', marker, log: await read(), ...over };
  if (containerOf(pod)?.running) return { kind: 'running', marker, log: (await read()) ?? '' };
  const obstacle = obstacleOf(pod);
  return { kind: 'waiting', ...(obstacle ? { obstacle } : {}) };
}

const orderOf = ({ metadata }: Pod) => `${metadata.creationTimestamp} ${metadata.name}`;
const containerOf = (pod: Pod | undefined) =>
  pod?.status?.containerStatuses?.find(({ name }) => name === CONTAINER)?.state;
const exitOf = (pod: Pod | undefined) => containerOf(pod)?.terminated;

type Cut = { cut?: { reason: string; message: string } };

/** Undefined while it goes on. */
function endOf({ status }: Job, pod: Pod | undefined): Cut | undefined {
  const exit = exitOf(pod);
  if (exit) return endOfContainer(exit);
  const isTrue = (wanted: string) =>
    status?.conditions?.find(({ type, status }) => type === wanted && status === 'True');
  const failed = isTrue('Failed');
  if (failed?.reason === 'DeadlineExceeded')
    return cut('DeadlineExceeded', 'the Job of certbot did not come to an end in time');
  if (failed) return cut('JobFailed', `the Job of certbot failed: ${shownText(failed.message ?? '')}`);
  if (pod?.status?.phase === 'Failed')
    return cut('PodFailed', 'the Pod of certbot failed: it was evicted, or its node is gone');
  return isTrue('Complete') && cut('LogLost', 'the Job of certbot succeeded, and its Pod is gone');
}

function endOfContainer({ exitCode, reason = '', message = '' }: NonNullable<ContainerState['terminated']>): Cut {
  if (exitCode === 0) return {};
  // With less memory than it takes to start anything, the runtime says so in its own words.
  if (reason === 'OOMKilled' || /\boom-kill/i.test(message))
    return cut('OutOfMemory', 'certbot was ended for want of memory: give it more by resources.limits.memory');
  return cut('CertbotEnded', `certbot was ended: ${shownText(reason)} ${exitCode} ${shownText(message)}`.trimEnd());
}

const cut = (reason: string, message: string): Cut => ({ cut: { reason, message } });

const IMAGE = ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull', 'ImageInspectError'];

function obstacleOf(pod: Pod | undefined): (CertbotState & { kind: 'waiting' })['obstacle'] {
  const { reason = '', message = '' } = containerOf(pod)?.waiting ?? {};
  if (IMAGE.includes(reason))
    return {
      reason: 'ImageUnavailable',
      message: `the image of certbot cannot be had: ${shownText(message)}`,
      anew: true,
    };
  if (reason !== '' && reason !== 'ContainerCreating' && reason !== 'PodInitializing')
    return {
      reason: 'PodCannotStart',
      message: `the Pod of certbot cannot start: ${shownText(message || reason)}`,
      anew: true,
    };
  const unplaced = pod?.status?.conditions?.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  if (!unplaced) return undefined;
  // A node may be on its way.
  return { reason: 'Unschedulable', message: `no node for certbot: ${shownText(unplaced.message ?? '')}`, anew: false };
}
