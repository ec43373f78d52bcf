// npm run bench -- ejbca|upstream|certbot|webhook [--certificates N]: what an order through us costs in time beside what the CA behind the issuer
// takes. The backend is asked alone, then by the whole program for ACME clients, one and eight at a time, in turns; medians.
import { parseArgs } from 'node:util';
import { SecretKind } from '../../../src/api/core.ts';
import { createBackends } from '../../../src/backends/index.ts';
import { createSecretReader } from '../../../src/cluster/secret-reader.ts';
import { createLoopbackDenyList } from '../../../src/domain/deny-list.ts';
import { Unavailable } from '../../../src/domain/unavailable.ts';
import type { Backend, BackendDeps, Cluster } from '../../../src/ports.ts';
import { createClock } from '../../../src/runtime/clock.ts';
import { createRandom } from '../../../src/runtime/random.ts';
import { createDnsUpdater } from '../../../src/validators/dns-update.ts';
import { createValidators } from '../../../src/validators/index.ts';
import { createResolver } from '../../../src/validators/resolver.ts';
import { anIssuer, createMemorySecrets } from '../../contract/authorities.ts';
import { aSigningRequest } from '../../contract/models.ts';
import { NAMESPACE, startOperator } from '../../operator/harness.ts';
import { issue, register } from '../../support/acme-flow.ts';
import { connect, createTransport } from '../../support/acme-wire.ts';
import { freePort } from '../../support/child-process.ts';
import { eventually } from '../../support/eventually.ts';
import { freshName } from '../../support/names.ts';
import { startResponders, stopResponders } from '../../support/responders.ts';
import { startSurroundings, type Surroundings } from '../../upstream/client.ts';
import { CLIENTS, SUBJECTS, type Subject, type SubjectName } from './subjects.ts';

interface Side {
  /** One certificate from end to end. */
  once(client: number): Promise<unknown>;
  stop(): Promise<void>;
}

const DURATION = '168h';
const TURNS = 4;
const WARM_UP_MS = 12_000;

const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Milliseconds of each, so many at a time. */
async function times(clients: number, count: number, side: Side): Promise<number[]> {
  const taken: number[] = [];
  const run = async (client: number): Promise<void> => {
    for (let i = client; i < count; i += clients) {
      const started = performance.now();
      await side.once(client);
      taken.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, client) => run(client)));
  return taken;
}

/** The backend without the program around it: asked until it has decided, what it wants kept is kept. */
async function startAlone(start: Subject): Promise<Side> {
  const around = await startSurroundings();
  const subject = await start({ httpPort: around.httpPort, resolver: around.dns.address });
  const [clock, random] = [createClock(), createRandom()];
  const secrets = createMemorySecrets(subject.secrets);
  const proof: NonNullable<BackendDeps['proof']> = {
    validators: createValidators({
      denyList: createLoopbackDenyList([]),
      clock,
      http01Port: around.httpPort,
      tlsAlpn01Port: 1,
    }),
    resolver: (nameservers = [around.dns.address]) => createResolver({ clock, random, nameservers }),
    dnsUpdater: createDnsUpdater({ clock, random }),
  };
  const certbot = subject.certbot?.(secrets);
  const backends = createBackends({
    clock,
    random,
    proof,
    secretsOf: () => secrets,
    urls: () => undefined,
    ...(certbot ? { certbot } : {}),
  });
  const backend = backends.of(anIssuer(subject.backend));
  return {
    once: () => settle(backend, around),
    stop: async () => {
      await subject.stop();
      await around.stop();
    },
  };
}

async function settle(backend: Backend, { records }: Surroundings): Promise<void> {
  const request = aSigningRequest({ names: { dnsNames: [freshName()] } });
  for (let handle: string | undefined; ; ) {
    const keep = async (next: string, answers: readonly string[] = []) => {
      handle = next;
      records.set(request.id, { handle: next, answers });
    };
    const asked = { ...request, keep, ...(handle === undefined ? {} : { handle }) };
    const outcome = await backend.sign(asked, new AbortController().signal);
    if (outcome.kind === 'issued') return void records.delete(request.id);
    if (outcome.kind === 'refused') throw outcome.problem;
    ({ handle } = outcome);
    await new Promise((resolve) => setTimeout(resolve, outcome.retryAfterMs));
  }
}

async function startBehind(start: Subject): Promise<Side> {
  const responders = await startResponders();
  const httpPort = await freePort();
  const subject = await start({ httpPort, resolver: responders.dns.address });
  let cluster: Cluster | undefined;
  const secrets: BackendDeps['secrets'] = {
    read: async (name) => cluster && createSecretReader(cluster, NAMESPACE).read(name),
    create: () => Promise.reject(new Unavailable('certbot makes no Secrets')),
  };
  const certbot = subject.certbot?.(secrets);
  const operator = await startOperator({
    issuer: { backend: subject.backend, defaults: { duration: DURATION } },
    nameserver: responders.dns.address,
    http01Port: responders.http01.port,
    httpPort,
    ...(certbot ? { overrides: { certbot } } : {}),
  });
  ({ cluster } = operator);
  for (const [name, stringData] of Object.entries(subject.secrets))
    await operator.cluster.create(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData });
  const connected = await Promise.all(
    Array.from({ length: Math.max(...CLIENTS) }, async () => {
      const acme = await connect(createTransport(operator.ca), operator.directory);
      await register(acme);
      return acme;
    }),
  );
  const once: Side['once'] = async (client) => {
    const acme = connected[client];
    if (acme) await issue(acme, responders, [freshName()]);
  };
  await eventually('the issuer signs', () =>
    once(0).then(
      () => true,
      () => undefined,
    ),
  );
  return {
    once,
    stop: async () => {
      for (const { transport } of connected) transport.close();
      await operator.stop();
      await subject.stop();
      await stopResponders(responders);
    },
  };
}

/** A process of Node compiles what it runs for its first hundreds of orders. */
async function warmUp(side: Side): Promise<void> {
  const clients = Math.max(...CLIENTS);
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) await times(clients, clients, side);
}

/** In turns, so that both meet the machine as it is at the time. */
async function compare(sides: { alone: Side; behind: Side }, clients: number, count: number): Promise<string> {
  const [alone, behind]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    const part = Math.max(Math.ceil(count / TURNS), clients);
    behind.push(...(await times(clients, part, sides.behind)));
    alone.push(...(await times(clients, part, sides.alone)));
  }
  const [whole, theirs] = [median(behind), median(alone)];
  return `${clients} client${clients === 1 ? '' : 's'}: ${whole.toFixed(0)} ms an order, ${theirs.toFixed(0)} ms of the backend alone, ${(whole - theirs).toFixed(0)} ms ours: ${(whole / theirs).toFixed(2)} × (${alone.length} of each)`;
}

export async function runOverhead(name: SubjectName, args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { certificates: { type: 'string' } } });
  const count = Number(values.certificates ?? 80);
  const sides = { alone: await startAlone(SUBJECTS[name]), behind: await startBehind(SUBJECTS[name]) };
  try {
    for (const side of [sides.alone, sides.behind]) await warmUp(side);
    for (const clients of CLIENTS) process.stdout.write(`${name}, ${await compare(sides, clients, count)}\n`);
  } finally {
    await sides.alone.stop();
    await sides.behind.stop();
  }
}
