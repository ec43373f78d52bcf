// `countersign dev` put together for the kill tests: the same parts as src/commands/dev.ts in the same order, every port counted.
// Told over IPC when to count and where to die. Caches are not counted: their reads are local and their writes are the cluster's.
import { openSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createBackends } from '../../src/backends/index.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { mirrorSecrets } from '../../src/cluster/secret-files.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { sqliteStorage, storeFile } from '../../src/cluster/sqlite-storage.ts';
import { openDataFolder } from '../../src/commands/data-folder.ts';
import { listen, listenerOptions } from '../../src/commands/listener.ts';
import { watchManifests } from '../../src/commands/manifests.ts';
import { createOperator } from '../../src/commands/operator.ts';
import { loadKeyring } from '../../src/commands/sealing-keys.ts';
import { servingCertificate } from '../../src/commands/serving-certificate.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createAudit } from '../../src/telemetry/audit.ts';
import { createLog, stderrSink } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createValidators } from '../../src/validators/index.ts';
import { withLocalhost } from '../../src/validators/localhost.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import { createMeter, type Kill } from './meter.ts';
import { countPorts } from './ports.ts';

/** First argument, as JSON. */
export interface ProgramSettings {
  /** Data folder. */
  data: string;
  manifests: string;
  /** File that will say at which call the program died. */
  death: string;
  port: number;
  httpPort: number;
  http01Port: number;
  nameserver: string;
  issuer: string;
  /** Counts from the start of the process. */
  kill?: Kill;
}

/** What the test says. */
export type Order = { say: 'arm'; kill: Kill | undefined } | { say: 'settle' };

/** What the program answers. */
export type Answer = { say: 'ready'; directory: string; ca: string } | { say: 'armed' } | { say: 'settled' };

const NAMESPACE = 'countersign-system';
const HOST = '127.0.0.1';
/** No call for this long: what is left to happen waits for time or for somebody outside. */
const QUIET_MS = 60;

// Nobody is left to be tested.
process.once('disconnect', () => process.exit(0));
const settings = JSON.parse(process.argv[2] ?? '{}') as ProgramSettings;
const meter = createMeter(openSync(settings.death, 'a'));
if (settings.kill) meter.arm(settings.kill);
const ports = countPorts(meter);
const report = (text: string) => process.stderr.write(`${text}\n`);
const answer = (message: Answer) => process.send?.(message);

const { signal } = new AbortController();
const folder = openDataFolder(settings.data);
const sink = folder.lines('audit.log');
const clock = ports.clock(createClock());
const random = ports.random(createRandom());
const cluster = ports.cluster(
  createEmbeddedCluster({
    storage: sqliteStorage(storeFile(folder.path)),
    clock: createClock(),
    random: createRandom(),
    kinds: ALL_KINDS,
    namespaces: ['default', NAMESPACE],
  }),
);
const manifests = await watchManifests({
  folder: settings.manifests,
  cluster,
  clock,
  signal,
  report,
  namespace: NAMESPACE,
});
if (manifests.errors > 0) throw new Error('the manifests of the test are wrong');
await mirrorSecrets({ cluster, clock, folder: join(folder.path, 'secrets'), signal, report });
const secrets = ports.secrets(createSecretReader(cluster, NAMESPACE));
const keyring = await loadKeyring({ cluster, namespace: NAMESPACE, clock, random });
const serving = await servingCertificate({ secrets, clock, random }, { dnsNames: ['localhost'], ipAddresses: [HOST] });
const operator = createOperator({
  cluster,
  namespace: NAMESPACE,
  secrets,
  backends: (deps) => ports.backends(createBackends(deps)),
  keyring,
  validators: ports.validators(
    createValidators({
      denyList: createLoopbackDenyList([]),
      clock,
      http01Port: settings.http01Port,
      tlsAlpn01Port: 443,
    }),
  ),
  resolver: (nameservers = [settings.nameserver]) =>
    ports.resolver(withLocalhost(createResolver({ clock, random, nameservers }))),
  clock,
  random,
  log: ports.log(createLog({ clock, level: 'warn', sink: stderrSink() })),
  audit: ports.audit(createAudit({ clock, sink })),
  metrics: ports.metrics(createMetrics()),
  externalURLs: [`https://localhost:${settings.port}`],
  distributionURL: `http://localhost:${settings.httpPort}`,
  server: listenerOptions({ cert: serving.cert, key: serving.key }),
});
void operator.run(signal);
await operator.synced(signal);
await listen(operator.distribution, { host: HOST, port: settings.httpPort, what: 'CRLs', flag: 'httpPort' });
await listen(operator.acme, { host: HOST, port: settings.port, what: 'ACME', flag: 'port' });
const ready = () =>
  operator.issuers
    .get({ name: settings.issuer })
    ?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
while (!ready()) await pause();
flushCompileCache();

process.on('message', (order: Order) => {
  void obey(order);
});
const directory = `https://localhost:${settings.port}/acme/${settings.issuer}/directory`;
answer({ say: 'ready', directory, ca: folder.publish('ca.crt', serving.ca) });

async function obey(order: Order): Promise<void> {
  while (meter.quietFor() < QUIET_MS) await pause();
  if (order.say === 'arm') meter.arm(order.kill);
  answer({ say: order.say === 'arm' ? 'armed' : 'settled' });
}

function pause(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 10));
}
