// Alerts: the rules of the chart's PrometheusRule and the runbook that says what to do, from one list.

export interface Alert {
  name: string;
  severity: 'critical' | 'warning' | 'info';
  expr: string;
  /** How long it must hold. */
  for: string;
  /** One line; `{{ $labels.x }}` stands for a label. */
  summary: string;
  means: string;
  /** What to look at and do, in order. */
  steps: readonly string[];
}

const KUBECTL_LOGS = '`kubectl -n countersign-system logs deployment/countersign --all-pods`';

export const ALERTS: readonly Alert[] = [
  {
    name: 'CountersignDown',
    severity: 'critical',
    expr: 'absent(countersign_leader)',
    for: '5m',
    summary: 'No replica of Countersign tells its metrics.',
    means:
      'Prometheus reaches no replica, or there is none. If there is none, no certificate is issued and none renewed; those that are out stay good, and CRLs are not served.',
    steps: [
      '`kubectl -n countersign-system get pods`: if Pods run and are ready, the scrape is at fault: NetworkPolicy, `metricsService`, labels of the ServiceMonitor.',
      'If none is there: `kubectl -n countersign-system describe deployment countersign` and the Events of its ReplicaSet (image, quota, admission).',
      `If they restart: ${KUBECTL_LOGS} and \`--previous\`. Exit code 2 is the configuration: \`countersign check --config\`.`,
      'If they run and are not ready: they wait for the API server, a right or a serving certificate, and say which in the log.',
    ],
  },
  {
    name: 'CountersignNoLeader',
    severity: 'critical',
    expr: 'max by (namespace, lease) (countersign_leader) < 1',
    for: '2m',
    summary: 'No replica of Countersign leads.',
    means:
      'Replicas serve ACME and sign with local CAs, but nobody runs the controllers: claims are not renewed, remote CAs are not asked, policies and issuers are not judged anew, nothing is collected.',
    steps: [
      '`kubectl -n countersign-system get lease countersign-leader -o yaml`: a holder that is gone is followed by another within 15 s.',
      `${KUBECTL_LOGS}: refused or slow writes of the Lease (rights, API server, etcd).`,
    ],
  },
  {
    name: 'CountersignSeveralLeaders',
    severity: 'critical',
    expr: 'sum by (namespace, lease) (countersign_leader) > 1',
    for: '1m',
    summary: 'Several replicas of Countersign lead at once.',
    means:
      'Writes of a replica that has lost its lease are fenced, so nothing is issued twice; but a clock or a replica is far off.',
    steps: [
      'Compare the clocks of the nodes.',
      'Delete the Pod that does not stand in `spec.holderIdentity` of the Lease.',
    ],
  },
  {
    name: 'CountersignServerErrors',
    severity: 'critical',
    expr: 'sum by (namespace) (rate(countersign_http_requests_total{status=~"5.."}[5m])) / sum by (namespace) (rate(countersign_http_requests_total[5m])) > 0.1',
    for: '10m',
    summary: 'More than a tenth of requests to Countersign fail for reasons of its own.',
    means:
      'Clients get 500 or 503 and try again later. 503 is also the answer while a CA is slow or out, so look there first.',
    steps: [
      'By route: `sum by (route, status) (rate(countersign_http_requests_total{status=~"5.."}[5m]))`. Mostly `finalize`: a CA; all routes: the API server.',
      `${KUBECTL_LOGS}: lines of level error, by the correlation id that the client was given.`,
      '[CountersignCAUnavailable](#countersigncaunavailable) and [CountersignWritesFail](#countersignwritesfail) say which.',
    ],
  },
  {
    name: 'CountersignCAUnavailable',
    severity: 'critical',
    expr: 'sum by (namespace, issuer, issuer_namespace) (rate(countersign_backend_calls_total{outcome="failed"}[10m])) > 0 unless sum by (namespace, issuer, issuer_namespace) (rate(countersign_backend_calls_total{outcome="answered"}[10m])) > 0',
    for: '10m',
    summary: 'The CA of issuer {{ $labels.issuer }} answers nothing.',
    means:
      'Requests wait and are taken up again when the CA is back; other issuers are not held up. cert-manager Orders do not fail, certificates come late.',
    steps: [
      '`kubectl get ccai,cai -A` and the condition BackendReachable of the issuer say what went wrong last.',
      'From a Pod of the operator’s namespace: does the address of the CA answer at all (NetworkPolicy `networkPolicy.egress.extra`, firewall, DNS)?',
      'Has the client certificate or shared key of the issuer expired, or the certificate of the CA’s own server?',
    ],
  },
  {
    name: 'CountersignCABreakerOpens',
    severity: 'warning',
    expr: 'sum by (namespace, issuer, issuer_namespace) (increase(countersign_backend_breaker_opened_total[30m])) > 3',
    for: '0m',
    summary: 'The CA of issuer {{ $labels.issuer }} fails again and again.',
    means: 'The breaker before it opened several times within half an hour: the CA answers, then does not.',
    steps: ['As for [CountersignCAUnavailable](#countersigncaunavailable).', 'Its load, and any proxy before it.'],
  },
  {
    name: 'CountersignCertificateRejected',
    severity: 'critical',
    expr: 'sum by (namespace, issuer, issuer_namespace) (increase(countersign_certificates_rejected_total[1h])) > 0',
    for: '0m',
    summary: 'The CA of issuer {{ $labels.issuer }} returned a certificate that was not as approved.',
    means:
      'Its key, names or chain were not those that policy approved. It was not handed out, and its revocation was asked for. A profile of the CA that adds or changes something is the usual cause; a CA out of control is the other.',
    steps: [
      '`kubectl -n countersign-system get icert`: the rejected records name serial and difference.',
      'Compare with the profile of the CA. Until that is mended: `spec.suspend: true` on the issuer.',
      'Confirm at the CA that the serial is revoked.',
    ],
  },
  {
    name: 'CountersignCertificateOrphaned',
    severity: 'warning',
    expr: 'sum by (namespace, issuer, issuer_namespace) (increase(countersign_certificates_orphaned_total[1h])) > 0',
    for: '0m',
    summary: 'The CA of issuer {{ $labels.issuer }} signed a certificate that nobody was given.',
    means:
      'A crash or a lost answer made the CA sign twice. The sweep found the extra one and has it revoked; nobody holds it without the key of the requester.',
    steps: [
      'A few after an outage are as expected. Many without one: the CA answers after the time-out; raise it there.',
    ],
  },
  {
    name: 'CountersignWritesFail',
    severity: 'critical',
    expr: 'sum by (namespace) (rate(countersign_cluster_writes_total{outcome=~"Unavailable|Forbidden|Unknown|Invalid"}[5m])) / sum by (namespace) (rate(countersign_cluster_writes_total[5m])) > 0.1',
    for: '10m',
    summary: 'More than a tenth of what Countersign writes to the API server fails.',
    means:
      'No certificate is released without its record, so clients get 503 and try again. Forbidden: rights or an admission policy; Unavailable: API server or etcd; Invalid: older CustomResourceDefinitions than the program.',
    steps: [
      'By kind: `sum by (kind, verb, outcome) (rate(countersign_cluster_writes_total{outcome!="ok"}[5m]))`.',
      '`countersign check --config … --kubeconfig …` names rights and kinds that are missing.',
      'The size of etcd, quotas of the namespace, webhooks that watch all kinds.',
    ],
  },
  {
    name: 'CountersignReconcilesFail',
    severity: 'warning',
    expr: 'sum by (namespace, controller) (rate(countersign_reconcile_duration_seconds_count{result=~"error|timeout"}[10m])) / sum by (namespace, controller) (rate(countersign_reconcile_duration_seconds_count[10m])) > 0.5',
    for: '30m',
    summary: 'Controller {{ $labels.controller }} fails more often than not.',
    means: 'It tries again with growing intervals. What it keeps, such as Secrets of claims, may become stale.',
    steps: [
      `${KUBECTL_LOGS} with \`"controller"\` of that name: object and error stand in each line.`,
      'Events and conditions of those objects.',
    ],
  },
  {
    name: 'CountersignQueueStuck',
    severity: 'warning',
    expr: 'max by (namespace, name) (countersign_workqueue_longest_running_processor_seconds) > 600',
    for: '5m',
    summary: 'Controller {{ $labels.name }} has been working on one object for more than ten minutes.',
    means: 'Other objects are worked on beside it, but that one is not, and a worker is missing.',
    steps: [
      `${KUBECTL_LOGS} with \`"a reconcile ignores that its time is up"\` names the object.`,
      'Delete the Pod that leads: another takes over and begins anew.',
    ],
  },
  {
    name: 'CountersignQueueLong',
    severity: 'warning',
    expr: 'max by (namespace, name) (countersign_workqueue_depth) > 1000',
    for: '15m',
    summary: 'More than a thousand objects wait for controller {{ $labels.name }}.',
    means: 'After the start of a large installation that is as expected; lasting, work comes faster than it is done.',
    steps: [
      'What is slow: `histogram_quantile(0.9, sum by (le, controller) (rate(countersign_reconcile_duration_seconds_bucket[5m])))`.',
      'Whether a change touched all objects at once, such as `reissueBefore` of an issuer.',
    ],
  },
  {
    name: 'CountersignBlind',
    severity: 'critical',
    expr: 'max by (namespace, pod, kind) (countersign_reflector_last_contact_age_seconds) > 900',
    for: '5m',
    summary: 'A replica of Countersign has heard nothing of {{ $labels.kind }} for a quarter of an hour.',
    means:
      'It goes by what it knew. No refusal rests on that alone, but changed policies, issuers and deleted claims are not heeded there.',
    steps: [`${KUBECTL_LOGS}: \`a list failed\` names the error; a missing right is the usual one.`, 'Delete the Pod.'],
  },
  {
    name: 'CountersignReplicasApart',
    severity: 'warning',
    expr: 'sum by (namespace) (rate(countersign_nonces_redeemed_total{outcome="unknown"}[10m])) / sum by (namespace) (rate(countersign_nonces_redeemed_total[10m])) > 0.2',
    for: '15m',
    summary: 'Replicas of Countersign do not know each other’s nonces.',
    means:
      'Clients try again with a fresh nonce and mostly succeed, more slowly. The replicas do not reach each other.',
    steps: [
      'Port 8444 between Pods: NetworkPolicies of others, a service mesh that wants plain TCP declared.',
      '`kubectl -n countersign-system get endpointslices`: do those of the Service list all Pods?',
    ],
  },
  {
    name: 'CountersignValidationsFail',
    severity: 'info',
    expr: 'sum by (namespace, challenge) (rate(countersign_validations_total{outcome="invalid"}[30m])) / sum by (namespace, challenge) (rate(countersign_validations_total[30m])) > 0.5',
    for: '1h',
    summary: 'More than half of {{ $labels.challenge }} challenges fail.',
    means: 'Clients do not answer their challenges where the server looks, or the server may not look there.',
    steps: [
      'The audit log names each name, address and problem.',
      'If all fail: name servers of the issuer, the way out for ports 80 and 443, `validation.deniedNetworks`.',
    ],
  },
  {
    name: 'CountersignRefusesMost',
    severity: 'info',
    expr: 'sum by (namespace, issuer, issuer_namespace) (rate(countersign_requests_refused_total[1h])) > 4 * sum by (namespace, issuer, issuer_namespace) (rate(countersign_certificates_issued_total[1h]))',
    for: '1h',
    summary: 'Issuer {{ $labels.issuer }} refuses far more than it issues.',
    means: 'A client keeps asking for what no policy allows, or a policy has been made too narrow.',
    steps: [
      'By reason: `sum by (issuer, reason) (rate(countersign_requests_refused_total[1h]))`; the audit log names requester, name and policy.',
      'The latest changes of policies.',
    ],
  },
  {
    name: 'CountersignRateLimits',
    severity: 'info',
    expr: 'sum by (namespace, limit) (rate(countersign_rate_limited_total[15m])) > 1',
    for: '30m',
    summary: 'Countersign turns away more than a request a second by its limit {{ $labels.limit }}.',
    means: 'One source asks too often, or many sources look like one.',
    steps: [
      'Behind a proxy: is it among `config.trustProxy`? Otherwise all clients have its address.',
      'The audit log says which source it is.',
    ],
  },
  {
    name: 'CountersignOverloaded',
    severity: 'warning',
    expr: 'max by (namespace, pod) (countersign_event_loop_lag_seconds{quantile="0.99"}) > 0.5',
    for: '15m',
    summary: 'A replica of Countersign is busy: its event loop is half a second late.',
    means: 'All its answers are late by that much. Probes may fail next.',
    steps: [
      'CPU limits of the Pod: raise or remove them.',
      'More replicas: `replicaCount`.',
      'What it does: rates of `countersign_http_requests_total` by route.',
    ],
  },
];

