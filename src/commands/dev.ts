// `countersign dev`: the whole program on this machine, bound to loopback, on the embedded store.
import type { Server } from 'node:https';
import { resolve } from 'node:path';
import { ALL_KINDS } from '../api/index.ts';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { type Issuer, issuerKind } from '../api/issuer.ts';
import { createChildRunner } from '../backends/certbot/child-runner.ts';
import { createEmbeddedCluster, type EmbeddedCluster } from '../cluster/embedded.ts';
import { mirrorSecrets } from '../cluster/secret-files.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import { sqliteStorage, storeFile } from '../cluster/sqlite-storage.ts';
import { memoryStorage } from '../cluster/storage.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { createLoopbackDenyList } from '../domain/deny-list.ts';
import { renderPem } from '../domain/encoding.ts';
import { issuerPath, parseIssuerName } from '../domain/issuer.ts';
import { oneLine } from '../domain/remote-text.ts';
import { createUrls } from '../acme-server/urls.ts';
import { createClock } from '../runtime/clock.ts';
import { createRandom } from '../runtime/random.ts';
import { sweepEvents } from '../controllers/event-garbage.ts';
import { createAudit } from '../telemetry/audit.ts';
import { countWrites } from '../telemetry/counted-cluster.ts';
import { createLog, type LineSink, stderrSink } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createValidators } from '../validators/index.ts';
import { withLocalhost } from '../validators/localhost.ts';
import { createResolver } from '../validators/resolver.ts';
import { type DataFolder, openDataFolder } from './data-folder.ts';
import { DEV_HELP, type DevFlags, parseDevFlags, UsageError } from './dev-flags.ts';
import { listen, listenerOptions, SECURE_CONTEXT } from './listener.ts';
import { watchManifests } from './manifests.ts';
import { createOperator, type Operator } from './operator.ts';
import { loadKeyring } from './sealing-keys.ts';
import { keepServing, servingCertificate } from './serving-certificate.ts';

const NAMESPACE = 'countersign-system';
const HOST = '127.0.0.1';
/** How long the issuer of the ready line may take to become ready. */
const ISSUER_READY_MS = 30_000;

/** Texts name what is in manifests, written by whoever. */
const step = (text: string) => process.stderr.write(`countersign: ${oneLine(text)}\n`);

/** Runs until interrupted. Exit codes: 0 stopped cleanly, 1 could not run, 2 wrong flags. */
export async function runDev(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(DEV_HELP);
    return 0;
  }
  try {
    const flags = parseDevFlags(args);
    return await dev(flags);
  } catch (error) {
    step(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

async function dev(flags: DevFlags): Promise<number> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort(new Error(`got ${name}`)));
  const folder = openDataFolder(flags.data);
  const audit = folder.lines('audit.log');
  step(flags.data === undefined ? 'keeping everything in memory' : `keeping everything in ${folder.path}`);
  const cluster = openCluster(flags, folder);
  try {
    await run(flags, { folder, cluster, audit, stopping });
    return 0;
  } finally {
    await cluster.close();
    audit.close();
    folder.close();
  }
}

function openCluster(flags: DevFlags, folder: DataFolder): EmbeddedCluster {
  const storage = flags.data === undefined ? memoryStorage() : sqliteStorage(storeFile(folder.path));
  return createEmbeddedCluster({
    storage,
    clock: createClock(),
    random: createRandom(),
    kinds: ALL_KINDS,
    namespaces: ['default', NAMESPACE],
  });
}

/** What the ACME server is called on this machine. */
const SERVING_NAMES = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', '::1'] };

interface Running {
  folder: DataFolder;
  cluster: EmbeddedCluster;
  audit: LineSink;
  stopping: AbortController;
}

async function run(flags: DevFlags, { folder, cluster, audit, stopping }: Running): Promise<void> {
  const { signal } = stopping;
  const folderOfManifests = resolve(flags.manifests);
  const manifests = await watchManifests({
    folder: folderOfManifests,
    cluster,
    clock: createClock(),
    signal,
    report: step,
    namespace: NAMESPACE,
  });
  if (manifests.errors > 0)
    throw new Error(`mistakes in ${folderOfManifests}: mend what is listed above and start again`);
  step(`applied ${manifests.count} objects of ${folderOfManifests}`);
  const { operator, ca } = await assemble(flags, { cluster, audit, signal });
  const running = operator.run(signal);
  const files = await mirrorSecrets({
    cluster,
    clock: createClock(),
    folder: folder.secrets,
    signal,
    report: step,
  });
  try {
    await operator.synced(signal);
    await listen(operator.distribution, {
      host: HOST,
      port: flags.httpPort,
      what: 'CRLs and health',
      flag: '--http-port',
    });
    step(`serving CRLs, health and metrics on http://${HOST}:${flags.httpPort}`);
    await listen(operator.acme, { host: HOST, port: flags.port, what: 'the ACME server', flag: '--port' });
    step(`serving ACME on https://localhost:${flags.port}`);
    const issuer = await readyIssuer(flags, operator, signal);
    const published = publish(folder, { ca, issuer });
    process.stdout.write(
      `ready directory=${createUrls(`https://localhost:${flags.port}`, issuer.metadata).directory} ca=${published.ca} issuer-ca=${published.issuerCA}\n`,
    );
    await once(signal);
    step('stopping');
  } finally {
    stopping.abort();
    await operator.close();
    await Promise.all([running, files.done, manifests.done]);
  }
}

