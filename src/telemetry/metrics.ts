// Prometheus metrics: the only place that names them. Everything else counts through the Counter and Histogram ports.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  Counter as PrometheusCounter,
  Gauge as PrometheusGauge,
  Histogram as PrometheusHistogram,
  Registry,
} from '@prometheus-io/client';
import type { Counter, Histogram } from '../ports.ts';

export interface Metrics {
  /** Certificates issued, by issuer, its namespace (none for a ClusterCAIssuer) and door. */
  issued: Counter;
  /** Requests refused, by issuer, door and problem type. */
  refused: Counter;
  /** Judgements of policy, by verdict, stage and door. */
  decisions: Counter;
  /** Challenges validated, by challenge and outcome. */
  validations: Counter;
  /** Requesters whose namespace issuers want to know, by evidence: binding, order, pod, several, none, or differing. */
  attributions: Counter;
  /** HTTP requests, by route (never a path) and status. */
  requests: Counter;
  /** Seconds an HTTP request took, by route. */
  requestSeconds: Histogram;
  /** Nonces redeemed, by outcome. */
  nonces: Counter;
  /** Requests turned away by a rate limit, by limit. */
  rateLimited: Counter;
  /** Keys added to work queues, tried again, and the seconds they were queued and worked on, by name of the queue. */
  queues: { adds: Counter; retries: Counter; queueSeconds: Histogram; workSeconds: Histogram };
  /** Lists and watches begun by watched copies, and those that broke, by kind; the last by reason too. */
  reflectors: { lists: Counter; watches: Counter; restarts: Counter };
  /** Writes to the cluster, by kind, verb and outcome. */
  clusterWrites: Counter;
  /** Seconds a reconcile took, by controller and result. */
  reconcileSeconds: Histogram;
  /** Objects deleted by the garbage controller, by kind. */
  collected: Counter;
  /** Certificates of CAs elsewhere that were not as approved and so not released, by issuer and its namespace. */
  rejected: Counter;
  /** Certificates of CAs elsewhere beyond those released, by issuer and its namespace. */
  orphaned: Counter;
  /** Calls to CAs elsewhere, by issuer, its namespace and outcome. */
  backendCalls: Counter;
  /** How often the breaker before a CA elsewhere opened, by issuer and its namespace. */
  breakerOpened: Counter;
  /** Shows a number that is read when metrics are asked for. */
  gauge(this: void, name: GaugeName, labels: Readonly<Record<string, string>>, read: () => number): void;
  /** Shows the conditions of issuers, which are read when metrics are asked for. */
  issuerConditions(this: void, read: () => Iterable<IssuerCondition>): void;
  /** The text format of Prometheus, and its media type. */
  render(): Promise<{ contentType: string; body: string }>;
  /** Stops watching the event loop. */
  close(): void;
}

export interface IssuerCondition {
  /** Name, and namespace, none of a ClusterCAIssuer. */
  issuer: string;
  issuer_namespace: string;
  /** The member of its spec. */
  backend: string;
  type: string;
  isTrue: boolean;
}

