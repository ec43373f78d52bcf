// npm run bench -- scale [--short]: see scale/index.ts.
// npm run bench -- ejbca|upstream|certbot|webhook [--certificates N]: see overhead/index.ts.
// npm run bench [-- --certificates N] [-- --repeats N]: CPU of each server per certificate, as ratios within this one run.
// Protocol: the same client against every peer, warmed up, in turns; medians; a peer that did not run is a failure.
import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, type } from 'node:os';
import { parseArgs } from 'node:util';
import { runScale } from './scale/index.ts';
import { runOverhead } from './overhead/index.ts';
import { SUBJECTS, type SubjectName } from './overhead/subjects.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { createFloorLoad, createLoad, type Counted, type LoadOptions } from './load.ts';
import { cpuMs, type Peer, residentMiB, startCountersign, startFloor, startPebble } from './peers.ts';
import { hostileCosts } from './hostile.ts';
import { variantCosts } from './variants.ts';
import { countWrites } from './writes.ts';

const [subject = '', ...subjectArgs] = process.argv.slice(2);
const isBackend = (name: string): name is SubjectName => Object.hasOwn(SUBJECTS, name);
const { values } = parseArgs({
  ...(subject === 'scale' || isBackend(subject) ? { args: [] } : {}),
  options: { certificates: { type: 'string' }, repeats: { type: 'string' }, clients: { type: 'string' } },
});
const CERTIFICATES = Number(values.certificates ?? 3000);
const REPEATS = Number(values.repeats ?? 3);
const CLIENTS = Number(values.clients ?? 8);
/** Certificates before anything is measured, however few are: a process of Node compiles what it runs for its first thousand or two. */
const WARM_UP = Math.max(1500, Math.ceil(CERTIFICATES / 2));
/** How far the floor's own operations may lie above what OpenSSL measures. */
const FLOOR_LIMIT = 1.5;

const say = (text: string) => process.stdout.write(`${text}\n`);
const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

if (subject === 'scale') await end(() => runScale(subjectArgs));
if (isBackend(subject)) await end(() => runOverhead(subject, subjectArgs));

const dns = await startDnsServer();
const http01 = await startHttp01Responder();
const surroundings = { resolver: `127.0.0.1:${dns.port}`, http01Port: http01.port };
const peers: Peer[] = [];

interface Contestant {
  peer: Peer;
  run(certificates: number): Promise<Counted | undefined>;
  /** CPU milliseconds per certificate of each repeat. */
  cpu: number[];
  counted: Counted | undefined;
}

async function contestant(peer: Peer, options: Partial<LoadOptions> = {}): Promise<Contestant> {
  peers.push(peer);
  const load = await createLoad({
    directory: peer.directory,
    ca: peer.ca,
    clients: CLIENTS,
    certificates: CERTIFICATES,
    http01,
    ...options,
  });
  return { peer, run: load.run, cpu: [], counted: undefined };
}

async function measure(one: Contestant, certificates: number): Promise<number> {
  const before = cpuMs(one.peer.pid);
  one.counted = (await one.run(certificates)) ?? one.counted;
  return (cpuMs(one.peer.pid) - before) / certificates;
}

async function turns(contestants: readonly Contestant[]): Promise<void> {
  for (const one of contestants) await measure(one, WARM_UP);
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const one of contestants) one.cpu.push(await measure(one, CERTIFICATES));
  }
}

function opensslMicroseconds(): { verify: number; sign: number } {
  const { stdout } = spawnSync('taskset', ['-c', '0', 'openssl', 'speed', '-seconds', '2', 'ecdsap256'], {
    encoding: 'utf8',
  });
  const match = /256 bits ecdsa \(nistp256\)\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)/.exec(stdout);
  if (!match) throw new Error('openssl speed printed no figures');
  return { sign: 1e6 / Number(match[1]), verify: 1e6 / Number(match[2]) };
}

function checkFloor(costs: { verify: number; sign: number }): void {
  const openssl = opensslMicroseconds();
  say(
    `floor: verify ${costs.verify.toFixed(0)} µs (openssl speed ${openssl.verify.toFixed(0)}), sign ${costs.sign.toFixed(0)} µs (openssl speed ${openssl.sign.toFixed(0)})`,
  );
  const ratio = (costs.verify + costs.sign) / (openssl.verify + openssl.sign);
  if (ratio > FLOOR_LIMIT) throw new Error(`the floor is ${ratio.toFixed(2)} × OpenSSL's own figures: it is no floor`);
}

