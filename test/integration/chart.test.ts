// The chart on a real API server: what it renders is accepted, the program runs under what it installs, upgrades keep all objects,
// and uninstalling keeps what must stay.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ALERTS } from '../../scripts/generate/alerts.ts';
import { renderDashboard } from '../../scripts/generate/dashboard.ts';
import { MATRIX } from '../chart/matrix.ts';
import { type ApiReply, APPLY_PATCH } from '../support/api-client.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { freePort } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import {
  CHART,
  chartAt,
  helm,
  helmProgram,
  idOf,
  NAMESPACE,
  parsed,
  RELEASE,
  type Rendered,
  template,
  the,
} from '../support/helm.ts';
import { cacheFolder, isExecutable } from '../support/kubernetes-programs.ts';
import { startServe } from '../support/serve.ts';

interface Resources {
  resources: { name: string; kind: string; namespaced: boolean }[];
}

interface Stored {
  metadata: { uid: string; annotations?: Record<string, string> };
}

const CRDS_OF_OTHERS = join(cacheFolder(), '../prometheus-operator-crds');
/** The commit before: what was landed last when this one is. */
const PREVIOUS = process.env['PREVIOUS_CHART'] ?? 'HEAD^';

describeOnApiServer('the chart on an API server', (plane) => {
  if (!isExecutable(helmProgram())) {
    const missing = 'helm missing (node scripts/build-tools.ts helm)';
    test.skipIf(process.env['COUNTERSIGN_REQUIRE'] !== 'all')(missing, () => {
      throw new Error(missing);
    });
    return;
  }

  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-chart-'));
    const { api } = plane();
    // describeOnApiServer has applied crds/: here they come with the chart.
    for (const { metadata } of template().filter(({ kind }) => kind === 'CustomResourceDefinition')) {
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`;
      await api.expect('DELETE', path);
      await eventually(`${metadata.name} is gone`, async () =>
        (await api.request('GET', path)).status === 404 ? true : undefined,
      );
    }
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await api.expect('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE, labels } });
    for (const name of ['payments', 'shop']) await api.expect('POST', '/api/v1/namespaces', { metadata: { name } });
    for (const kind of ['prometheusrules', 'servicemonitors']) {
      const file = join(CRDS_OF_OTHERS, `monitoring.coreos.com_${kind}.yaml`);
      const crd = parse(readFileSync(file, 'utf8')) as Rendered;
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd.metadata.name}`;
      await api.expect('PATCH', `${path}?fieldManager=test&force=true`, crd, APPLY_PATCH);
      await eventually(`${kind} are served`, async () =>
        (await api.request('GET', `/apis/monitoring.coreos.com/v1/${kind}`)).status === 200 ? true : undefined,
      );
    }
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const groups = new Map<string, Resources['resources']>();

  async function pathOf({ apiVersion, kind, metadata }: Rendered): Promise<string> {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const known = groups.get(root) ?? (await plane().api.expect<Resources>('GET', root)).resources;
    groups.set(root, known);
    const resource = known.find((each) => each.kind === kind && !each.name.includes('/'));
    if (!resource) throw new Error(`the API server does not know ${apiVersion} ${kind}`);
    const place = resource.namespaced ? `/namespaces/${metadata.namespace ?? NAMESPACE}` : '';
    return `${root}${place}/${resource.name}/${metadata.name}`;
  }

  function runHelm(...args: string[]): string {
    return helm([...args, '--namespace', NAMESPACE, '--kubeconfig', plane().adminKubeconfig]);
  }

  const manifest = () => parsed(runHelm('get', 'manifest', RELEASE));

  async function stored(object: Rendered): Promise<ApiReply<Stored>> {
    return plane().api.request<Stored>('GET', await pathOf(object));
  }

  /** By what they are, where they are there. */
  async function uids(objects: readonly Rendered[]): Promise<Record<string, string | undefined>> {
    const replies = await Promise.all(
      objects.map(async (object) => {
        const { status, body } = await stored(object);
        return [idOf(object), status === 200 ? body.metadata.uid : undefined] as const;
      }),
    );
    return Object.fromEntries(replies);
  }

  test('an upgrade from the chart at the last landed commit keeps every object', async () => {
    const previous = chartAt(PREVIOUS, folder);
    // The first chart to land has none before it.
    if (previous === undefined) console.log(`chart at ${PREVIOUS}: none`);
    const before = previous ?? CHART;
    runHelm('install', RELEASE, before);
    const objects = manifest();
    expect(objects.length).toBeGreaterThan(30);
    const first = await uids(objects);
    expect(Object.entries(first).filter(([, uid]) => uid === undefined)).toEqual([]);
    runHelm('upgrade', RELEASE, CHART);
    expect(await uids(objects)).toEqual(first);
    const now = await uids(manifest());
    expect(Object.entries(now).filter(([, uid]) => uid === undefined)).toEqual([]);
    expect(manifest().map(idOf).toSorted()).toEqual(template().map(idOf).toSorted());
  });

  for (const [name, values] of Object.entries(MATRIX)) {
    test(`with values "${name}" everything is accepted, no field unknown`, async () => {
      const objects = template(values);
      expect(objects.length).toBeGreaterThan(3);
      for (const object of objects) {
        const query = 'dryRun=All&fieldValidation=Strict&fieldManager=test&force=true';
        const { status, body } = await plane().api.request(
          'PATCH',
          `${await pathOf(object)}?${query}`,
          object,
          APPLY_PATCH,
        );
        expect([idOf(object), status, status < 300 ? '' : body]).toEqual([
          idOf(object),
          expect.toBeOneOf([200, 201]),
          '',
        ]);
      }
    });

    test(`with values "${name}" its Pods are admitted where the Pod Security Standard is "restricted"`, async () => {
      const deployment = the(template(values), 'Deployment') as unknown as {
        spec: { template: { metadata: object; spec: Record<string, unknown> } };
      };
      const { metadata, spec } = deployment.spec.template;
      // Neither these classes nor that account is here.
      const { runtimeClassName: _class, priorityClassName: _priority, ...rest } = spec;
      const account = { ...rest, serviceAccountName: RELEASE };
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'one' }, spec: account };
      const pods = `/api/v1/namespaces/${NAMESPACE}/pods?dryRun=All`;
      const { status, body } = await plane().api.request('POST', pods, pod);
      expect([status, status < 300 ? '' : body]).toEqual([201, '']);
      const root = { ...pod, spec: { ...account, securityContext: {} } };
      expect((await plane().api.request('POST', pods, root)).status).toBe(403);
    });
  }

  test('the program becomes ready with the configuration and the rights that it installs, and tells every metric of its alerts and dashboard', async () => {
    const map = the(manifest(), 'ConfigMap') as unknown as { data: Record<string, string> };
    const given = parse(map.data['config.yaml'] ?? '') as Record<string, unknown>;
    const token = await plane().serviceAccountToken(NAMESPACE, RELEASE);
    const [acme, distribution, peers] = await Promise.all([freePort(), freePort(), freePort()]);
    const listen = { address: '127.0.0.1', acme, distribution, peers };
    const kubeconfig = await plane().kubeconfigFor(token);
    // On this machine the ports of a Pod may be taken.
    const serve = await startServe({ plane: plane(), kubeconfig, config: { ...given, listen }, name: 'chart' });
    try {
      const [, origin] = await serve.waitFor(/^ready directory=(\S+)$/m);
      expect(origin).toBe(`https://${RELEASE}.${NAMESPACE}.svc`);
      const at = `http://127.0.0.1:${distribution}`;
      const deployment = the(manifest(), 'Deployment') as unknown as {
        spec: { template: { spec: { containers: Record<string, { httpGet: { path: string } }>[] } } };
      };
      const [container] = deployment.spec.template.spec.containers;
      for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
        expect((await fetch(`${at}${container?.[probe]?.httpGet.path}`)).status, probe).toBe(200);
      const scrape = await (await fetch(`${at}/metrics`)).text();
      const told = [...scrape.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
      );
      const wanted = `${JSON.stringify(ALERTS)} ${renderDashboard()}`.matchAll(/countersign_\w+/g);
      expect([...new Set([...wanted].map(([name]) => name))].filter((name) => !told.includes(name))).toEqual([]);
      await eventually('it leads', async () =>
        /^countersign_leader\{lease="countersign-leader"\} 1$/m.test(await (await fetch(`${at}/metrics`)).text())
          ? true
          : undefined,
      );
    } finally {
      await serve.stop();
    }
    const own = `system:serviceaccount:${NAMESPACE}:${RELEASE}`;
    const denied = (await plane().audit()).filter(
      ({ user, responseStatus }) => user.username === own && responseStatus?.code === 403,
    );
    expect(denied.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
  });

  test('uninstalled, it leaves the kinds and the objects of its users, and installs again upon them', async () => {
    const policies = '/apis/countersign.dev/v1alpha1/certificaterequestpolicies';
    await plane().api.expect('POST', policies, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'kept' },
      spec: { selector: {}, allowed: { dnsNames: { values: ['**.test'] } } },
    });
    const objects = manifest();
    const crds = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
    const before = await uids(crds);
    runHelm('uninstall', RELEASE);
    const after = await uids(objects);
    expect(Object.entries(after).filter(([, uid]) => uid !== undefined)).toEqual(Object.entries(before));
    expect(crds).toHaveLength(7);
    expect((await plane().api.request('GET', `${policies}/kept`)).status).toBe(200);
    runHelm('install', RELEASE, CHART);
    expect(await uids(crds)).toEqual(before);
    expect((await plane().api.request('GET', `${policies}/kept`)).status).toBe(200);
  });
});
