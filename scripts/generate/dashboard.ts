// The Grafana dashboard of the chart, from a short list of panels.

interface Panel {
  title: string;
  /** What it shows, for who hovers over it. */
  about: string;
  /** A unit of Grafana. */
  unit: string;
  /** Legend and PromQL. */
  series: readonly (readonly [string, string])[];
  stacked?: boolean;
}

interface Row {
  title: string;
  panels: readonly Panel[];
}

const IN = 'namespace=~"$namespace"';
const ISSUER = `${IN},issuer=~"$issuer"`;
const rate = (metric: string, by: string, labels = IN) =>
  `sum by (${by}) (rate(${metric}{${labels}}[$__rate_interval]))`;
/** 1 or 0. Each replica tells it. */
const condition = (type: string, labels = ISSUER) =>
  `max by (namespace, issuer, issuer_namespace, backend) (countersign_issuer_condition{${labels},type="${type}"})`;
/** Of metrics that name the issuer alone. */
const byBackend = (metric: string, by: string) =>
  `sum by (${by}) (rate(${metric}{${ISSUER}}[$__rate_interval]) * on (namespace, issuer, issuer_namespace) group_left (backend) (${condition('Ready')} >= bool 0))`;
const quantile = (of: number, metric: string, by: string, labels = IN) =>
  `histogram_quantile(${of}, ${rate(`${metric}_bucket`, `le, ${by}`, labels)})`;

const ROWS: readonly Row[] = [
  {
    title: 'Certificates',
    panels: [
      {
        title: 'Issued',
        about: 'Certificates issued, by issuer and door.',
        unit: 'ops',
        stacked: true,
        series: [['{{issuer}} {{door}}', rate('countersign_certificates_issued_total', 'issuer, door', ISSUER)]],
      },
      {
        title: 'Refused',
        about: 'Requests refused, by reason.',
        unit: 'ops',
        stacked: true,
        series: [['{{reason}}', rate('countersign_requests_refused_total', 'reason', ISSUER)]],
      },
      {
        title: 'Decisions of policy',
        about: 'Judgements, by verdict and stage.',
        unit: 'ops',
        series: [['{{verdict}} {{stage}}', rate('countersign_policy_decisions_total', 'verdict, stage')]],
      },
      {
        title: 'Validations',
        about: 'Challenges validated, by kind and outcome.',
        unit: 'ops',
        series: [
          ['{{challenge}} {{outcome}}', rate('countersign_validations_total', 'challenge, outcome')],
          ['namespace by {{evidence}}', rate('countersign_attributions_total', 'evidence')],
        ],
      },
    ],
  },
  {
    title: 'ACME server',
    panels: [
      {
        title: 'Requests',
        about: 'HTTP requests, by route.',
        unit: 'reqps',
        stacked: true,
        series: [['{{route}}', rate('countersign_http_requests_total', 'route')]],
      },
      {
        title: 'Errors',
        about: 'Answers of 4xx and 5xx, by status.',
        unit: 'reqps',
        series: [['{{status}}', rate('countersign_http_requests_total', 'status', `${IN},status=~"[45].."`)]],
      },
      {
        title: 'Time of requests',
        about: 'The slowest tenth begins here, by route. Finalize waits for the certificate.',
        unit: 's',
        series: [['{{route}}', quantile(0.9, 'countersign_http_request_duration_seconds', 'route')]],
      },
      {
        title: 'Nonces and limits',
        about: 'Nonces by outcome, and requests turned away by a limit.',
        unit: 'ops',
        series: [
          ['nonce {{outcome}}', rate('countersign_nonces_redeemed_total', 'outcome')],
          ['limit {{limit}}', rate('countersign_rate_limited_total', 'limit')],
        ],
      },
    ],
  },
  {
    title: 'Issuers and their CAs',
    panels: [
      {
        title: 'Ready',
        about: 'Whether each issuer is ready, with the backend that it signs by.',
        unit: 'short',
        series: [['{{backend}} {{issuer}}', condition('Ready')]],
      },
      {
        title: 'CA reachable',
        about: 'Whether the CA of each issuer answers.',
        unit: 'short',
        series: [['{{backend}} {{issuer}}', condition('BackendReachable')]],
      },
      {
        title: 'Issued by backend',
        about: 'Certificates issued, by what signed them.',
        unit: 'ops',
        stacked: true,
        series: [['{{backend}}', byBackend('countersign_certificates_issued_total', 'backend')]],
      },
      {
        title: 'Calls by backend',
        about: 'Calls to CAs elsewhere, by backend and outcome.',
        unit: 'ops',
        series: [['{{backend}} {{outcome}}', byBackend('countersign_backend_calls_total', 'backend, outcome')]],
      },
      {
        title: 'Calls by issuer',
        about: 'Calls to CAs elsewhere, by issuer and outcome.',
        unit: 'ops',
        series: [['{{issuer}} {{outcome}}', rate('countersign_backend_calls_total', 'issuer, outcome', ISSUER)]],
      },
      {
        title: 'Breakers, rejected, orphaned',
        about: 'How often breakers opened; certificates that were not as approved, and that were one too many.',
        unit: 'short',
        series: [
          ['{{issuer}} opened', `sum by (issuer) (increase(countersign_backend_breaker_opened_total{${ISSUER}}[1h]))`],
          ['{{issuer}} rejected', `sum by (issuer) (increase(countersign_certificates_rejected_total{${ISSUER}}[1h]))`],
          ['{{issuer}} orphaned', `sum by (issuer) (increase(countersign_certificates_orphaned_total{${ISSUER}}[1h]))`],
        ],
      },
    ],
  },
  {
    title: 'Controllers',
    panels: [
      {
        title: 'Leads',
        about: 'Which replica leads: one at a time.',
        unit: 'short',
        series: [['{{pod}}', `countersign_leader{${IN}}`]],
      },
      {
        title: 'Reconciles',
        about: 'By controller and result.',
        unit: 'ops',
        series: [
          ['{{controller}} {{result}}', rate('countersign_reconcile_duration_seconds_count', 'controller, result')],
        ],
      },
      {
        title: 'Queues',
        about: 'Objects that wait.',
        unit: 'short',
        series: [['{{name}}', `max by (name) (countersign_workqueue_depth{${IN}})`]],
      },
      {
        title: 'Waiting and working',
        about: 'The slowest tenth begins here, by controller.',
        unit: 's',
        series: [
          ['{{name}} waits', quantile(0.9, 'countersign_workqueue_queue_duration_seconds', 'name')],
          ['{{name}} works', quantile(0.9, 'countersign_workqueue_work_duration_seconds', 'name')],
        ],
      },
      {
        title: 'Tried again, collected',
        about: 'Objects worked on again after a failure, and objects deleted because their time was over.',
        unit: 'ops',
        series: [
          ['{{name}} again', rate('countersign_workqueue_retries_total', 'name')],
          ['{{kind}} collected', rate('countersign_garbage_collected_total', 'kind')],
        ],
      },
      {
        title: 'Longest under way',
        about: 'How long the oldest object has been worked on.',
        unit: 's',
        series: [['{{name}}', `max by (name) (countersign_workqueue_longest_running_processor_seconds{${IN}})`]],
      },
    ],
  },
  {
    title: 'Kubernetes API',
    panels: [
      {
        title: 'Writes',
        about: 'By kind and outcome.',
        unit: 'ops',
        series: [['{{kind}} {{verb}} {{outcome}}', rate('countersign_cluster_writes_total', 'kind, verb, outcome')]],
      },
      {
        title: 'Last heard of',
        about: 'How long ago a replica heard of each kind.',
        unit: 's',
        series: [['{{kind}}', `max by (kind) (countersign_reflector_last_contact_age_seconds{${IN}})`]],
      },
      {
        title: 'Lists and watches',
        about: 'Begun, and broken by reason.',
        unit: 'ops',
        series: [
          ['lists', `sum (rate(countersign_reflector_lists_total{${IN}}[$__rate_interval]))`],
          ['watches', `sum (rate(countersign_reflector_watches_total{${IN}}[$__rate_interval]))`],
          ['broken: {{reason}}', rate('countersign_reflector_restarts_total', 'reason')],
        ],
      },
      {
        title: 'Event loop',
        about: 'How late it runs.',
        unit: 's',
        series: [['{{pod}} p{{quantile}}', `countersign_event_loop_lag_seconds{${IN},quantile!="0.5"}`]],
      },
    ],
  },
];

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const COLUMNS = 2;
const [WIDTH, HEIGHT] = [24 / COLUMNS, 8];

