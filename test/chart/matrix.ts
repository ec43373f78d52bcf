// Values under which the chart is rendered by more than one test.
import type { Values } from '../support/helm.ts';

const PEERS = [{ namespaceSelector: {} }];

export const MATRIX: Readonly<Record<string, Values>> = {
  defaults: {},
  namespaces: { watchNamespaces: ['payments', 'shop'], rbac: { aggregate: false } },
  least: {
    replicaCount: 1,
    crds: { enabled: false },
    rbac: { create: false },
    serviceAccount: { create: false, name: 'mine' },
    networkPolicy: { enabled: false },
    metricsService: { enabled: false },
    strategy: {},
    resources: {},
    nodeSelector: {},
  },
  full: {
    fullnameOverride: 'pki',
    commonLabels: { team: 'platform' },
    image: {
      registry: 'registry.example:5000',
      repository: 'pki/countersign',
      digest: `sha256:${'0123456789abcdef'.repeat(4)}`,
      pullPolicy: 'Always',
    },
    imagePullSecrets: [{ name: 'registry' }],
    config: {
      externalURLs: ['https://acme.corp.example', 'https://pki.countersign-system.svc'],
      distributionURL: 'http://pki.corp.example',
      trustProxy: ['10.0.0.7'],
      tls: { secretName: 'acme-corp-example-tls' },
      sealingKeys: { rotateAfter: '720h' },
      validation: { deniedNetworks: ['192.168.10.0/24'] },
      logging: { level: 'debug' },
    },
    rbac: { userRoles: false, omit: ['events'], optional: ['cert-manager', 'services', 'minted-keys', 'trust'] },
    serviceAccount: { name: 'pki-operator', annotations: { example: 'yes' } },
    replicaCount: 3,
    podDisruptionBudget: { minAvailable: '50%', unhealthyPodEvictionPolicy: '' },
    topologySpreadConstraints: [
      { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' },
    ],
    podAnnotations: { note: 'a pod' },
    podLabels: { tier: 'pki' },
    resources: { limits: { memory: '1Gi' } },
    hostUsers: false,
    affinity: { podAntiAffinity: {} },
    tolerations: [{ key: 'pki', operator: 'Exists' }],
    priorityClassName: 'system-cluster-critical',
    runtimeClassName: 'strict',
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['10.0.0.10'] },
    hostAliases: [{ ip: '10.0.0.9', hostnames: ['ca.corp.example'] }],
    extraArgs: ['--kubeconfig=/etc/other'],
    extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/etc/company/ca.crt' }],
    extraVolumes: [{ name: 'company', configMap: { name: 'company-ca' } }],
    extraVolumeMounts: [{ name: 'company', mountPath: '/etc/company' }],
    extraContainers: [
      {
        name: 'beside',
        image: 'beside:1',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
    service: {
      type: 'LoadBalancer',
      port: 8443,
      annotations: { internal: 'true' },
      spec: { loadBalancerClass: 'example.com/inner' },
    },
    distributionService: {
      type: 'NodePort',
      port: 8080,
      annotations: { public: 'true' },
      spec: { externalTrafficPolicy: 'Local' },
    },
    networkPolicy: {
      acmeFrom: PEERS,
      distributionFrom: PEERS,
      egress: {
        apiServerPorts: [16443],
        validationPorts: [80, 443, 8080],
        extra: [{ ports: [{ protocol: 'TCP', port: 9443 }] }],
      },
    },
    metricsService: { port: 9090, annotations: { metrics: 'here' } },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' }, endpoint: { honorLabels: true } },
    prometheusRule: {
      enabled: true,
      labels: { release: 'prometheus' },
      disabled: ['CountersignRefusesMost'],
      alertLabels: { team: 'pki' },
      runbookURL: 'https://docs.corp.example/runbooks.md',
    },
    dashboard: { enabled: true, annotations: { folder: 'PKI' } },
    extraObjects: [
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: '{{ .Release.Name }}-more', namespace: '{{ .Release.Namespace }}' },
        data: { a: 'b' },
      },
      'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: as-text\n',
    ],
  },
};
