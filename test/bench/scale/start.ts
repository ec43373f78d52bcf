// What a start of the operator costs among so many objects, and what it costs to have them: against client-node's own informers.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport, type Transport } from '../../support/acme-wire.ts';
import { startProgram } from '../../support/child-process.ts';
import { RECORDS } from '../../support/serving-stage.ts';
import { cpuMs, residentMiB } from '../peers.ts';
import { countOf } from './objects.ts';
import { type RawList, rawList } from './raw-list.ts';
import { type Serving, servingCA, type Stage } from './stage.ts';

const POLL_MS = 5;
const METRICS_POLL_MS = 50;
const DEADLINE_MS = 300_000;
/** Lists read for the least time that one takes. */
const RAW_LISTS = 3;

export interface StartFigures {
  records: number;
  /** Milliseconds since its process was started. */
  directoryMs: number;
  nonceMs: number;
  readyMs: number;
  reconciledMs: number;
  /** CPU until then. */
  cpuMs: number;
  raw: RawList;
  /** Of a core. */
  idle: number;
  /** MiB after the idle time. */
  rss: number;
  peak: number;
  informerRss: number;
  informerPeak: number;
}

/** Starts the operator, which stays on. */
export async function measureStart(stage: Stage, idleMs: number): Promise<StartFigures & { serving: Serving }> {
  const records = await countOf(stage.plane.api, RECORDS);
  const raws = [];
  for (let i = 0; i < RAW_LISTS; i++) raws.push(await rawList(stage));
  const raw = raws.toSorted((a, b) => a.ms - b.ms)[1] ?? { mib: 0, ms: 0 };
  const ca = await servingCA(stage);
  const serving = await stage.serve();
  const { pid } = serving.program;
  const transport = createTransport(ca);
  const [directoryMs, nonceMs, readyMs] = await Promise.all([
    answered(serving, transport, 'GET', serving.directory),
    answered(serving, transport, 'HEAD', serving.directory.replace('directory', 'new-nonce')),
    serving.program.waitFor(/^ready/m, DEADLINE_MS / 1000).then(() => performance.now() - serving.since),
  ]);
  await reconciled(serving);
  const reconciledMs = performance.now() - serving.since;
  if (serving.program.output().includes('is ignored')) throw new Error(serving.program.output().slice(0, 4000));
  const cpu = cpuMs(pid);
  transport.close();
  await sleep(idleMs / 4);
  const before = cpuMs(pid);
  await sleep(idleMs);
  const idle = (cpuMs(pid) - before) / idleMs;
  const [rss, peak] = [residentMiB(pid), residentMiB(pid, 'VmHWM')];
  const informer = await informerMemory(stage, records, idleMs * 1.25);
  return {
    serving,
    records,
    directoryMs,
    nonceMs,
    readyMs,
    reconciledMs,
    cpuMs: cpu,
    raw,
    idle,
    rss,
    peak,
    ...informer,
  };
}

async function answered(serving: Serving, transport: Transport, method: string, url: string): Promise<number> {
  for (const end = serving.since + DEADLINE_MS; ; await sleep(POLL_MS)) {
    const status = await transport.request(method, url).then(
      (reply) => reply.status,
      (error: unknown) => String(error),
    );
    const ms = performance.now() - serving.since;
    if (status === 200) return ms;
    if (performance.now() > end) throw new Error(`${method} ${url}: ${status}\n${serving.program.output()}`);
  }
}

/** Resolves once the operator leads and none of its controllers has anything to do. */
async function reconciled({ program, distribution, since }: Serving): Promise<void> {
  for (const end = since + DEADLINE_MS; performance.now() < end; await sleep(METRICS_POLL_MS)) {
    if (!program.output().includes('"leading"')) continue;
    const text = await (await fetch(`${distribution}/metrics`)).text();
    const work = text.matchAll(/^countersign_workqueue_(?:depth|unfinished_work_seconds)\{[^}]*\} (\S+)$/gm);
    const begun = /^countersign_workqueue_adds_total\{name="ca-issuer"\} [1-9]/m.test(text);
    if (begun && [...work].every(([, value]) => Number(value) === 0)) return;
  }
  throw new Error(`not reconciled:\n${program.output()}`);
}

async function informerMemory(
  { plane }: Stage,
  records: number,
  settleMs: number,
): Promise<Pick<StartFigures, 'informerRss' | 'informerPeak'>> {
  const script = join(import.meta.dirname, 'informer.ts');
  const program = startProgram(process.execPath, [script, plane.adminKubeconfig], { bound: true });
  try {
    const [line, held = ''] = await program.waitFor(/^holds (\d+) \d+$/m, DEADLINE_MS / 1000);
    if (Number(held) !== records) throw new Error(`the informer ${line}, of ${records} records`);
    await sleep(settleMs);
    return { informerRss: residentMiB(program.pid), informerPeak: residentMiB(program.pid, 'VmHWM') };
  } finally {
    await program.stop();
  }
}
