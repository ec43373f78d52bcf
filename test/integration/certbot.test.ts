// Jobs of certbot on a real API server, under the roles of deploy/, with Pods as Kubernetes would make and end them: by hand, for no node is
// there. Real nodes: test/e2e/suites/certbot.e2e.ts.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pod } from '../../src/api/foreign.ts';
import { JobKind } from '../../src/api/job.ts';
import { createJobRunner } from '../../src/backends/certbot/job-runner.ts';
import { createKubernetesCluster, type KubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { loadApiConfig } from '../../src/cluster/kubernetes-config.ts';
import type { CertbotRun, CertbotRunner, PodLogs } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { apply, deployed } from '../support/manifests.ts';
import { NAMESPACE } from '../support/serve.ts';

const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const JOBS = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs`;

type ContainerState = NonNullable<NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number]['state']>;

interface JobObject {
  metadata: { name: string; uid: string; labels: Record<string, string>; annotations: Record<string, string> };
  spec: { template: { metadata: object; spec: Record<string, unknown> } };
}

let names = 0;
const aRun = (more: Partial<CertbotRun> = {}): CertbotRun => ({
  name: `ic-run-${++names}`,
  issuer: 'public',
  arguments: ['certonly', '--preferred-chain=$(PATH) $$(PATH)'],
  files: { 'csr.pem': 'a CSR' },
  secrets: {
    'config/key.json': { name: 'account', key: 'private_key.json' },
    'credentials.ini': { name: 'dns', key: 'ini' },
  },
  deadlineMs: 60_000,
  pod: {
    image: 'example.test/certbot:1',
    imagePullSecrets: ['registry'],
    resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '256Mi' } },
    nodeSelector: { pool: 'pki' },
  },
  ...more,
});

describeOnApiServer('Jobs of certbot', (plane) => {
  let cluster: KubernetesCluster;
  const logs = new Map<string, string>();
  const written: PodLogs = { read: async ({ name }) => logs.get(name) };
  /** As a process of the operator has it; another one knows nothing of it but what is at the API server. */
  const runnerOf = (): CertbotRunner =>
    createJobRunner({
      cluster,
      logs: written,
      namespace: NAMESPACE,
      random: createRandom(),
      answersURL: 'http://countersign.test/.well-known/acme-challenge/',
    });

  beforeAll(async () => {
    for (const name of ['namespace', 'roles', 'admission', 'users', 'everywhere', 'optional-certbot'])
      await apply(plane().api, deployed(name));
    const restricted = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
    await plane().api.expect('PATCH', `/api/v1/namespaces/${NAMESPACE}`, restricted, 'application/merge-patch+json');
    // What controllers of Kubernetes would make.
    const accounts = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
    await plane().api.expect('POST', accounts, { metadata: { name: 'default' } });
    const token = await plane().serviceAccountToken(NAMESPACE, 'countersign');
    const clock = createClock();
    const config = await loadApiConfig({ env: {}, clock, kubeconfig: await plane().kubeconfigFor(token) });
    cluster = createKubernetesCluster({ config, clock, random: createRandom() });
  });
  afterAll(() => cluster?.close());

  const jobOf = (name: string) => plane().api.expect<JobObject>('GET', `${JOBS}/${name}`);

  /** A Pod of the Job. */
  async function addPod(run: CertbotRun, suffix = 'a'): Promise<string> {
    const job = await jobOf(run.name);
    const name = `${run.name}-${suffix}`;
    const { uid } = job.metadata;
    const ownerReferences = [{ apiVersion: 'batch/v1', kind: 'Job', name: run.name, uid, controller: true }];
    await plane().api.expect('POST', PODS, {
      metadata: { ...job.spec.template.metadata, name, ownerReferences },
      spec: job.spec.template.spec,
    });
    return name;
  }

  async function setPod(name: string, status: object, state?: ContainerState): Promise<void> {
    const container = { name: 'certbot', image: 'x', imageID: '', ready: false, restartCount: 0, state };
    const body = { status: { ...status, ...(state ? { containerStatuses: [container] } : {}) } };
    await plane().api.expect('PATCH', `${PODS}/${name}/status`, body, 'application/merge-patch+json');
  }

  async function failJob(name: string, reason: string): Promise<void> {
    const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
    const condition = { status: 'True', reason, message: 'it failed', lastTransitionTime: at, lastProbeTime: at };
    const conditions = [
      { ...condition, type: 'FailureTarget' },
      { ...condition, type: 'Failed' },
    ];
    const body = { status: { startTime: at, conditions, failed: 1 } };
    await plane().api.expect('PATCH', `${JOBS}/${name}/status`, body, 'application/merge-patch+json');
  }

  /** A run with a Pod in this state. */
  async function standing(status: object, state?: ContainerState): Promise<{ run: CertbotRun; pod: string }> {
    const run = aRun();
    await runnerOf().start(run);
    const pod = await addPod(run);
    await setPod(pod, status, state);
    return { run, pod };
  }

  test('a run is one Job, whoever starts it, and its Pod is one of the standard "restricted" without rights', async () => {
    const run = aRun();
    expect(await runnerOf().state(run.name)).toEqual({ kind: 'absent' });
    await runnerOf().start(run);
    const first = await jobOf(run.name);
    await runnerOf().start({ ...run, arguments: ['other'] });
    expect(await jobOf(run.name)).toEqual(first);

    const pod = await plane().api.expect<{ spec: Record<string, never> }>('GET', `${PODS}/${await addPod(run)}`);
    expect(pod.spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      restartPolicy: 'Never',
      nodeSelector: { pool: 'pki' },
      imagePullSecrets: [{ name: 'registry' }],
      securityContext: { runAsNonRoot: true, runAsUser: 65_532 },
      containers: [
        {
          image: 'example.test/certbot:1',
          resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '256Mi' } },
          securityContext: {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
        },
      ],
    });
    expect(JSON.stringify(pod.spec)).not.toContain('kube-api-access');
    expect(first.spec).toMatchObject({
      backoffLimit: 0,
      activeDeadlineSeconds: 360,
      ttlSecondsAfterFinished: 3600,
    });
  });

  test('the plan is what was meant, and no value of a Secret is in it', async () => {
    const run = aRun();
    await runnerOf().start(run);
    const { spec, metadata } = await jobOf(run.name);
    const [container] = spec.template.spec['containers'] as { env: { value: string }[] }[];
    const plan = JSON.parse(Buffer.from(container?.env[0]?.value ?? '', 'base64').toString()) as object;
    expect(plan).toEqual({
      marker: metadata.annotations['countersign.dev/certbot-marker'],
      arguments: run.arguments,
      files: run.files,
      secrets: { '/secrets/0': 'config/key.json', '/secrets/1': 'credentials.ini' },
      answersURL: 'http://countersign.test/.well-known/acme-challenge/',
      deadlineSeconds: 60,
      attached: false,
    });
    expect(spec.template.spec['volumes']).toContainEqual({
      name: 'secrets',
      projected: {
        defaultMode: 0o440,
        sources: [
          { secret: { name: 'account', items: [{ key: 'private_key.json', path: '0' }] } },
          { secret: { name: 'dns', items: [{ key: 'ini', path: '1' }] } },
        ],
      },
    });
  });

  test('markers differ', async () => {
    const marks = new Set<string | undefined>();
    for (let round = 0; round < 3; round++) {
      const run = aRun();
      await runnerOf().start(run);
      marks.add((await jobOf(run.name)).metadata.annotations['countersign.dev/certbot-marker']);
    }
    expect(marks.size).toBe(3);
    for (const mark of marks) expect(mark).toMatch(/^[A-Za-z0-9_-]{32}$/);
  });

  test('a run without a Pod waits', async () => {
    const run = aRun();
    await runnerOf().start(run);
    expect(await runnerOf().state(run.name)).toEqual({ kind: 'waiting' });
  });

  test.each<[string, object, ContainerState | undefined, string | undefined]>([
    ['being created', { phase: 'Pending' }, { waiting: { reason: 'ContainerCreating' } }, undefined],
    [
      'without its image',
      { phase: 'Pending' },
      { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } },
      'ImageUnavailable: the image of certbot cannot be had: no such image',
    ],
    [
      'that cannot start',
      { phase: 'Pending' },
      { waiting: { reason: 'CreateContainerConfigError', message: 'no key' } },
      'PodCannotStart: the Pod of certbot cannot start: no key',
    ],
    [
      'without a node',
      {
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'none fits' }],
      },
      undefined,
      'Unschedulable: no node for certbot: none fits',
    ],
  ])('a Pod %s waits, and says for what', async (_, status, container, obstacle) => {
    const { run } = await standing(status, container);
    const state = await runnerOf().state(run.name);
    expect(state.kind).toBe('waiting');
    const told = state.kind === 'waiting' && state.obstacle;
    expect(told ? `${told.reason}: ${told.message}` : undefined).toBe(obstacle);
  });

  test('a Pod that runs has its log read', async () => {
    const { run, pod } = await standing({ phase: 'Running' }, { running: {} });
    logs.set(pod, 'a line\n');
    const marker = (await jobOf(run.name)).metadata.annotations['countersign.dev/certbot-marker'];
    expect(await runnerOf().state(run.name)).toEqual({ kind: 'running', marker, log: 'a line\n' });
  });

  test.each<[string, object, ContainerState | undefined, string | undefined]>([
    ['ended well', { phase: 'Succeeded' }, { terminated: { exitCode: 0, reason: 'Completed' } }, undefined],
    ['ended badly', { phase: 'Failed' }, { terminated: { exitCode: 1, reason: 'Error' } }, 'CertbotEnded'],
    [
      'took too much memory',
      { phase: 'Failed' },
      { terminated: { exitCode: 137, reason: 'OOMKilled' } },
      'OutOfMemory',
    ],
    [
      'had too little memory to start',
      { phase: 'Failed' },
      {
        terminated: {
          exitCode: 128,
          reason: 'StartError',
          message: 'runc create failed: container init was OOM-killed (memory limit too low?)',
        },
      },
      'OutOfMemory',
    ],
    ['was evicted', { phase: 'Failed', reason: 'Evicted' }, undefined, 'PodFailed'],
  ])('a Pod that %s is the end of its run', async (_, status, container, reason) => {
    const { run, pod } = await standing(status, container);
    logs.set(pod, 'the log\n');
    const state = await runnerOf().state(run.name);
    expect(state).toMatchObject({ kind: 'ended', log: 'the log\n' });
    expect(state.kind === 'ended' ? state.cut?.reason : 'not ended').toBe(reason);
  });

  test.each([
    ['DeadlineExceeded', 'DeadlineExceeded'],
    ['BackoffLimitExceeded', 'JobFailed'],
  ])('a Job that failed by %s, its Pod gone, has no log', async (reason, cut) => {
    const run = aRun();
    await runnerOf().start(run);
    await failJob(run.name, reason);
    const state = await runnerOf().state(run.name);
    expect(state).toMatchObject({ kind: 'ended', cut: { reason: cut } });
    expect(state.kind === 'ended' && state.log).toBeUndefined();
  });

  test('of two Pods of one Job that succeed, the first counts', async () => {
    const { run, pod } = await standing({ phase: 'Succeeded' }, { terminated: { exitCode: 0 } });
    const second = await addPod(run, 'b');
    await setPod(second, { phase: 'Succeeded' }, { terminated: { exitCode: 0 } });
    logs.set(pod, 'first\n');
    logs.set(second, 'second\n');
    expect(await runnerOf().state(run.name)).toMatchObject({ kind: 'ended', log: 'first\n' });
  });

  test('a run that is removed may begin anew', async () => {
    const { run } = await standing({ phase: 'Failed' }, { terminated: { exitCode: 1 } });
    const { uid } = (await jobOf(run.name)).metadata;
    await runnerOf().remove(run.name);
    expect(await runnerOf().state(run.name)).toEqual({ kind: 'absent' });
    await runnerOf().remove(run.name);
    await runnerOf().start(run);
    expect((await jobOf(run.name)).metadata.uid).not.toBe(uid);
  });

  test('Pods of a Job that was removed, and those of nobody, say nothing of the next one', async () => {
    const { run, pod } = await standing({ phase: 'Failed' }, { terminated: { exitCode: 137, reason: 'OOMKilled' } });
    await runnerOf().remove(run.name);
    await runnerOf().start(run);
    expect((await plane().api.expect<{ metadata: object }>('GET', `${PODS}/${pod}`)).metadata).toBeDefined();
    expect(await runnerOf().state(run.name)).toEqual({ kind: 'waiting' });
    const next = await addPod(run, 'z');
    await setPod(next, { phase: 'Running' }, { running: {} });
    logs.set(next, 'of the second\n');
    logs.set(pod, 'of the first\n');
    expect(await runnerOf().state(run.name)).toMatchObject({ kind: 'running', log: 'of the second\n' });
  });

  test('a Job that is none of ours is not read', async () => {
    const run = aRun();
    await runnerOf().start(run);
    const { metadata: _own, spec } = await jobOf(run.name);
    const template = { ...spec.template, metadata: {} };
    const name = `ic-foreign-${names}`;
    await plane().api.expect('POST', JOBS, { metadata: { name }, spec: { backoffLimit: 0, template } });
    await expect(runnerOf().state(name)).rejects.toThrow(`the Job ${name} is none of ours`);
  });

  test('logs of Pods that are not there are none', async () => {
    const options = { container: 'certbot', limitBytes: 100 };
    expect(await cluster.logs.read({ namespace: NAMESPACE, name: 'nobody' }, options)).toBeUndefined();
    expect(await cluster.logs.read({ namespace: NAMESPACE, name: '../x' }, options)).toBeUndefined();
    const { pod } = await standing({ phase: 'Pending' });
    expect(await cluster.logs.read({ namespace: NAMESPACE, name: pod }, options)).toBe('');
  });

  test('what may not be done says so to people', async () => {
    const elsewhere = createJobRunner({
      cluster,
      logs: written,
      namespace: 'default',
      random: createRandom(),
      answersURL: 'http://countersign.test/',
    });
    const forbidden = { name: 'Unavailable', reason: 'JobsForbidden', message: expect.stringContaining('jobs.batch') };
    await expect(elsewhere.state('x')).rejects.toMatchObject(forbidden);
    await expect(elsewhere.start(aRun())).rejects.toMatchObject(forbidden);
  });

  test('the rights are for the operator’s namespace alone', async () => {
    await expect(cluster.get(JobKind, { namespace: 'default', name: 'x' })).rejects.toMatchObject({
      reason: 'Forbidden',
    });
    await expect(
      cluster.logs.read({ namespace: 'default', name: 'x' }, { container: 'x', limitBytes: 1 }),
    ).rejects.toMatchObject({ reason: 'Forbidden' });
  });

  test('an image that is not named is what it lacks', () => {
    const { pod } = aRun();
    expect(runnerOf().lacks({ pod })).toBeUndefined();
    expect(runnerOf().lacks({ pod: { ...pod, image: undefined } })).toMatchObject({ reason: 'ImageNotSet' });
  });
});