export function renderDashboard(): string {
  const dashboard = {
    title: 'Countersign',
    uid: 'countersign',
    tags: ['countersign'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: '1m',
    time: { from: 'now-6h', to: 'now' },
    timezone: '',
    templating: { list: [datasource(), variable('namespace', 'countersign_leader'), variable('issuer', ISSUERS)] },
    panels: laidOut(),
  };
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}

const ISSUERS = 'countersign_issuer_condition{namespace=~"$namespace"}';

function datasource(): object {
  return { name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Data source' };
}

function variable(label: string, metric: string): object {
  return {
    name: label,
    type: 'query',
    datasource: DATASOURCE,
    definition: `label_values(${metric}, ${label})`,
    query: { query: `label_values(${metric}, ${label})`, refId: label },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  };
}

function laidOut(): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const row of ROWS) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      gridPos: { x: 0, y: y++, w: 24, h: 1 },
      panels: [],
    });
    for (const [index, panel] of row.panels.entries()) {
      const [x, line] = [(index % COLUMNS) * WIDTH, Math.floor(index / COLUMNS)];
      panels.push({
        id: panels.length + 1,
        ...timeSeries(panel),
        gridPos: { x, y: y + line * HEIGHT, w: WIDTH, h: HEIGHT },
      });
    }
    y += Math.ceil(row.panels.length / COLUMNS) * HEIGHT;
  }
  return panels;
}

function timeSeries({ title, about, unit, series, stacked = false }: Panel): object {
  return {
    type: 'timeseries',
    title,
    description: about,
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        custom: { fillOpacity: stacked ? 20 : 0, stacking: { mode: stacked ? 'normal' : 'none', group: 'A' } },
      },
      overrides: [],
    },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: series.map(([legendFormat, expr], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: DATASOURCE,
      expr,
      legendFormat,
    })),
  };
}
