// npm run bench -- upstream [--certificates N]: what an order through us costs in time beside what the ACME CA upstream takes. Pebble is asked
// by our backend alone, then by the whole program for ACME clients, one and eight at a time, in turns; medians.
import { parseArgs } from 'node:util';
import { createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { startOperator } from '../operator/harness.ts';
import { issue, register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import { freePort } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { createClient, startSurroundings } from '../upstream/client.ts';

const CLIENTS = [1, 8] as const;

const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Milliseconds of each, so many at a time. */
async function times(clients: number, count: number, once: (client: number) => Promise<unknown>): Promise<number[]> {
  const taken: number[] = [];
  const run = async (client: number): Promise<void> => {
    for (let i = client; i < count; i += clients) {
      const started = performance.now();
      await once(client);
      taken.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, client) => run(client)));
  return taken;
}

const specOf = ({ directory, caBundle, roots }: Pebble) => ({
  directory,
  caBundle,
  trustAnchors: roots.join(''),
  account: { keySecretRef: { name: 'pebble' }, termsOfService: 'data:text/plain,Do%20what%20thou%20wilt' },
  preCheck: { enabled: false },
});

async function startAlone() {
  const around = await startSurroundings();
  const pebble = await startPebble({ httpPort: around.httpPort, resolver: around.dns.address });
  const client = createClient(around, { spec: specOf(pebble), secrets: createMemorySecrets() });
  return {
    once: () => client.settle(aSigningRequest({ names: { dnsNames: [freshName()] } }), { waitMs: Infinity }),
    stop: async () => {
      await pebble.stop();
      await around.stop();
    },
  };
}

async function startBehind() {
  const responders = await startResponders();
  const httpPort = await freePort();
  const pebble = await startPebble({ httpPort, resolver: responders.dns.address });
  const operator = await startOperator({
    issuer: { backend: { acme: specOf(pebble) }, defaults: { duration: '168h' } },
    nameserver: responders.dns.address,
    http01Port: responders.http01.port,
    httpPort,
  });
  const connected = await Promise.all(
    Array.from({ length: Math.max(...CLIENTS) }, async () => {
      const acme = await connect(createTransport(operator.ca), operator.directory);
      await register(acme);
      return acme;
    }),
  );
  const first = async () => connected[0] && issue(connected[0], responders, [freshName()]);
  await eventually('the issuer signs', () => first().catch(() => undefined));
  return {
    once: async (client: number) => {
      const acme = connected[client];
      if (acme) await issue(acme, responders, [freshName()]);
    },
    stop: async () => {
      for (const { transport } of connected) transport.close();
      await operator.stop();
      await pebble.stop();
      await stopResponders(responders);
    },
  };
}

export async function runUpstream(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { certificates: { type: 'string' } } });
  const count = Number(values.certificates ?? 80);
  const [alone, behind] = [await startAlone(), await startBehind()];
  try {
    for (const clients of CLIENTS) {
      await times(clients, clients * 2, alone.once);
      const ours = median(await times(clients, Math.max(count, clients), behind.once));
      const theirs = median(await times(clients, Math.max(count, clients), alone.once));
      process.stdout.write(
        `${clients} client${clients === 1 ? '' : 's'}: ${Math.round(ours)} ms an order, ${Math.round(theirs)} ms of them upstream, ${Math.round(ours - theirs)} ms ours\n`,
      );
    }
  } finally {
    await alone.stop();
    await behind.stop();
  }
}
