// The ports of the program, each call of theirs counted.
import type {
  Cluster,
  Resolver,
  SecretReader,
  Validators,
  Backends,
  Audit,
  Clock,
  Log,
  Random,
} from '../../src/ports.ts';
import type { Metrics } from '../../src/telemetry/metrics.ts';
import type { Meter, Reach } from './meter.ts';

type ReachOf = (method: string) => Reach;

const always =
  (reach: Reach): ReachOf =>
  () =>
    reach;

const reachOfCluster: ReachOf = (method) => (['get', 'list', 'watch'].includes(method) ? 'read' : 'write');

/** The same object with its methods counted; other members as they are. */
function counted<P extends object>(meter: Meter, port: string, target: P, reachOf: ReachOf): P {
  return new Proxy(target, {
    get(object, member) {
      const value: unknown = Reflect.get(object, member, object);
      if (typeof value !== 'function') return value;
      const method = String(member);
      return (...args: unknown[]): unknown =>
        meter.call(
          `${port}.${method}${objectOf(args)}`,
          reachOf(method),
          () => Reflect.apply(value, object, args) as unknown,
        );
    },
  });
}

/** For people: which kind of object a call to the cluster is about. */
function objectOf([first]: unknown[]): string {
  if (typeof first === 'string') return ` ${first}`;
  const kind = typeof first === 'object' && first !== null && 'kind' in first ? first.kind : undefined;
  return typeof kind === 'string' ? ` ${kind}` : '';
}

export function countPorts(meter: Meter) {
  return {
    cluster: <C extends Cluster>(cluster: C): C => counted(meter, 'cluster', cluster, reachOfCluster),
    secrets: (secrets: SecretReader): SecretReader =>
      counted(meter, 'secrets', secrets, (method) => (method === 'create' ? 'write' : 'read')),
    validators: (validators: Validators): Validators =>
      Object.fromEntries(
        Object.entries(validators).map(([type, validator]) => [
          type,
          counted(meter, `validators ${type}`, validator, always('read')),
        ]),
      ) as Validators,
    resolver: (resolver: Resolver): Resolver => counted(meter, 'resolver', resolver, always('read')),
    backends: (backends: Backends): Backends => ({
      of: (issuer) =>
        counted(
          meter,
          'backend',
          meter.call('backends.of', 'local', () => backends.of(issuer)),
          always('read'),
        ),
    }),
    audit: (audit: Audit): Audit => counted(meter, 'audit', audit, always('write')),
    clock: (clock: Clock): Clock => counted(meter, 'clock', clock, always('local')),
    random: (random: Random): Random => counted(meter, 'random', random, always('local')),
    log: (log: Log): Log => counted(meter, 'log', log, always('local')),
    metrics: (metrics: Metrics): Metrics =>
      Object.fromEntries(
        Object.entries(metrics).map(([name, metric]) => [
          name,
          typeof metric === 'object'
            ? counted(meter, `metrics ${name}`, metric as object, always('local'))
            : (metric as unknown),
        ]),
      ) as unknown as Metrics,
  };
}
