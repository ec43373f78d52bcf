// The cluster, as suites have it. A suite is one file, test/e2e/suites/<name>.e2e.ts, of vitest tests that run in their order:
//
//   const cluster = connectCluster();
//   beforeAll(() => cluster.installed());                  // the chart with its defaults, both replicas ready
//   test('…', async () => {
//     const ns = await cluster.namespace('web');           // a fresh one, gone with the suite; labels as a second argument
//     const image = await cluster.image('debian');         // built here and given to the nodes: 'debian' has certbot, nginx, openssl,
//                                                          // curl, conntrack; any program of scripts/build-tools.ts by its name; 'countersign'; 'ejbca', its double;
//                                                          // with packages as a second argument a Debian with these
//     await cluster.apply(yamlOrObjects, ns);              // kubectl apply
//     await cluster.waitFor('certificateclaim/a', 'condition=Ready', ns);          // kubectl wait
//     const secret = await cluster.get<Secret>('secret', 'a-tls', ns);             // undefined where there is none
//     await cluster.run('client', ns, { image, command: [...] });                  // a Pod to its end; resolves with its log
//     await cluster.trust(ns);                             // the bundle of the ACME server as ConfigMap `trust`; certbotPod in certbot.ts
//     await cluster.exec('pod/web', ns, ['cat', '/etc/hostname']);                 // standard output
//     await cluster.logs('deployment/countersign', NAMESPACE);
//     await cluster.kubectl('get', 'nodes');  await cluster.helm('list');          // anything else; they reject with what was said
//     await cluster.resolve({ 'app.example.com': address });                       // names of the cluster's DNS beside its own
//     cluster.measure('what', '1.2 s');                    // printed at the end of the run
//   });
//
// Each suite runs alone on a fresh cluster, and after any other: it asks for what it needs (`installed`), names its objects by itself
// (cluster-scoped ones with its own prefix) and does not count on an empty cluster. Waits are generous; `eventually` of test/support for
// others. What fails is printed with Pods, events and logs by the runner.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { afterAll } from 'vitest';
import { type AuditEntry, readAudit } from '../support/audit-log.ts';
import { eventually } from '../support/eventually.ts';
import { CHART, NAMESPACE, RELEASE, type Values } from '../support/helm.ts';
import { cacheFolder } from '../support/kubernetes-programs.ts';
import { debianImage, ejbcaImage, type Image, productImage, programImage } from './images.ts';
import { addMeasure } from './measures.ts';
import { readSession } from './session.ts';

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

export interface PodOptions {
  image: string;
  command: readonly string[];
  env?: Readonly<Record<string, string>>;
  labels?: Readonly<Record<string, string>>;
  /** What is mounted, by path: a ConfigMap or a Secret. */
  mounts?: Readonly<Record<string, { configMap: string } | { secret: string }>>;
  /** The Pod is ready once something listens there. */
  port?: number;
  /** Further members of the Pod's spec. */
  spec?: object;
}

export interface Cluster {
  readonly kind: 'local' | 'kind';
  readonly kubeconfig: string;
  /** A folder for files of this suite. */
  readonly folder: string;
  /** Environment in which `kubectl` and `helm` are found and mean this cluster, for programs that a suite starts. */
  readonly env: Readonly<Record<string, string>>;
  kubectl(...args: string[]): Promise<string>;
  helm(...args: string[]): Promise<string>;
  /** Any program on this machine, in `env`; resolves whatever its status. */
  command(program: string, args: readonly string[], input?: string): Promise<Outcome>;
  /** Text of manifests, or objects. */
  apply(manifests: string | object | readonly object[], namespace?: string): Promise<string>;
  get<T>(kind: string, name: string, namespace?: string): Promise<T | undefined>;
  /** `what` is as in `kubectl wait`, `condition` its `--for`. */
  waitFor(what: string, condition: string, namespace?: string, seconds?: number): Promise<void>;
  logs(what: string, namespace: string, ...args: string[]): Promise<string>;
  exec(pod: string, namespace: string, command: readonly string[]): Promise<string>;
  /** A Pod until it has ended; rejects with its log where that is no success. */
  run(name: string, namespace: string, options: PodOptions): Promise<string>;
  /** A Pod that stays, once it is ready. */
  start(name: string, namespace: string, options: PodOptions): Promise<void>;
  namespace(prefix: string, labels?: Readonly<Record<string, string>>): Promise<string>;
  /** Puts what clients of the ACME server must trust into the ConfigMap `trust`, as `ca.crt`. */
  trust(namespace: string): Promise<void>;
  /** Builds it if need be, gives it to the nodes, and resolves with its reference. With `packages` it is a Debian with these. */
  image(name: string, packages?: readonly string[]): Promise<string>;
  /** What the making of that image said. */
  imageFacts(name: string): Promise<readonly string[]>;
  /**
   * The release `countersign` of this checkout's chart and image, with these values, in the namespace `countersign-system` that is held
   * to the Pod Security Standard "restricted". Resolves once all replicas are ready. Nothing is done where it is there as wanted.
   */
  installed(values?: Values): Promise<void>;
  /** Values that name this checkout's image. */
  imageValues(): Promise<Values>;
  /** Names that the cluster's DNS then knows, beside those that it was given before. */
  resolve(names: Readonly<Record<string, string>>): Promise<void>;
  /** What the API server was asked; undefined where that cannot be had. */
  audit(): Promise<AuditEntry[] | undefined>;
  /** Samples of all ready replicas, by Pod. */
  metrics(): Promise<Map<string, string>>;
  measure(what: string, value: string): void;
}

