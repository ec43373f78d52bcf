// A renewal storm: every claim of the cluster is due at once, because the issuer says so, while one ACME client goes on ordering.
import { setTimeout as sleep } from 'node:timers/promises';
import { GROUP } from '../../support/serving-stage.ts';
import { cpuMs } from '../peers.ts';
import { orders, percentile } from './issue.ts';
import { loadClaims } from './objects.ts';
import { servingCA, type Serving, type Stage } from './stage.ts';

const POLL_MS = 250;
const DEADLINE_MS = 900_000;
const ISSUER = `${GROUP}/clustercaissuers/main`;
/** Account of the client in the foreground; loads before use those from 0 on. */
const FOREGROUND = 40;

export interface StormFigures {
  claims: number;
  /** Claims that came to their first certificate a second, those made as fast as the API takes them. */
  firstPerSecond: number;
  /** Claims renewed a second, to the last. */
  perSecond: number;
  /** Milliseconds of an order in the foreground. */
  idle: { p50: number; p99: number; count: number };
  during: { p50: number; p99: number; count: number };
  /** CPU milliseconds a renewal, foreground included. */
  cpu: Readonly<Record<string, number>>;
}

export async function measureStorm(
  stage: Stage,
  serving: Serving,
  { claims, idleOrders }: { claims: number; idleOrders: number },
): Promise<StormFigures> {
  const issued = () => issuedForClaims(serving);
  const atFirst = await issued();
  const began = performance.now();
  await loadClaims(stage, claims);
  await reaches(issued, atFirst + claims);
  const firstPerSecond = (1000 * claims) / (performance.now() - began);
  await settled(serving);

  const server = { directory: serving.directory, ca: await servingCA(stage) };
  const load = await orders(stage, server, { clients: 1, certificates: 1 }, FOREGROUND);
  await load.run(Math.ceil(idleOrders / 4));
  load.times.length = 0;
  await load.run(idleOrders);
  const idle = summary(load.times);
  load.times.length = 0;

  const before = await issued();
  const pids = { ...stage.pids, serve: serving.program.pid };
  const cpuBefore = Object.entries(pids).map(([name, pid]) => [name, cpuMs(pid)] as const);
  const over = new AbortController();
  const foreground = (async () => {
    while (!over.signal.aborted) await load.run(1);
  })();
  const started = performance.now();
  await reissue(stage);
  await reaches(issued, before + claims);
  await settled(serving);
  const seconds = (performance.now() - started) / 1000;
  const cpu = cpuBefore.map(([name, ms]) => [name, (cpuMs(pids[name as keyof typeof pids]) - ms) / claims] as const);
  over.abort();
  await foreground;
  load.close();
  return {
    claims,
    firstPerSecond,
    perSecond: claims / seconds,
    idle,
    during: summary(load.times),
    cpu: Object.fromEntries(cpu),
  };
}

const summary = (times: readonly number[]) => ({
  p50: percentile(times, 0.5),
  p99: percentile(times, 0.99),
  count: times.length,
});

/** The issuer wants every certificate of before this second replaced. */
async function reissue({ plane }: Stage): Promise<void> {
  // Certificates of this very second would not be older.
  await sleep(1100);
  const reissueBefore = `${new Date().toISOString().slice(0, 19)}Z`;
  await plane.api.expect('PATCH', ISSUER, { spec: { reissueBefore } }, 'application/merge-patch+json');
}

async function metrics({ distribution }: Serving): Promise<string> {
  return (await fetch(`${distribution}/metrics`)).text();
}

async function issuedForClaims(serving: Serving): Promise<number> {
  const lines = (await metrics(serving)).matchAll(
    /^countersign_certificates_issued_total\{[^}]*door="CertificateClaim"[^}]*\} (\S+)$/gm,
  );
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

async function reaches(count: () => Promise<number>, wanted: number): Promise<void> {
  for (const end = performance.now() + DEADLINE_MS; performance.now() < end; await sleep(POLL_MS)) {
    if ((await count()) >= wanted) return;
  }
  throw new Error(`${await count()} certificates for claims instead of ${wanted}`);
}

/** Nothing is left to do: Secrets and status are written too. */
async function settled(serving: Serving): Promise<void> {
  for (const end = performance.now() + DEADLINE_MS; performance.now() < end; await sleep(POLL_MS)) {
    const work = (await metrics(serving)).matchAll(
      /^countersign_workqueue_(?:depth|unfinished_work_seconds)\{name="certificate-claim"\} (\S+)$/gm,
    );
    if ([...work].every(([, value]) => Number(value) === 0)) return;
  }
  throw new Error('the claims never settled');
}