const ISSUER = ['issuer', 'issuer_namespace'];
/** What is read when metrics are asked for: name, help and label of each. */
export const GAUGES = {
  queueDepth: ['workqueue_depth', 'Keys waiting for a worker.', 'name'],
  queueUnfinished: ['workqueue_unfinished_work_seconds', 'Seconds that the keys worked on have taken so far.', 'name'],
  queueLongest: ['workqueue_longest_running_processor_seconds', 'The longest of these.', 'name'],
  reflectorAge: ['reflector_last_contact_age_seconds', 'Seconds since the API was last heard of.', 'kind'],
  leader: ['leader', 'Whether this process holds the lease.', 'lease'],
} as const;
export type GaugeName = keyof typeof GAUGES;

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const { counter, histogram } = createFactories(registry);
  const lag = watchEventLoop(registry);
  const gauges = createGauges(registry);

  return {
    issued: counter('certificates_issued_total', 'Certificates issued.', ...ISSUER, 'door'),
    refused: counter('requests_refused_total', 'Requests for certificates refused.', ...ISSUER, 'door', 'reason'),
    decisions: counter('policy_decisions_total', 'Judgements of policy.', 'verdict', 'stage', 'door'),
    validations: counter('validations_total', 'Challenges validated.', 'challenge', 'outcome'),
    attributions: counter(
      'attributions_total',
      'Requesters of issuers that want to know their namespace, by what told it.',
      'evidence',
    ),
    requests: counter('http_requests_total', 'HTTP requests.', 'route', 'status'),
    requestSeconds: histogram('http_request_duration_seconds', 'Seconds an HTTP request took.', 'route'),
    nonces: counter('nonces_redeemed_total', 'Nonces redeemed.', 'outcome'),
    rateLimited: counter('rate_limited_total', 'Requests turned away by a rate limit.', 'limit'),
    queues: {
      adds: counter('workqueue_adds_total', 'Keys added.', 'name'),
      retries: counter('workqueue_retries_total', 'Keys tried again.', 'name'),
      queueSeconds: histogram('workqueue_queue_duration_seconds', 'Seconds a key waited for a worker.', 'name'),
      workSeconds: histogram('workqueue_work_duration_seconds', 'Seconds a key was worked on.', 'name'),
    },
    reflectors: {
      lists: counter('reflector_lists_total', 'Lists begun.', 'kind'),
      watches: counter('reflector_watches_total', 'Watches begun.', 'kind'),
      restarts: counter('reflector_restarts_total', 'Lists and watches that broke.', 'kind', 'reason'),
    },
    clusterWrites: counter('cluster_writes_total', 'Writes to the cluster.', 'kind', 'verb', 'outcome'),
    reconcileSeconds: histogram('reconcile_duration_seconds', 'Seconds a reconcile took.', 'controller', 'result'),
    collected: counter('garbage_collected_total', 'Objects deleted because their time was over.', 'kind'),
    rejected: counter('certificates_rejected_total', 'Certificates of CAs that were not as approved.', ...ISSUER),
    orphaned: counter('certificates_orphaned_total', 'Certificates of CAs beyond those released.', ...ISSUER),
    backendCalls: counter('backend_calls_total', 'Calls to CAs elsewhere.', ...ISSUER, 'outcome'),
    breakerOpened: counter('backend_breaker_opened_total', 'How often the breaker before a CA opened.', ...ISSUER),
    gauge: gauges.add,
    issuerConditions: (read) => showIssuers(registry, read),
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    close: lag.close,
  };
}

function createFactories(registry: Registry) {
  const registers = [registry];
  return {
    counter(this: void, name: string, help: string, ...labelNames: string[]): Counter {
      const metric = new PrometheusCounter<string>({ name: `countersign_${name}`, help, labelNames, registers });
      return { inc: (labels = {}, by = 1) => metric.inc(pick(labels, labelNames), by) };
    },
    histogram(this: void, name: string, help: string, ...labelNames: string[]): Histogram {
      const metric = new PrometheusHistogram<string>({
        name: `countersign_${name}`,
        help,
        labelNames,
        buckets: SECONDS,
        registers,
      });
      return { observe: (labels, value) => metric.observe(pick(labels, labelNames), value) };
    },
  };
}

/** Exactly the labels a metric has: one too many would make the library throw, one too few would make a second series. */
function pick(labels: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) picked[name] = labels[name] ?? '';
  return picked;
}

function createGauges(registry: Registry) {
  type Reader = { labels: Record<string, string>; read: () => number };
  const readers = new Map<GaugeName, Reader[]>();
  return {
    add(this: void, name: GaugeName, labels: Readonly<Record<string, string>>, read: () => number): void {
      const [metric, help, label] = GAUGES[name];
      const reader = { labels: pick(labels, [label]), read };
      const known = readers.get(name);
      if (known) return void known.push(reader);
      const mine = [reader];
      readers.set(name, mine);
      const gauge = new PrometheusGauge<string>({
        name: `countersign_${metric}`,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          for (const each of mine) this.set(each.labels, each.read());
        },
      });
      registry.registerMetric(gauge);
    },
  };
}

function showIssuers(registry: Registry, read: () => Iterable<IssuerCondition>): void {
  const gauge = new PrometheusGauge<string>({
    name: 'countersign_issuer_condition',
    help: 'Whether a condition of an issuer is True.',
    labelNames: [...ISSUER, 'backend', 'type'],
    registers: [],
    collect() {
      // Of issuers that are gone nothing stays.
      this.reset();
      for (const { isTrue, ...labels } of read()) this.set(labels, isTrue ? 1 : 0);
    },
  });
  registry.registerMetric(gauge);
}

/** How late the event loop runs, since the last scrape. */
function watchEventLoop(registry: Registry): { close: (this: void) => void } {
  const resolutionMs = 10;
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const gauge = new PrometheusGauge<string>({
    name: 'countersign_event_loop_lag_seconds',
    help: 'How late the event loop runs, since the last scrape.',
    labelNames: ['quantile'],
    registers: [],
    collect() {
      for (const quantile of [0.5, 0.99, 1]) {
        // What is measured is the time between two ticks of a timer, so a loop that is never late reads one resolution.
        this.set(
          { quantile: String(quantile) },
          Math.max(0, delay.percentile(quantile * 100) / 1e9 - resolutionMs / 1e3),
        );
      }
      delay.reset();
    },
  });
  registry.registerMetric(gauge);
  return { close: () => void delay.disable() };
}
