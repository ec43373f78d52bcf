// `countersign serve` put together for the kill tests: the same parts as src/commands/serve.ts, every port whose calls leave the
// process counted but for the Lease, which goes on by itself. Told over IPC when to count and where to die.
import { openSync } from 'node:fs';
import { createBackends } from '../../src/backends/index.ts';
import { connectCluster } from '../../src/commands/connection.ts';
import { startReplica } from '../../src/commands/replica.ts';
import { parseConfig } from '../../src/config.ts';
import { createDenyList } from '../../src/domain/deny-list.ts';
import type { Cluster } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { correctClock } from '../../src/runtime/corrected-clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createAudit } from '../../src/telemetry/audit.ts';
import { createLog, stderrSink } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createValidators } from '../../src/validators/index.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import { createMeter, type Kill } from './meter.ts';
import { countPorts } from './ports.ts';

/** First argument, as JSON. */
export interface ServeSettings {
  kubeconfig: string;
  /** As the file of --config has it. */
  config: object;
  address: string;
  /** File that will say at which call the program died. */
  death: string;
}

/** What the test says. */
export type ServeOrder = { say: 'arm'; kill: Kill | undefined } | { say: 'settle' } | { say: 'who leads' };

/** What the program answers. */
export type ServeAnswer = { say: 'ready' } | { say: 'armed' } | { say: 'settled' } | { say: 'leads'; leads: boolean };

/** No call for this long: what is left to happen waits for time or for somebody outside. */
const QUIET_MS = 100;

// Nobody is left to be tested.
process.once('disconnect', () => process.exit(0));
const settings = JSON.parse(process.argv[2] ?? '{}') as ServeSettings;
const meter = createMeter(openSync(settings.death, 'a'));
const ports = countPorts(meter);
const random = createRandom();
const connection = await connectCluster(settings.kubeconfig, { clock: createClock(), random });
const clock = correctClock(createClock(), () => connection.cluster.serverTimeOffsetMs());
const sink = stderrSink();
const denyList = createDenyList([]);
const replica = await startReplica({
  config: parseConfig(JSON.stringify(settings.config), 'countersign-system'),
  address: settings.address,
  cluster: leaseApart(connection.cluster, ports.cluster(connection.cluster)),
  backends: (deps) => ports.backends(createBackends(deps)),
  denyList,
  validators: ports.validators(createValidators({ denyList, clock, http01Port: 80, tlsAlpn01Port: 443 })),
  resolver: (nameservers) => ports.resolver(createResolver({ clock, random, ...(nameservers ? { nameservers } : {}) })),
  clock,
  random,
  log: createLog({ clock, level: 'info', sink }),
  audit: ports.audit(createAudit({ clock, sink })),
  metrics: createMetrics(),
});
await replica.ready;
process.on('message', (order: ServeOrder) => {
  void obey(order);
});
answer({ say: 'ready' });

function answer(message: ServeAnswer): void {
  process.send?.(message);
}

async function obey(order: ServeOrder): Promise<void> {
  if (order.say === 'who leads') return answer({ say: 'leads', leads: replica.election.isLeader() });
  while (meter.quietFor() < QUIET_MS) await new Promise((resolve) => void setTimeout(resolve, 10));
  if (order.say === 'arm') meter.arm(order.kill);
  answer({ say: order.say === 'arm' ? 'armed' : 'settled' });
}

function leaseApart(plain: Cluster, counted: Cluster): Cluster {
  return new Proxy(plain, {
    get(_target, member) {
      const [own, metered] = [Reflect.get(plain, member), Reflect.get(counted, member)] as unknown[];
      if (typeof own !== 'function' || typeof metered !== 'function') return own;
      return (...args: [{ kind?: string } | undefined, ...unknown[]]): unknown =>
        Reflect.apply(args[0]?.kind === 'Lease' ? own : metered, plain, args) as unknown;
    },
  });
}
