// npm run bench -- scale [--short]: the operator on a real API server and a disk that etcd syncs to, among many objects.
import { parseArgs } from 'node:util';
import { type IssueFigures, measureOurs, measureStepCa, orders } from './issue.ts';
import { loadRecords, loadSecrets, makeTeams, templateOf } from './objects.ts';
import { measureStart, type StartFigures } from './start.ts';
import { servingCA, type Stage, startStage } from './stage.ts';
import { measureStorm, type StormFigures } from './storm.ts';

interface Extent {
  /** Numbers of records among which the operator is started. */
  records: readonly number[];
  /** That among which certificates are issued. */
  issueAt: number;
  secrets: number;
  idleMs: number;
  certificates: number;
  claims: number;
  idleOrders: number;
}

const FULL: Extent = {
  records: [1000, 10_000, 100_000],
  issueAt: 10_000,
  secrets: 30_000,
  idleMs: 60_000,
  certificates: 6000,
  claims: 10_000,
  idleOrders: 1000,
};
const SHORT: Extent = {
  records: [1000, 10_000],
  issueAt: 10_000,
  secrets: 3000,
  idleMs: 10_000,
  certificates: 900,
  claims: 500,
  idleOrders: 200,
};
const CLIENTS = 16;

const say = (text: string) => process.stdout.write(`${text}\n`);
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

export async function runScale(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { short: { type: 'boolean' } } });
  const extent = values.short ? SHORT : FULL;
  const stage = await startStage();
  try {
    await scale(stage, extent);
  } finally {
    await stage.stop();
  }
}

async function scale(stage: Stage, extent: Extent): Promise<void> {
  const template = await firstRecord(stage);
  await makeTeams(stage);
  await loadSecrets(stage, extent.secrets);
  say(`${extent.secrets} foreign Secrets; ${extent.records.join(', ')} records`);
  const starts: StartFigures[] = [];
  let issued: { ours: IssueFigures; stepCa: IssueFigures } | undefined;
  let storm: StormFigures | undefined;
  for (const count of extent.records) {
    await loadRecords(stage, template, count);
    const { serving, ...figures } = await measureStart(stage, extent.idleMs);
    starts.push(figures);
    sayStart(figures);
    if (count === extent.issueAt) {
      const load = { clients: CLIENTS, certificates: extent.certificates };
      issued = { ours: await measureOurs(stage, serving, load), stepCa: await measureStepCa(stage, load) };
      sayIssued('countersign', issued.ours);
      sayIssued('step-ca, bbolt', issued.stepCa);
    }
    if (count === extent.records.at(-1)) {
      storm = await measureStorm(stage, serving, extent);
      sayStorm(storm);
    }
    await serving.program.stop();
  }
  const last = starts.at(-1);
  if (!last || !issued || !storm) throw new Error('nothing was measured');
  sayExponents(starts);
  const { ours, stepCa } = issued;
  const own = ours.cpu['serve'] ?? Number.NaN;
  const cluster = own + (ours.cpu['apiServer'] ?? 0) + (ours.cpu['etcd'] ?? 0);
  const peer = stepCa.cpu['step-ca'] ?? Number.NaN;
  const figures = {
    rss_over_informer: last.rss / last.informerRss,
    durable_per_second: ours.perSecond,
    cpu_over_stepca: own / peer,
    cpu_with_cluster_over_stepca: cluster / peer,
    storm_per_second: storm.perSecond,
  };
  const words = Object.entries(figures).map(([name, value]) => `${name}=${value.toFixed(value < 10 ? 2 : 0)}`);
  say(`bench ${words.join(' ')}`);
}

/** One certificate, by which there is all that a first start makes, and a record to go by. */
async function firstRecord(stage: Stage) {
  const { program, directory } = await stage.serve();
  await program.waitFor(/^ready/m);
  const load = await orders(stage, { directory, ca: await servingCA(stage) }, { clients: 1, certificates: 1 });
  await load.run(1);
  load.close();
  await program.stop();
  return templateOf(stage);
}

function sayStart(it: StartFigures): void {
  say(`${it.records} records:`);
  say(
    `  directory after ${seconds(it.directoryMs)}, newNonce after ${seconds(it.nonceMs)}, ready after ${seconds(it.readyMs)}`,
  );
  say(
    `  reconciled after ${seconds(it.reconciledMs)} and ${seconds(it.cpuMs)} of CPU; a raw list of ${it.raw.mib.toFixed(0)} MiB takes ${seconds(it.raw.ms)}: ${(it.reconciledMs / it.raw.ms).toFixed(2)} ×`,
  );
  say(
    `  resident ${it.rss.toFixed(0)} MiB (at most ${it.peak.toFixed(0)}), client-node's informers ${it.informerRss.toFixed(0)} MiB (at most ${it.informerPeak.toFixed(0)}): ${(it.rss / it.informerRss).toFixed(2)} ×`,
  );
  say(`  idle ${(100 * it.idle).toFixed(2)} % of a core`);
}

function sayIssued(name: string, it: IssueFigures): void {
  const cpu = Object.entries(it.cpu).map(([process, ms]) => `${process} ${ms.toFixed(2)}`);
  say(
    `${name}: ${it.perSecond.toFixed(0)} certificates a second by ${CLIENTS} clients, p50 ${it.p50.toFixed(0)} ms, p99 ${it.p99.toFixed(0)} ms; CPU ms a certificate: ${cpu.join(', ')}; WAL fsync p99 ${it.walP99.toFixed(1)} ms`,
  );
}

function sayStorm(it: StormFigures): void {
  const cpu = Object.entries(it.cpu).map(([process, ms]) => `${process} ${ms.toFixed(2)}`);
  const order = ({ p50, p99, count }: StormFigures['idle']) =>
    `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms of ${count} orders`;
  say(
    `storm of ${it.claims} claims: ${it.perSecond.toFixed(0)} renewed a second (first certificates ${it.firstPerSecond.toFixed(0)} a second); CPU ms a renewal: ${cpu.join(', ')}`,
  );
  say(
    `  in the foreground meanwhile ${order(it.during)}; without it ${order(it.idle)}: p99 ${(it.during.p99 / it.idle.p99).toFixed(1)} ×`,
  );
}

/** Slopes of the logarithms from the fewest records to the most. */
function sayExponents(starts: readonly StartFigures[]): void {
  const [first, last] = [starts[0], starts.at(-1)];
  if (!first || !last || first === last) return;
  const slope = (of: (it: StartFigures) => number) =>
    (Math.log(of(last) / of(first)) / Math.log(last.records / first.records)).toFixed(2);
  say(
    `exponents from ${first.records} to ${last.records}: time to reconciled ${slope((it) => it.reconciledMs)}, CPU ${slope((it) => it.cpuMs)}, memory ${slope((it) => it.rss)}; raw list ${slope((it) => it.raw.ms)}`,
  );
}