/** Packages of the image `debian`. */
const CLIENTS = [
  'certbot',
  'conntrack',
  'curl',
  'iproute2',
  'nginx-light',
  'openssl',
  'procps',
  'python3-certbot-dns-rfc2136',
];

export function connectCluster(): Cluster {
  const session = readSession();
  const env: Record<string, string> = {
    KUBECONFIG: session.kubeconfig,
    PATH: `${cacheFolder()}${delimiter}${process.env['PATH'] ?? ''}`,
  };
  const folder = mkdtempSync(join(session.folder, 'scratch/'));
  const namespaces: string[] = [];
  const loaded = new Map<string, Promise<Image>>();

  async function command(program: string, args: readonly string[], input?: string): Promise<Outcome> {
    const child = spawn(program, args, { cwd: join(CHART, '../..'), env: { ...process.env, ...env } });
    child.stdin.on('error', () => {}).end(input);
    const ended = new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? -1));
    });
    const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { status, stdout, stderr };
  }

  async function succeed(program: string, args: readonly string[], input?: string): Promise<string> {
    const { status, stdout, stderr } = await command(program, args, input);
    if (status === 0) return stdout;
    throw new Error(`${program} ${args.join(' ')}: ${stderr}${stdout.slice(-4000)}`);
  }

  const kubectl = (...args: string[]) => succeed('kubectl', args);
  const inside = (namespace?: string) => (namespace === undefined ? [] : ['--namespace', namespace]);

  const apply: Cluster['apply'] = (manifests, namespace) => {
    const list = { apiVersion: 'v1', kind: 'List', items: [manifests].flat() };
    const input = typeof manifests === 'string' ? manifests : JSON.stringify(list);
    return succeed('kubectl', ['apply', ...inside(namespace), '--filename', '-'], input);
  };

  async function get<T>(kind: string, name: string, namespace?: string): Promise<T | undefined> {
    const args = ['get', kind, name, ...inside(namespace), '--ignore-not-found', '--output', 'json'];
    const found = await kubectl(...args);
    return found === '' ? undefined : (JSON.parse(found) as T);
  }

  const waitFor: Cluster['waitFor'] = async (what, condition, namespace, seconds = 180) => {
    await kubectl('wait', what, ...inside(namespace), `--for=${condition}`, `--timeout=${seconds}s`);
  };

  const logs: Cluster['logs'] = (what, namespace, ...args) => kubectl('logs', what, '--namespace', namespace, ...args);

  function build(
    name: string,
    packages: readonly string[] | undefined = name === 'debian' ? CLIENTS : undefined,
  ): Promise<Image> {
    const known = loaded.get(name);
    if (known) return known;
    const building = (async () => {
      const image = await (name === 'countersign'
        ? productImage()
        : name === 'ejbca'
          ? ejbcaImage(await build('debian'))
          : packages
            ? debianImage(name, packages)
            : programImage(name));
      const [program = '', ...args] = session.load;
      await succeed(program, [...args, image.archive]);
      return image;
    })();
    loaded.set(name, building);
    return building;
  }

  async function imageValues(): Promise<Values> {
    const [, repository = '', tag = ''] = /^(.*):([^:]+)$/.exec((await build('countersign')).reference) ?? [];
    return { image: { repository, tag } };
  }

  const start: Cluster['start'] = async (name, namespace, options) => {
    await apply(podOf(name, options), namespace);
    await waitFor(`pod/${name}`, 'condition=Ready', namespace);
  };

  const run: Cluster['run'] = async (name, namespace, options) => {
    await apply(podOf(name, { ...options, spec: { restartPolicy: 'Never', ...options.spec } }), namespace);
    const phase = await eventually(
      `Pod ${name} ends`,
      async () => {
        const pod = await get<{ status: { phase?: string } }>('pod', name, namespace);
        return ['Succeeded', 'Failed'].find((each) => each === pod?.status.phase);
      },
      300,
    );
    const log = await logs(`pod/${name}`, namespace);
    if (phase === 'Failed') throw new Error(`Pod ${name} failed:\n${log}`);
    return log;
  };

  async function installed(values: Values = {}): Promise<void> {
    if (!(await get('namespace', NAMESPACE))) await kubectl('create', 'namespace', NAMESPACE);
    await kubectl('label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted', '--overwrite');
    const all = JSON.stringify({ ...values, ...(await imageValues()) });
    const where = ['--namespace', NAMESPACE];
    await succeed('helm', ['upgrade', '--install', RELEASE, CHART, ...where, '--values', '-', '--reset-values'], all);
    await kubectl('rollout', 'status', `deployment/${RELEASE}`, ...where, '--timeout=300s');
  }

  async function namespace(prefix: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `${prefix}-${randomBytes(3).toString('hex')}`;
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    namespaces.push(name);
    return name;
  }

  async function trust(namespace: string): Promise<void> {
    const serving = await get<{ data: Record<string, string> }>('secret', `${RELEASE}-serving-tls`, NAMESPACE);
    const ca = Buffer.from(serving?.data['ca.crt'] ?? '', 'base64').toString();
    await apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'trust' }, data: { 'ca.crt': ca } },
      namespace,
    );
  }

  async function resolve(names: Readonly<Record<string, string>>): Promise<void> {
    const where = ['--namespace', 'kube-system'];
    const config = await get<{ data: Record<string, string> }>('configmap', 'coredns', 'kube-system');
    const lines = Object.entries(names).map(([name, address]) => `        ${address} ${name}\n`);
    const known = /\n {4}hosts \{\n((?: {8}[\d.]+ \S+\n)*) {8}fallthrough\n {4}\}/;
    const before = config?.data['Corefile'] ?? '';
    const kept = known.exec(before)?.[1] ?? '';
    const block = `\n    hosts {\n${kept}${lines.join('')}        fallthrough\n    }`;
    const corefile = known.test(before) ? before.replace(known, block) : before.replace(/^\.:53 \{/, `$&${block}`);
    const patch = JSON.stringify({ data: { Corefile: corefile } });
    await kubectl('patch', 'configmap', 'coredns', ...where, '--type=merge', '--patch', patch);
    await kubectl('rollout', 'restart', 'deployment/coredns', ...where);
    await kubectl('rollout', 'status', 'deployment/coredns', ...where, '--timeout=180s');
  }

  async function metrics(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const selector = `app.kubernetes.io/instance=${RELEASE}`;
    const names = await kubectl('get', 'pods', ...inside(NAMESPACE), '--selector', selector, '--output', 'name');
    for (const name of names
      .trim()
      .split('\n')
      .map((line) => line.replace('pod/', '')))
      found.set(name, await kubectl('get', '--raw', `/api/v1/namespaces/${NAMESPACE}/pods/${name}:8080/proxy/metrics`));
    return found;
  }

  afterAll(async () => {
    if (namespaces.length > 0) await kubectl('delete', 'namespace', '--wait=false', ...namespaces);
  });

  return {
    kind: session.kind,
    kubeconfig: session.kubeconfig,
    folder,
    env,
    kubectl,
    helm: (...args) => succeed('helm', args),
    command,
    apply,
    get,
    waitFor,
    logs,
    exec: (pod, namespace, words) => kubectl('exec', pod, '--namespace', namespace, '--', ...words),
    run,
    start,
    namespace,
    trust,
    image: async (name, packages) => (await build(name, packages)).reference,
    imageFacts: async (name) => (await build(name)).facts,
    installed,
    imageValues,
    resolve,
    audit: async () => (session.auditLog === undefined ? undefined : readAudit(session.auditLog)),
    metrics,
    measure: (what, value) => addMeasure(session.folder, what, value),
  };
}

function podOf(
  name: string,
  { image, command, env = {}, labels = {}, mounts = {}, port, spec = {} }: PodOptions,
): object {
  const paths = Object.entries(mounts);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name, ...labels } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image,
          command,
          env: Object.entries(env).map(([name, value]) => ({ name, value })),
          ...(port === undefined ? {} : { readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } }),
          volumeMounts: paths.map(([mountPath], i) => ({ name: `volume-${i}`, mountPath, readOnly: true })),
        },
      ],
      volumes: paths.map(([, from], i) => ({
        name: `volume-${i}`,
        ...('configMap' in from ? { configMap: { name: from.configMap } } : { secret: { secretName: from.secret } }),
      })),
      ...spec,
    },
  };
}