export const RUNBOOKS_FILE = 'docs/runbooks.md';

export function renderRunbooks(): string {
  return [
    '<!-- Generated by scripts/generate.ts from scripts/generate/alerts.ts: edit that, then run npm run generate. -->',
    '# Runbooks',
    '',
    'The alerts of the chart (`prometheusRule.enabled`), what each means and what to do. Names are those of a release `countersign` in',
    '`countersign-system`. Symptoms that clients see stand in [troubleshooting](troubleshooting.md).',
    '',
    ...ALERTS.flatMap(({ name, severity, expr, for: lasting, summary, means, steps }) => [
      `## ${name}`,
      '',
      `*${severity}${lasting === '0m' ? '' : `, after ${lasting}`}*: ${summary.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, '`$1`')}`,
      '',
      `    ${expr}`,
      '',
      means,
      '',
      ...steps.map((step, index) => `${index + 1}. ${step}`),
      '',
    ]),
  ].join('\n');
}

/** The template of the PrometheusRule. */
export function renderPrometheusRule(): string {
  return `${HEAD}${ALERTS.map(ruleTemplate).join('')}{{- end }}\n`;
}

const HEAD = `{{- /* Generated by scripts/generate.ts from scripts/generate/alerts.ts: edit that, then run npm run generate. */}}
{{- if .Values.prometheusRule.enabled }}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "countersign.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
    {{- with .Values.prometheusRule.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  groups:
    - name: countersign
      rules:
`;

function ruleTemplate({ name, severity, expr, for: lasting, summary, means, steps }: Alert): string {
  const text = (value: string) => JSON.stringify(value).replaceAll('{{', '{{ "{{" }}');
  const plain = (value: string) => value.replaceAll(/\[([^\]]+)\]\(#[^)]+\)/g, '$1');
  const description = [means, ...steps.map((step, index) => `${index + 1}. ${plain(step)}`)].join('\n');
  return `        {{- if not (has "${name}" .Values.prometheusRule.disabled) }}
        - alert: ${name}
          expr: ${text(expr)}
          for: ${lasting}
          labels:
            severity: ${severity}
            {{- with .Values.prometheusRule.alertLabels }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          annotations:
            summary: ${text(summary)}
            description: ${text(description)}
            {{- with .Values.prometheusRule.runbookURL }}
            runbook_url: {{ printf "%s#${name.toLowerCase()}" . | quote }}
            {{- end }}
        {{- end }}
`;
}
