// A lane for each issuer whose CA is elsewhere, and what a record is worked on with there.
import type { Issuer } from '../api/issuer.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import type { Desk } from '../issuance/fulfilment.ts';
import { issuerFields, issuerLabels, type IssuerName } from '../domain/issuer.ts';
import type { Backend, Backends, Cache, Counter, Log } from '../ports.ts';
import type { Controller } from '../runtime/controller.ts';
import type { RunDeps } from '../runtime/run.ts';
import type { WorkQueueMetrics } from '../runtime/work-queue.ts';
import { createLane, type Lane } from './signing-lane.ts';

export interface LanesDeps extends Pick<RunDeps, 'clock' | 'random' | 'log' | 'durations'> {
  issuers: Cache<Issuer>;
  backends: Backends;
  /** Calls to CAs elsewhere, by issuer and outcome. */
  backendCalls: Counter;
  breakerOpened: Counter;
  /** The CA of the issuer is thought to be away, or has answered again. */
  onBreaker: (issuer: IssuerName) => void;
  queueMetrics?: WorkQueueMetrics;
}

export interface Lanes extends Pick<Controller, 'idle' | 'busy' | 'depth' | 'unfinished' | 'run'> {
  /** By uid of the issuer. */
  of(uid: string): Lane;
  /** What a record is worked on with; undefined where its issuer is gone or cannot be used. */
  deskOf(record: CertificateRecord, signal: AbortSignal): Desk | undefined;
}

const CONCURRENCY = 4;

export function createLanes(deps: LanesDeps, work: LaneWork): Lanes {
  const lanes = new Map<string, Lane>();
  const runs = createRuns();
  const all = () => [...lanes.values()];
  const of = (uid: string): Lane => {
    const known = lanes.get(uid);
    if (known) return known;
    const made = makeLane(deps, uid, work);
    lanes.set(uid, made);
    runs.add(made);
    return made;
  };
  return {
    of,
    deskOf(record, signal) {
      const issuer = issuerOf(deps, record.spec);
      const backend = issuer && backendOf(deps, issuer);
      if (!backend) return undefined;
      return {
        issuer,
        backend,
        signal,
        ask: (call) => ask(deps, { issuer, lane: of(issuer.metadata.uid), signal }, call),
      };
    },
    run: (signal) => runs.run(signal),
    idle: async () => void (await Promise.all(all().map((lane) => lane.idle()))),
    busy: () => all().some((lane) => lane.busy()),
    depth: () => all().reduce((sum, lane) => sum + lane.depth(), 0),
    unfinished: () => {
      const each = all().map((lane) => lane.unfinished());
      return {
        seconds: each.reduce((sum, { seconds }) => sum + seconds, 0),
        longest: Math.max(0, ...each.map(({ longest }) => longest)),
      };
    },
  };
}

type LaneWork = (name: string, signal: AbortSignal, log: Log) => Promise<number | undefined>;

function makeLane(deps: LanesDeps, uid: string, work: LaneWork): Lane {
  const issuerRef: IssuerName = deps.issuers.list().find(({ metadata }) => metadata.uid === uid)?.metadata ?? {
    name: uid,
  };
  return createLane({
    ...deps,
    fields: issuerFields({ metadata: issuerRef }),
    work,
    concurrency: () => {
      const issuer = issuerOf(deps, { issuerRef, issuerUID: uid });
      return (issuer && backendOf(deps, issuer)?.concurrency) ?? CONCURRENCY;
    },
    onBreaker: (state) => {
      if (state === 'open') deps.breakerOpened.inc(issuerLabels({ metadata: issuerRef }));
      deps.onBreaker(issuerRef);
    },
  });
}

async function ask<T>(
  { backendCalls }: LanesDeps,
  { issuer, lane, signal }: { issuer: Issuer; lane: Lane; signal: AbortSignal },
  call: () => Promise<T>,
): Promise<T> {
  let outcome = 'failed';
  try {
    const result = await lane.breaker.run(call, signal);
    outcome = 'answered';
    return result;
  } finally {
    backendCalls.inc({ ...issuerLabels(issuer), outcome });
  }
}

function issuerOf(
  { issuers }: LanesDeps,
  { issuerRef, issuerUID }: { issuerRef: IssuerName; issuerUID: string },
): Issuer | undefined {
  const { namespace, name } = issuerRef;
  const issuer = issuers.get(namespace === undefined ? { name } : { namespace, name });
  return issuer?.metadata.uid === issuerUID ? issuer : undefined;
}

function backendOf({ backends }: LanesDeps, issuer: Issuer): Backend | undefined {
  try {
    return backends.of(issuer);
  } catch {
    // The controller of issuers says what is wrong with it.
    return undefined;
  }
}

/** Runs lanes that are there, and those that come. */
function createRuns() {
  const lanes: Lane[] = [];
  const running = new Set<Promise<void>>();
  let signal: AbortSignal | undefined;

  function start(lane: Lane): void {
    if (!signal) return;
    const run = lane.run(signal).finally(() => running.delete(run));
    running.add(run);
  }

  return {
    add(lane: Lane): void {
      lanes.push(lane);
      start(lane);
    },
    /** Resolves once the signal has aborted and all lanes have ended. */
    async run(given: AbortSignal): Promise<void> {
      signal = given;
      lanes.forEach(start);
      await new Promise((resolve) => {
        if (given.aborted) resolve(undefined);
        given.addEventListener('abort', resolve, { once: true });
      });
      await Promise.all(running);
    },
  };
}