const line = ({ peer, cpu }: Contestant) =>
  `${peer.name.padEnd(32)} ${median(cpu).toFixed(2).padStart(7)} ms CPU/certificate (${Math.min(...cpu).toFixed(2)}–${Math.max(...cpu).toFixed(2)}), ${residentMiB(peer.pid).toFixed(0)} MiB`;

async function main(): Promise<void> {
  const ours = await contestant(await startCountersign(surroundings, 'memory'));
  const memoryAtStart = residentMiB(ours.peer.pid);
  const sqlite = await contestant(await startCountersign(surroundings, 'sqlite'));
  const pebble = await contestant(await startPebble(surroundings));
  const counted = await ours.run(CERTIFICATES);
  if (!counted) throw new Error('nothing was counted');
  const per = { requests: counted.requests / CERTIFICATES, signed: counted.signed / CERTIFICATES };
  const floorPeer = await startFloor();
  peers.push(floorPeer);
  checkFloor(floorPeer.costs);
  const floorLoad = await createFloorLoad({ origin: floorPeer.directory, ca: floorPeer.ca, clients: CLIENTS, per });
  const floor: Contestant = {
    peer: floorPeer,
    run: async (n) => {
      await floorLoad.run(n);
      return undefined;
    },
    cpu: [],
    counted: undefined,
  };
  say(
    `per order: ${per.requests.toFixed(1)} requests, ${per.signed.toFixed(1)} of them signed; ${CLIENTS} clients, ${CERTIFICATES} certificates × ${REPEATS}`,
  );
  await turns([ours, floor, pebble, sqlite]);
  for (const one of [floor, ours, sqlite, pebble]) say(line(one));
  const issued = CERTIFICATES * (REPEATS + 1) + WARM_UP;
  say(
    `memory: ${memoryAtStart.toFixed(0)} MiB at start, ${(((residentMiB(ours.peer.pid) - memoryAtStart) / issued) * 1000).toFixed(1)} MiB per 1,000 certificates`,
  );
  say(
    `start to ready: countersign ${ours.peer.startedMs.toFixed(0)} ms, pebble ${pebble.peer.startedMs.toFixed(0)} ms`,
  );
  await Promise.all(peers.splice(0).map((peer) => peer.stop()));
  await reportVariants();
  await reportHostile();
  const writes = await countWrites({ dns, http01 });
  say(
    `bench cpu_over_floor=${(median(ours.cpu) / median(floor.cpu)).toFixed(2)} cpu_over_pebble=${(median(ours.cpu) / median(pebble.cpu)).toFixed(2)} writes_per_certificate=${writes}`,
  );
}

async function reportVariants(): Promise<void> {
  const certificates = Math.ceil(CERTIFICATES / 5);
  for (const { variant, ms, ratio } of await variantCosts(surroundings, { http01, certificates, clients: CLIENTS }))
    say(`${variant.padEnd(32)} ${ms.toFixed(2).padStart(7)} ms CPU/order, ${ratio.toFixed(2)} × a plain one`);
}

async function reportHostile(): Promise<void> {
  const costs = await hostileCosts(Math.min(200, Math.ceil(CERTIFICATES / 10)));
  const dearest = costs.toSorted((a, b) => b.ratio - a.ratio);
  say(
    `hostile input, CPU over that of a good newOrder: ${costs.length} kinds, at most ${dearest[0]?.ratio.toFixed(1)}`,
  );
  for (const { input, ratio } of dearest.slice(0, 5)) say(`  ${input.padEnd(40)} ${ratio.toFixed(1)}`);
}

/** So that others can tell what the figures are of. */
function sayWhere(): void {
  const revision = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim();
  say(
    `${new Date().toISOString().slice(0, 10)} · revision ${revision || 'unknown'} · Node ${process.version} · ${type()} ${release()} · ${cpus().length} × ${cpus()[0]?.model} · load ${loadavg()[0]?.toFixed(1)}`,
  );
}

await end(main, async () => {
  await Promise.all(peers.map((peer) => peer.stop()));
  await http01.stop();
  await dns.stop();
});

/** Does the work, cleans up, and ends the process. */
async function end(work: () => Promise<void>, cleanUp?: () => Promise<void>): Promise<never> {
  try {
    sayWhere();
    await work();
  } catch (error) {
    process.stderr.write(`bench failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    await cleanUp?.();
  }
  process.exit();
}
