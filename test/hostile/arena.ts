// The whole program under hostile input: started in this process, every write at its store counted, its objects compared before
// and after, its log and audit lines kept. One arena a test file.
import { SecretKind } from '../../src/api/core.ts';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { ALL_KINDS } from '../../src/api/index.ts';
import { countingCluster } from '../bench/writes.ts';
import { type HarnessOptions, NAMESPACE, startOperator } from '../operator/harness.ts';
import { authorize, complete, identifiersOf, newOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Reply, type Transport } from '../support/acme-wire.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';

export type Operator = Awaited<ReturnType<typeof startOperator>>;

export interface ArenaOptions {
  /** Changes the harness' options once the responders are there. */
  harness?: (responders: Responders) => HarnessOptions;
  /** Issuers beside `main`, by name; each has a self-signed CA of its own. */
  issuers?: Readonly<Record<string, Partial<CAIssuerSpec>>>;
  /** Secrets in the operator's namespace, text by key by name. */
  secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface Arena extends Responders {
  readonly operator: Operator;
  /** Remembers what must not be logged: payloads and signatures sent, tokens received. */
  readonly transport: Transport;
  /** Every line of the log, down to debug. */
  readonly lines: readonly string[];
  /** What must be in no line of log or audit. */
  readonly secrets: Set<string>;
  /** Answers of 500 and above. */
  readonly failures: readonly string[];
  /** A client of `main` with an account. */
  readonly acme: AcmeWire;
  /** A client without an account. */
  connect(issuer?: string): Promise<AcmeWire>;
  /** A client with an account of its own. Writes, so call it inside `given`. */
  client(issuer?: string): Promise<AcmeWire>;
  /** Writes since the last call of `calm`, as `verb kind`. */
  readonly writes: string[];
  /** Every object of every kind, as text: name and version. */
  objects(): Promise<string[]>;
  /** What the test needs before the hostile input: its writes do not count. */
  given<T>(prepare: () => Promise<T>): Promise<T>;
  /** Resolves once controllers have nothing more to write about issuers and policies. */
  settled(): Promise<void>;
  /** Objects as of the start of the test, or of the last `given`. */
  baseline: string[];
  stop(): Promise<void>;
}

export async function startArena(options: ArenaOptions = {}): Promise<Arena> {
  const [dns, http01, tlsAlpn] = await Promise.all([startDnsServer(), startHttp01Responder(), startTlsAlpnResponder()]);
  const responders = { dns, http01, tlsAlpn };
  const writes: string[] = [];
  const lines: string[] = [];
  const clock = createClock();
  const log = createLog({ clock, level: 'debug', sink: { write: (line) => void lines.push(line) } });
  const changed = options.harness?.(responders);
  const operator = await startOperator({
    nameserver: dns.address,
    http01Port: http01.port,
    tlsAlpn01Port: tlsAlpn.port,
    ...changed,
    wrap: (cluster) => countingCluster(changed?.wrap?.(cluster) ?? cluster, writes),
    overrides: { log, ...changed?.overrides },
  });
  await createObjects(operator, options);
  await allReady(operator);
  const secrets = new Set<string>(
    Object.values(options.secrets ?? {})
      .flatMap((values) => Object.values(values))
      .filter(({ length }) => length >= 16),
  );
  const failures: string[] = [];
  const transport = watched(createTransport(operator.ca), secrets, failures);
  const connectTo = (issuer = 'main') => connect(transport, `${operator.origin}/acme/${issuer}/directory`);
  const client = async (issuer?: string): Promise<AcmeWire> => {
    const acme = await connectTo(issuer);
    await register(acme);
    return acme;
  };
  const arena: Arena = {
    ...responders,
    operator,
    transport,
    lines,
    secrets,
    failures,
    acme: await client(),
    connect: connectTo,
    client,
    writes,
    objects: () => objectsOf(operator),
    given: async (prepare) => {
      const made = await prepare();
      writes.length = 0;
      arena.baseline = await objectsOf(operator);
      return made;
    },
    baseline: [],
    settled: () => allReady(operator),
    stop: async () => {
      transport.close();
      await operator.stop();
      await Promise.all([dns.stop(), http01.stop(), tlsAlpn.stop()]);
    },
  };
  return arena;
}

async function createObjects({ cluster }: Operator, { issuers = {}, secrets = {} }: ArenaOptions): Promise<void> {
  for (const [name, stringData] of Object.entries(secrets)) {
    const data = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    await cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, data: Object.fromEntries(data) });
  }
  for (const [name, spec] of Object.entries(issuers)) {
    const backend = { ca: { secretRef: { name: `${name}-ca` }, selfSigned: { commonName: `Test CA ${name}` } } };
    await cluster.create(ClusterCAIssuerKind, { metadata: { name }, spec: { backend, ...spec } });
  }
}

/** Controllers write conditions when objects are new; after that nothing is written but on request. */
async function allReady({ cluster }: Operator): Promise<void> {
  await eventually('every issuer and policy is Ready', async () => {
    const lists = await Promise.all([cluster.list(ClusterCAIssuerKind), cluster.list(CertificateRequestPolicyKind)]);
    const objects = lists.flatMap(({ items }) => items as Conditioned[]);
    return (
      objects.every(({ metadata, status }) =>
        status?.conditions?.some(
          (each) => each.type === 'Ready' && each.status === 'True' && each.observedGeneration === metadata.generation,
        ),
      ) || undefined
    );
  });
}

interface Conditioned {
  metadata: { generation: number };
  status?: { conditions?: { type: string; status: string; observedGeneration?: number }[] };
}

async function objectsOf({ cluster }: Operator): Promise<string[]> {
  const lists = await Promise.all(ALL_KINDS.map(async (kind) => ({ kind, list: await cluster.list(kind) })));
  return lists.flatMap(({ kind, list }) =>
    list.items.map(
      ({ metadata: { namespace = '', name, resourceVersion } }) =>
        `${kind.kind} ${namespace}/${name} ${resourceVersion}`,
    ),
  );
}

/** Payloads and signatures of what is sent, and tokens of what comes back, go among the secrets. */
function watched(transport: Transport, secrets: Set<string>, failures: string[]): Transport {
  const keep = (text: string, pattern: RegExp) => {
    for (const [, secret = ''] of text.matchAll(pattern)) secrets.add(secret);
  };
  return {
    ...transport,
    request: async (method, url, options) => {
      keep(
        Buffer.from(options?.body ?? '').toString('latin1'),
        /"(?:payload|signature)"\s*:\s*"([A-Za-z0-9_-]{24,200})/g,
      );
      const reply = await transport.request(method, url, options);
      if (reply.status < 500) keep(reply.text, /"token":"([^"]+)"/g);
      else failures.push(`${method} ${url}: ${reply.status} ${reply.text}`);
      return reply;
    },
  };
}

/** A newOrder that any account may make; writes nothing. */
export function goodRequest(acme: AcmeWire, nonce?: string): Promise<Reply> {
  return acme.post(
    acme.directory.newOrder,
    { identifiers: identifiersOf([freshName('good')]) },
    nonce === undefined ? {} : { nonce },
  );
}

/** One certificate by dns-01, so that chains and whatever else comes with the first one are written before anything is counted. */
export async function warmUp(arena: Arena): Promise<void> {
  const order = await newOrder(arena.acme, [freshName('warm')]);
  for (const url of order.object.authorizations) await authorize(arena.acme, arena, url, 'dns-01');
  await complete(arena.acme, order);
}
