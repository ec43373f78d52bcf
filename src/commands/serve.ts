// `countersign serve`: the operator on a Kubernetes cluster, one of several replicas.
import { networkInterfaces } from 'node:os';
import { createJobRunner } from '../backends/certbot/job-runner.ts';
import { type Config, ConfigError } from '../config.ts';
import { fold, parseExact, renderAddress } from '../domain/address.ts';
import { createDenyList } from '../domain/deny-list.ts';
import { oneLine } from '../domain/remote-text.ts';
import type { Clock, Log, Random } from '../ports.ts';
import { createClock } from '../runtime/clock.ts';
import { correctClock } from '../runtime/corrected-clock.ts';
import { createRandom } from '../runtime/random.ts';
import { createAudit } from '../telemetry/audit.ts';
import { countWrites } from '../telemetry/counted-cluster.ts';
import { createLog, type LineSink, stderrSink } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createValidators } from '../validators/index.ts';
import { createResolver } from '../validators/resolver.ts';
import { readConfig } from './config-file.ts';
import { apiServerAddresses } from './api-server-addresses.ts';
import { type Connection, connectCluster, requireKinds } from './connection.ts';
import { UsageError } from './dev-flags.ts';
import { type Replica, startReplica } from './replica.ts';
import { parseServeFlags, SERVE_HELP, type ServeFlags } from './serve-flags.ts';

/** RFC 8555 section 8.3, RFC 8737 section 3. */
const HTTP01_PORT = 80;
const TLS_ALPN01_PORT = 443;

/** Runs until told to end. Exit codes: 0 ended as told, 1 could not run, 2 wrong flags or configuration. */
export async function runServe(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(SERVE_HELP);
    return 0;
  }
  try {
    const flags = parseServeFlags(args);
    const config = readConfig(flags.config);
    await serve(config, flags);
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    for (const line of message.split('\n')) process.stderr.write(`countersign: ${oneLine(line)}\n`);
    return error instanceof UsageError || error instanceof ConfigError ? 2 : 1;
  }
}

async function serve(config: Config, flags: Pick<ServeFlags, 'kubeconfig' | 'address'>): Promise<void> {
  const told = toldToEnd();
  const clock = createClock();
  const random = createRandom();
  const address = flags.address ?? ownAddress(config);
  // A clock's sleep alone does not keep the process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    await using connection = await open(flags.kubeconfig, { clock, random, tenants: config.watchNamespaces });
    await requireKinds(connection, clock);
    const corrected = correctClock(clock, () => connection.cluster.serverTimeOffsetMs());
    const sink = stderrSink();
    const log = createLog({ clock: corrected, level: config.logLevel, sink });
    log.info({ server: connection.server.origin, namespace: config.namespace, address }, 'starting');
    const replica = await start(connection, { config, address, clock: corrected, random, log, sink });
    await runUntilTold(config, replica, { told, log });
  } finally {
    clearInterval(alive);
  }
}

async function open(kubeconfig: string | undefined, deps: Parameters<typeof connectCluster>[1]) {
  const connection = await connectCluster(kubeconfig, deps);
  return { ...connection, [Symbol.asyncDispose]: async () => connection.cluster.close() };
}

async function runUntilTold(
  config: Config,
  replica: Replica,
  { told, log }: { told: Promise<void>; log: Log },
): Promise<void> {
  const announced = replica.ready.then(() => {
    process.stdout.write(`ready directory=${directoryOf(config, replica)}\n`);
    return told;
  });
  try {
    // What keeps it from becoming ready rejects here; a signal is heard before that too.
    await Promise.race([announced, told]);
  } catch (error) {
    await replica.stop('at once');
    throw error;
  }
  log.info({}, 'told to end');
  await replica.stop('in order');
  log.info({}, 'ended');
}

interface Start {
  config: Config;
  address: string;
  clock: Clock;
  random: Random;
  log: Log;
  sink: LineSink;
}

async function start(connection: Connection, { config, sink, ...rest }: Start): Promise<Replica> {
  const { clock, random, log } = rest;
  const metrics = createMetrics();
  const denied = await apiServerAddresses(connection, (what, error) =>
    log.warn({ what, error }, 'addresses of the API server are not known: see validation.deniedNetworks'),
  );
  const denyList = createDenyList([...denied, ...interfaceAddresses(), ...config.deniedNetworks]);
  const cluster = countWrites(connection.cluster, metrics.clusterWrites);
  return startReplica({
    ...rest,
    config,
    cluster,
    certbot: createJobRunner({
      cluster,
      logs: connection.cluster.logs,
      namespace: config.namespace,
      random,
      answersURL: `${config.distributionURL}/.well-known/acme-challenge/`,
    }),
    denyList,
    validators: createValidators({ denyList, clock, http01Port: HTTP01_PORT, tlsAlpn01Port: TLS_ALPN01_PORT }),
    resolver: (nameservers) => createResolver({ clock, random, ...(nameservers ? { nameservers } : {}) }),
    audit: createAudit({ clock, sink }),
    metrics,
  });
}

/** Resolves at the first signal; the second ends the process at once. */
function toldToEnd(): Promise<void> {
  return new Promise((resolve) => {
    let times = 0;
    const hear = () => {
      if (++times > 1) process.exit(1);
      resolve();
    };
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, hear);
  });
}

/** The directory of the first issuer by name; without one, where directories will be. */
function directoryOf({ externalURLs }: Config, { operator }: Replica): string {
  const [issuer] = operator.issuers.list().toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const origin = externalURLs[0] ?? '';
  return issuer ? `${origin}/acme/${issuer.metadata.name}/directory` : origin;
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => parseExact(address.replace(/%.*$/, '')) ?? [])
    .map((address) => renderAddress(fold(address)));
}

const EVERY_ADDRESS = ['::', '0.0.0.0'];

/** Where it listens, if that is one address; else the first of this machine outside loopback. */
function ownAddress({ listen }: Config): string {
  if (listen.address !== undefined && !EVERY_ADDRESS.includes(listen.address)) return listen.address;
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith('fe80:'));
  const [first] = [...outside].sort((a, b) => (a.family < b.family ? -1 : a.family > b.family ? 1 : 0));
  if (!first) throw new UsageError('this machine has no address outside loopback: give --address');
  return first.address;
}
