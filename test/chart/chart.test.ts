// The chart as Helm renders it: what it gives for values, that it refuses what it does not know, that it says what the program says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { installationManifests } from '../../scripts/generate/deploy.ts';
import { readValues } from '../../scripts/generate/chart-values.ts';
import { usernameOf } from '../../scripts/generate/manifest.ts';
import { parseConfig } from '../../src/config.ts';
import {
  CHART,
  describeWithHelm,
  helm,
  idOf,
  NAMESPACE,
  RELEASE,
  type Rendered,
  template,
  templateText,
  the,
  type Values,
} from '../support/helm.ts';
import { MATRIX } from './matrix.ts';

const ROOT = join(CHART, '../..');
const values = readValues(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
const offered = values.sections.flatMap((section) => section.values);

describeWithHelm('chart', () => {
  for (const [name, given] of Object.entries(MATRIX)) {
    test(`with values "${name}" it renders as it did`, async () => {
      const objects = template(given).filter(byHand);
      const usual = new Map(
        template()
          .filter(byHand)
          .map((each) => [idOf(each), stringify(each)]),
      );
      const changed = objects.filter((each) => name === 'defaults' || usual.get(idOf(each)) !== stringify(each));
      const there = new Set(objects.map(idOf));
      const gone = [...usual.keys()].filter((id) => !there.has(id)).map((id) => `# without ${id}\n`);
      const text = changed.map((each) => stringify(shortened(each), { lineWidth: 0 })).join('---\n');
      await expect(`${gone.join('')}${text}`).toMatchFileSnapshot(`golden/${name}.yaml`);
    });

    test(`with values "${name}" all objects have the labels of the release, and names of their own`, () => {
      const objects = template(given).filter(({ metadata }) => !/-more$|^as-text$/.test(metadata.name));
      expect(new Set(objects.map(idOf)).size).toBe(objects.length);
      for (const object of objects) {
        expect(object.metadata.labels, idOf(object)).toMatchObject({
          'app.kubernetes.io/name': 'countersign',
          'app.kubernetes.io/instance': RELEASE,
          'app.kubernetes.io/managed-by': 'Helm',
          'helm.sh/chart': expect.stringMatching(/^countersign-\d+\.\d+\.\d+$/),
          ...(name === 'full' ? { team: 'platform' } : {}),
        });
      }
    });
  }

  // ---- Values -------------------------------------------------------------------------------------------------------

  /** Two outcomes for every value there is. */
  const OTHERS: Readonly<Record<string, { value: unknown; beside?: Values }>> = {
    'image.registry': { value: 'registry.example' },
    'image.repository': { value: 'other' },
    'image.tag': { value: '9.9.9' },
    'image.digest': { value: `sha256:${'ab'.repeat(32)}` },
    'image.pullPolicy': { value: 'Always' },
    imagePullSecrets: { value: [{ name: 'a' }] },
    nameOverride: { value: 'other' },
    fullnameOverride: { value: 'other' },
    commonLabels: { value: { a: 'b' } },
    config: { value: { logging: { level: 'debug' } } },
    watchNamespaces: { value: ['a'] },
    'crds.enabled': { value: false },
    'crds.keep': { value: false },
    'rbac.create': { value: false },
    'rbac.omit': { value: ['events'] },
    'caBundleJob.enabled': { value: true, beside: { caBundleJob: { clusterIssuers: ['corporate'] } } },
    'caBundleJob.clusterIssuers': { value: ['corporate'], beside: { caBundleJob: { enabled: true } } },
    'caBundleJob.timeoutSeconds': {
      value: 60,
      beside: { caBundleJob: { enabled: true, clusterIssuers: ['corporate'] } },
    },
    'rbac.optional': { value: ['cert-manager'] },
    'rbac.userRoles': { value: false },
    'rbac.aggregate': { value: false },
    'serviceAccount.create': { value: false, beside: { serviceAccount: { name: 'a' } } },
    'serviceAccount.name': { value: 'a' },
    'serviceAccount.annotations': { value: { a: 'b' } },
    replicaCount: { value: 3 },
    strategy: { value: { rollingUpdate: { maxSurge: 2 } } },
    revisionHistoryLimit: { value: 1 },
    'podDisruptionBudget.enabled': { value: false },
    'podDisruptionBudget.minAvailable': { value: 1 },
    'podDisruptionBudget.maxUnavailable': { value: '50%' },
    'podDisruptionBudget.unhealthyPodEvictionPolicy': { value: '' },
    topologySpreadConstraints: { value: [{ topologyKey: 'zone', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }] },
    podAnnotations: { value: { a: 'b' } },
    podLabels: { value: { a: 'b' } },
    resources: { value: { limits: { memory: '1Gi' } } },
    podSecurityContext: { value: { fsGroup: 1 } },
    securityContext: { value: { runAsUser: 1 } },
    hostUsers: { value: false },
    terminationGracePeriodSeconds: { value: 60 },
    livenessProbe: { value: { periodSeconds: 11 } },
    readinessProbe: { value: { periodSeconds: 11 } },
    startupProbe: { value: { periodSeconds: 11 } },
    nodeSelector: { value: { a: 'b' } },
    affinity: { value: { nodeAffinity: {} } },
    tolerations: { value: [{ operator: 'Exists' }] },
    priorityClassName: { value: 'a' },
    runtimeClassName: { value: 'a' },
    dnsPolicy: { value: 'Default' },
    dnsConfig: { value: { searches: ['a'] } },
    hostAliases: { value: [{ ip: '10.0.0.1', hostnames: ['a'] }] },
    extraArgs: { value: ['--help'] },
    extraEnv: { value: [{ name: 'A', value: 'b' }] },
    extraVolumes: { value: [{ name: 'a', emptyDir: {} }] },
    extraVolumeMounts: { value: [{ name: 'a', mountPath: '/a' }] },
    extraContainers: { value: [{ name: 'a', image: 'a' }] },
    'service.type': { value: 'NodePort' },
    'service.port': { value: 8443 },
    'service.annotations': { value: { a: 'b' } },
    'service.spec': { value: { loadBalancerClass: 'a/b' } },
    'distributionService.type': { value: 'NodePort' },
    'distributionService.port': { value: 8080 },
    'distributionService.annotations': { value: { a: 'b' } },
    'distributionService.spec': { value: { ipFamilyPolicy: 'SingleStack' } },
    'networkPolicy.enabled': { value: false },
    'networkPolicy.acmeFrom': { value: [{ namespaceSelector: {} }] },
    'networkPolicy.distributionFrom': { value: [{ namespaceSelector: {} }] },
    'networkPolicy.egress.enabled': { value: false },
    'networkPolicy.egress.apiServerPorts': { value: [16443] },
    'networkPolicy.egress.validationPorts': { value: [80, 8080] },
    'networkPolicy.egress.extra': { value: [{ ports: [{ port: 1 }] }] },
    'metricsService.enabled': { value: false },
    'metricsService.port': { value: 1 },
    'metricsService.annotations': { value: { a: 'b' } },
    'serviceMonitor.enabled': { value: true },
    'serviceMonitor.labels': { value: { a: 'b' }, beside: { serviceMonitor: { enabled: true } } },
    'serviceMonitor.interval': { value: '1s', beside: { serviceMonitor: { enabled: true } } },
    'serviceMonitor.scrapeTimeout': { value: '1s', beside: { serviceMonitor: { enabled: true } } },
    'serviceMonitor.endpoint': { value: { honorLabels: true }, beside: { serviceMonitor: { enabled: true } } },
    'prometheusRule.enabled': { value: true },
    'prometheusRule.labels': { value: { a: 'b' }, beside: { prometheusRule: { enabled: true } } },
    'prometheusRule.disabled': { value: ['CountersignDown'], beside: { prometheusRule: { enabled: true } } },
    'prometheusRule.alertLabels': { value: { a: 'b' }, beside: { prometheusRule: { enabled: true } } },
    'prometheusRule.runbookURL': { value: 'https://a', beside: { prometheusRule: { enabled: true } } },
    'dashboard.enabled': { value: true },
    'dashboard.labels': { value: { a: 'b' }, beside: { dashboard: { enabled: true } } },
    'dashboard.annotations': { value: { a: 'b' }, beside: { dashboard: { enabled: true } } },
    extraObjects: { value: ['kind: A\nmetadata: {name: a}'] },
  };
  /** For charts around this one. */
  const UNREAD = ['enabled', 'global'];

  test('no value is without an effect', () => {
    expect(Object.keys(OTHERS).toSorted()).toEqual(
      offered
        .map(({ path }) => path)
        .filter((path) => !UNREAD.includes(path))
        .toSorted(),
    );
    const usual = new Map<string, string>();
    for (const [path, { value, beside = {} }] of Object.entries(OTHERS)) {
      const key = JSON.stringify(beside);
      const before = usual.get(key) ?? templateText(beside);
      usual.set(key, before);
      expect(templateText(withValue(beside, path, value)) === before, path).toBe(false);
    }
  }, 240_000);

  test('what is not known is refused, wherever it stands, and so are values of another type', () => {
    const closed = ['', ...closedObjects(values.schema)];
    expect(closed).toEqual(expect.arrayContaining(['image', 'networkPolicy.egress', 'config', 'config.tls', 'rbac']));
    for (const path of closed) {
      const key = path === '' ? 'unknown' : `${path}.unknown`;
      expect(() => template(withValue({}, key, 'x')), key).toThrow(/additional properties 'unknown' not allowed/);
    }
    for (const [path, wrong] of Object.entries({
      replicaCount: 'two',
      'image.digest': 'latest',
      'image.pullPolicy': 'Sometimes',
      'rbac.omit': ['everything'],
      watchNamespaces: ['Payments'],
      'prometheusRule.disabled': ['Unheard'],
      'config.logging.level': 'loud',
      'config.externalURLs': ['http://acme.example'],
      'service.port': 0,
    }))
      expect(() => template(withValue({}, path, wrong)), path).toThrow(/don't meet the specifications/);
  });

  test('what the chart sets itself cannot be set in the configuration', () => {
    for (const path of ['namespace', 'watchNamespaces', 'service', 'listen', 'leaderElection'])
      expect(() => template({ config: { [path]: {} } }), path).toThrow(`additional properties '${path}' not allowed`);
  });

  test('what no schema can say is refused by a sentence', () => {
    const refused =
      (given: Values, namespace = NAMESPACE) =>
      () =>
        template(given, { namespace });
    expect(refused({}, 'default')).toThrow('install it into one of its own, not into default');
    expect(refused({ watchNamespaces: [NAMESPACE] })).toThrow('is the namespace of the operator itself');
    expect(refused({ podDisruptionBudget: { minAvailable: 1, maxUnavailable: 1 } })).toThrow('cannot both be given');
    expect(refused({ serviceAccount: { create: false } })).toThrow('serviceAccount.name is needed');
    expect(refused({ metricsService: { enabled: false }, serviceMonitor: { enabled: true } })).toThrow(
      'needs metricsService',
    );
  });

  // ---- What the program says ----------------------------------------------------------------------------------------

  test('the CustomResourceDefinitions are those of crds/, and stay unless told otherwise', () => {
    const wanted = readdirSync(join(ROOT, 'crds')).map(
      (file) => parse(readFileSync(join(ROOT, 'crds', file), 'utf8')) as Rendered,
    );
    for (const keep of [true, false]) {
      const found = template({ crds: { keep } }).filter(({ kind }) => kind === 'CustomResourceDefinition');
      for (const { metadata } of found)
        expect(metadata.annotations).toEqual(keep ? { 'helm.sh/resource-policy': 'keep' } : undefined);
      expect(byId(found.map((each) => ({ ...each, metadata: { name: each.metadata.name } })))).toEqual(byId(wanted));
    }
  });

  test.each([
    [RELEASE, undefined],
    [RELEASE, ['payments', 'shop']],
    ['pki', ['payments']],
  ])(
    'rights and the admission policy are those that are generated, for the name %s and served namespaces %s',
    (name, tenants) => {
      const installation = { name, namespace: NAMESPACE };
      const wanted = installationManifests(installation, tenants).filter(
        ({ kind }) => kind !== 'Namespace' && kind !== 'ServiceAccount',
      );
      const kinds = new Set(wanted.map(({ kind }) => kind));
      const values = { fullnameOverride: name, ...(tenants ? { watchNamespaces: tenants } : {}) };
      const found = template(values).filter(({ kind }) => kinds.has(kind));
      expect(byId(found)).toEqual(byId(wanted));
    },
  );

  test('for a ServiceAccount of another name, bindings and admission policy are for that', () => {
    const objects = template({ serviceAccount: { create: false, name: 'mine' } });
    const bindings = objects.filter(({ kind }) => kind.endsWith('RoleBinding'));
    expect(bindings.length).toBeGreaterThan(10);
    for (const { subjects } of bindings)
      expect(subjects).toEqual([{ kind: 'ServiceAccount', name: 'mine', namespace: NAMESPACE }]);
    const policy = JSON.stringify(the(objects, 'ValidatingAdmissionPolicy'));
    expect(policy).toContain(usernameOf({ name: 'mine', namespace: NAMESPACE }));
    expect(policy).not.toContain(usernameOf({ name: RELEASE, namespace: NAMESPACE }));
  });

  test('the configuration is one that the program takes, with what the chart knows better', () => {
    for (const [name, given] of Object.entries(MATRIX)) {
      const { data } = the(template(given), 'ConfigMap', name === 'full' ? 'pki' : RELEASE) as unknown as {
        data: Record<string, string>;
      };
      const config = parseConfig(data['config.yaml'] ?? '', undefined);
      expect(config.namespace).toBe(NAMESPACE);
      expect(config.serviceName).toBe(name === 'full' ? 'pki' : RELEASE);
      expect(config.listen).toEqual({ address: undefined, acme: 8443, distribution: 8080, peers: 8444 });
      expect(config.watchNamespaces).toEqual(given['watchNamespaces']);
      expect(config.externalURLs[0]).toBe(
        name === 'full' ? 'https://acme.corp.example' : `https://${RELEASE}.${NAMESPACE}.svc`,
      );
    }
    const moved = { service: { port: 8443 }, distributionService: { port: 8080 } };
    const { data } = the(template(moved), 'ConfigMap') as unknown as { data: Record<string, string> };
    expect(parseConfig(data['config.yaml'] ?? '', undefined)).toMatchObject({
      externalURLs: [`https://${RELEASE}.${NAMESPACE}.svc:8443`],
      distributionURL: `http://${RELEASE}-distribution.${NAMESPACE}.svc:8080`,
    });
  });

  test('a change of the configuration makes new Pods', () => {
    const sum = (given: Values) => {
      const { spec } = the(template(given), 'Deployment') as unknown as {
        spec: { template: { metadata: { annotations: object } } };
      };
      return spec.template.metadata.annotations;
    };
    expect(sum({ config: { logging: { level: 'debug' } } })).not.toEqual(sum({}));
    expect(sum({ replicaCount: 5 })).toEqual(sum({}));
  });

  test('Services, probes and NetworkPolicies speak of the ports on which the program listens', () => {
    const objects = template();
    const { spec } = the(objects, 'Deployment') as unknown as {
      spec: { template: { spec: { containers: { ports: { name: string; containerPort: number }[] }[] } } };
    };
    const ports = Object.fromEntries(
      (spec.template.spec.containers[0]?.ports ?? []).map(({ name, containerPort }) => [name, containerPort]),
    );
    const { listen } = parseConfig('', NAMESPACE);
    expect(ports).toEqual({ https: listen.acme, http: listen.distribution, peers: listen.peers });
    const targets = objects
      .filter(({ kind }) => kind === 'Service')
      .map((each) => [each.metadata.name, (each as unknown as { spec: { ports: object[] } }).spec.ports]);
    expect(targets).toEqual([
      [RELEASE, [{ name: 'https', port: 443, targetPort: 'https' }]],
      [`${RELEASE}-distribution`, [{ name: 'http', port: 80, targetPort: 'http' }]],
      [`${RELEASE}-metrics`, [{ name: 'http-metrics', port: 9402, targetPort: 'http' }]],
    ]);
    const policies = JSON.stringify(objects.filter(({ kind }) => kind === 'NetworkPolicy'));
    for (const port of ['"https"', '"http"', '"peers"', String(listen.peers)])
      expect(policies).toContain(`"port":${port}`);
  });

  test('the notes name the next step, and URL and trust as they are', () => {
    const notes = (given: Values) =>
      helm(
        ['install', RELEASE, CHART, '--namespace', NAMESPACE, '--dry-run=client', '--values', '-', '--output', 'json'],
        JSON.stringify(given),
      );
    const usual = (JSON.parse(notes({})) as { info: { notes: string } }).info.notes;
    expect(usual).toContain(`kubectl --namespace ${NAMESPACE} rollout status deployment/${RELEASE}`);
    expect(usual).toContain(`https://${RELEASE}.${NAMESPACE}.svc/acme/corporate/directory`);
    expect(usual).toContain('kind: ClusterCAIssuer');
    expect(usual).toContain(`{{index .data "ca.crt" | base64decode}}`);
    const full = (JSON.parse(notes(MATRIX['full'] ?? {})) as { info: { notes: string } }).info.notes;
    expect(full).toContain('https://acme.corp.example/acme/corporate/directory');
    expect(full).not.toContain('ca.crt');
  });

  test('helm lint finds nothing', () => {
    for (const [name, given] of Object.entries(MATRIX)) {
      const said = helm(['lint', CHART, '--strict', '--namespace', NAMESPACE, '--values', '-'], JSON.stringify(given));
      expect(said, name).toContain('1 chart(s) linted, 0 chart(s) failed');
      expect(said, name).not.toMatch(/\[(WARNING|ERROR)\]/);
    }
  });
});

/** What is generated is held to what it is generated from, below. */
function byHand({ kind }: Rendered): boolean {
  return !/^(CustomResourceDefinition|(Cluster)?Role(Binding)?|ValidatingAdmissionPolicy(Binding)?)$/.test(kind);
}

/** One rule for all, and no dashboard. */
function shortened(object: Rendered): object {
  if (object.kind === 'PrometheusRule') {
    const { groups } = object['spec'] as { groups: { name: string; rules: object[] }[] };
    return { ...object, spec: { groups: groups.map((group) => ({ ...group, rules: group.rules.slice(0, 1) })) } };
  }
  return object.metadata.name.endsWith('-dashboard') ? { ...object, data: '(a dashboard)' } : object;
}

/** Whatever the order, without labels but those that make a role a part of others. */
function byId(objects: readonly object[]): object {
  const plain = (objects as Rendered[]).map((each) => {
    const { labels = {}, ...metadata } = each.metadata;
    const joins = Object.entries(labels).filter(([name]) => name.includes('/aggregate-to-'));
    return [idOf(each), { ...each, metadata: { ...metadata, labels: Object.fromEntries(joins) } }] as const;
  });
  return Object.fromEntries(plain.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function withValue(given: Values, path: string, value: unknown): Values {
  const [step = '', ...rest] = path.split('.');
  const below = (given[step] ?? {}) as Values;
  return { ...given, [step]: rest.length === 0 ? value : withValue(below, rest.join('.'), value) };
}

interface Node {
  properties?: Record<string, Node>;
  additionalProperties?: unknown;
}

function closedObjects(node: Node, prefix = ''): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return [...(child.additionalProperties === false ? [path] : []), ...closedObjects(child, path)];
  });
}