/** The operator over this cluster, with its serving certificate. */
async function assemble(
  flags: DevFlags,
  { cluster: store, audit, signal }: Pick<Running, 'cluster' | 'audit'> & { signal: AbortSignal },
): Promise<{ operator: Operator; ca: string }> {
  const clock = createClock();
  const random = createRandom();
  const metrics = createMetrics();
  const cluster = countWrites(store, metrics.clusterWrites);
  const secrets = createSecretReader(cluster, NAMESPACE);
  const keyring = await loadKeyring({ cluster, namespace: NAMESPACE, clock, random });
  const own = { secrets, clock, random };
  const serving = await servingCertificate(own, SERVING_NAMES);
  step('loaded sealing keys and the serving certificate');
  const nameservers = flags.resolver === undefined ? undefined : [flags.resolver];
  const operator = createOperator({
    cluster,
    namespace: NAMESPACE,
    secrets,
    keyring,
    certbot: createChildRunner({ ...own, answersURL: `http://${HOST}:${flags.httpPort}/.well-known/acme-challenge/` }),
    validators: createValidators({
      denyList: createLoopbackDenyList([]),
      clock,
      http01Port: flags.http01Port,
      tlsAlpn01Port: flags.tlsAlpn01Port,
    }),
    resolver: (own = nameservers) =>
      withLocalhost(createResolver({ clock, random, ...(own ? { nameservers: own } : {}) })),
    clock,
    random,
    log: createLog({ clock, level: 'warn', sink: stderrSink() }),
    audit: createAudit({ clock, sink: audit }),
    metrics,
    // The embedded store does not let Events expire by itself.
    sweeps: [(signal) => sweepEvents({ cluster, clock, collected: metrics.collected }, signal)],
    externalURLs: [`https://localhost:${flags.port}`, `https://127.0.0.1:${flags.port}`],
    distributionURL: `http://localhost:${flags.httpPort}`,
    servingCA: async () => serving.ca,
    server: listenerOptions({ cert: serving.cert, key: serving.key }),
  });
  void keepServing(own, SERVING_NAMES, {
    made: serving,
    use: ({ cert, key }) => (operator.acme.server as Server).setSecureContext({ ...SECURE_CONTEXT, cert, key }),
    report: step,
    signal,
  });
  return { operator, ca: serving.ca };
}

/** The issuer of the ready line, once it is Ready. */
async function readyIssuer(flags: DevFlags, { issuers }: Operator, signal: AbortSignal): Promise<Issuer> {
  const clock = createClock();
  const wanted = flags.issuer === undefined ? undefined : parseIssuerName(flags.issuer);
  const find = () => (wanted ? issuers.get(wanted) : issuers.list()[0]);
  const isReady = (issuer: Issuer | undefined) =>
    issuer?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
  for (let waited = 0; ; waited += 20) {
    const issuer = find();
    if (issuer && isReady(issuer)) return issuer;
    if (!issuer || waited > ISSUER_READY_MS) throw new Error(notReady(flags, issuer));
    await clock.sleep(20, signal);
  }
}

function notReady(flags: DevFlags, issuer: Issuer | undefined): string {
  if (!issuer)
    return flags.issuer === undefined
      ? `no ${ClusterCAIssuerKind.kind} in ${flags.manifests}`
      : `no ${issuerKind({ metadata: parseIssuerName(flags.issuer) }).kind} named ${flags.issuer}`;
  const ready = issuer.status?.conditions?.find(({ type }) => type === 'Ready');
  return `the issuer ${flags.issuer ?? issuer.metadata.name} is not ready: ${ready?.message ?? 'it was not judged yet'}`;
}

/** Files that clients need. */
function publish(folder: DataFolder, { ca, issuer }: { ca: string; issuer: Issuer }): { ca: string; issuerCA: string } {
  const root = parsePemCertificates(issuer.status?.chains?.[0]?.pem ?? '').at(-1);
  return {
    ca: folder.publish('ca.crt', ca),
    issuerCA: folder.publish(
      `${issuerPath(issuer.metadata)}/issuers/${issuer.metadata.name}/ca.crt`,
      root ? renderPem('CERTIFICATE', root) : '',
    ),
  };
}

/** Resolves when the signal aborts. */
function once(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}
