// What the Kubernetes API server refuses in an Event of events.k8s.io/v1 (its validation of core events, all limits in bytes).
import type { FieldError, KubeObject } from '../api/kind.ts';
import { isObject, type JsonObject, sameJson } from './json-value.ts';
import { microTimeErrors } from './micro-time.ts';

const LONGEST: Readonly<Record<string, number>> = { reason: 128, action: 128, reportingInstance: 128, note: 1024 };
const REQUIRED = ['reason', 'action', 'reportingInstance', 'reportingController', 'eventTime'];
const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
/** All that an update may change is `series`. */
const FIXED = [
  'regarding',
  'reason',
  'note',
  'type',
  'action',
  'eventTime',
  'reportingController',
  'reportingInstance',
];

/** No finding for an Event that the API server would take; `old` is given on updates. */
export function eventErrors(event: KubeObject, old: KubeObject | undefined): FieldError[] {
  const members = event as unknown as JsonObject;
  const errors = [
    ...REQUIRED.filter((name) => (members[name] ?? '') === '').map((path) => ({ path, message: 'is required' })),
    ...tooLong(members),
    ...microTimeErrors(members, '', ['eventTime']),
    ...regardingErrors(event.metadata.namespace, members.regarding),
    ...seriesErrors(members.series),
  ];
  if (members.type !== 'Normal' && members.type !== 'Warning')
    errors.push({ path: 'type', message: 'must be Normal or Warning' });
  if (typeof members.reportingController === 'string' && !QUALIFIED_NAME.test(members.reportingController))
    errors.push({ path: 'reportingController', message: 'must be a qualified name such as example.com/controller' });
  if (!old) return errors;
  const before = old as unknown as JsonObject;
  const changed = FIXED.filter((name) => !sameJson(members[name] ?? null, before[name] ?? null));
  return [...errors, ...changed.map((path) => ({ path, message: 'is immutable' }))];
}

function tooLong(members: JsonObject): FieldError[] {
  return Object.entries(LONGEST).flatMap(([path, limit]) => {
    const value = members[path];
    return typeof value === 'string' && Buffer.byteLength(value) > limit
      ? [{ path, message: `must not exceed ${limit} bytes` }]
      : [];
  });
}

function regardingErrors(namespace: string | undefined, regarding: unknown): FieldError[] {
  if (!isObject(regarding)) return [{ path: 'regarding', message: 'is required' }];
  const expected = regarding.namespace ?? 'default';
  if (namespace === expected) return [];
  return [{ path: 'regarding.namespace', message: 'must be the namespace of the Event' }];
}

function seriesErrors(series: unknown): FieldError[] {
  if (series === undefined) return [];
  if (!isObject(series)) return [{ path: 'series', message: 'must be a mapping' }];
  const errors = microTimeErrors(series, 'series', ['lastObservedTime']);
  if (!Number.isInteger(series.count) || (series.count as number) < 2)
    errors.push({ path: 'series.count', message: 'must be an integer of at least 2' });
  if (series.lastObservedTime === undefined) errors.push({ path: 'series.lastObservedTime', message: 'is required' });
  return errors;
}
