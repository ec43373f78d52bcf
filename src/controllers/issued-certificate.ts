// IssuedCertificate: reservations are worked off at CAs elsewhere, revocations are carried there, and what those CAs signed beyond what
// was released is swept up. Runs where controllers run: one process at a time asks a CA. Records of a CA at hand need nothing of this.
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { type CertificateRecord, isIssued, isReserved, RecordAnnotation } from '../api/issued-certificate.ts';
import type { Desk, Fulfilment, Progress } from '../issuance/fulfilment.ts';
import type { Orphans } from '../issuance/orphans.ts';
import { signingRequestOf } from '../issuance/record.ts';
import { isToBeCarried } from '../issuance/remote-revocation.ts';
import type { Backend, Backends, Cache, Clock, Counter, Log, Random } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';
import type { Controller, Enqueue } from '../runtime/controller.ts';
import { onEach } from '../runtime/reflector.ts';
import { createLane, type Lane } from './signing-lane.ts';

export interface IssuedCertificateDeps {
  records: Cache<CertificateRecord>;
  issuers: Cache<ClusterCAIssuer>;
  /** The operator's. */
  namespace: string;
  backends: Backends;
  fulfilment: Fulfilment;
  orphans: Orphans;
  carryRevocation: (record: CertificateRecord, desk: Desk) => Promise<void>;
  clock: Clock;
  random: Random;
  log: Log;
  /** Calls to CAs elsewhere, by issuer and outcome. */
  backendCalls: Counter;
  breakerOpened: Counter;
}

export interface IssuedCertificateController extends Controller {
  /** Enqueues every record there is, and from then on those that change. Returns the way to stop that. */
  watch(enqueue: Enqueue): () => void;
}

/** Records that appear in this time may be older than this process knows, their requests sent by the process before it. */
const HANDOVER_MS = 60_000;
/** A request that waits longer than this is likely to outlive this process: its handle goes on record. */
const KEEP_HANDLE_MS = 60_000;
const MIN_POLL_MS = 250;
const MAX_POLL_MS = 600_000;
/** A CA that is slow to finish what was given up has done so by then. */
const SWEEP_AFTER_MS = 15 * 60_000;
const SWEEP_WINDOW_MS = 24 * 3_600_000;
const PATROL_MS = 600_000;
/** Where there is nobody to ask yet. */
const NO_BACKEND_MS = 30_000;

/** What this process knows of a record beside what is stored. */
interface Memory {
  /** The CA may have signed without our knowing. */
  suspect: boolean;
  handle?: string;
  /** Of the first `pending`, as Clock.monotonic. */
  pendingSince?: number;
  sweepDue: boolean;
  swept: boolean;
}

export function createIssuedCertificateController(deps: IssuedCertificateDeps): IssuedCertificateController {
  const { records, namespace, clock, log } = deps;
  const memories = new Map<string, Memory>();
  const lanes = createLanes(deps, work);
  const inTurn = createTurns((uid, name) => lanes.of(uid).add(name));
  let handover = Infinity;

  function memoryOf(name: string): Memory {
    const known = memories.get(name) ?? { suspect: clock.monotonic() < handover, sweepDue: false, swept: false };
    memories.set(name, known);
    return known;
  }

  async function work(name: string, signal: AbortSignal): Promise<number | undefined> {
    const record = records.get({ namespace, name });
    const desk = record && lanes.deskOf(record, signal);
    if (!record) return void memories.delete(name);
    if (!desk) return isReserved(record) ? NO_BACKEND_MS : undefined;
    if (isReserved(record)) return reserved(record, desk);
    if (isToBeCarried(record, desk.backend)) await deps.carryRevocation(record, desk);
    return sweep(record, desk);
  }

  async function reserved(record: CertificateRecord, desk: Desk): Promise<number | undefined> {
    if (await deps.fulfilment.expire(record)) return undefined;
    if (desk.issuer.spec.suspend) return NO_BACKEND_MS;
    const { name } = record.metadata;
    const lane = desk.backend.lane?.(signingRequestOf(record));
    const turn = lane === undefined ? () => undefined : inTurn.take(lane, desk.issuer.metadata.uid, name);
    if (!turn) return undefined;
    const memory = memoryOf(name);
    const { suspect, handle } = memory;
    // Until its answer is on record: whatever interrupts this attempt, the next one searches first.
    memory.suspect = true;
    try {
      const progress = await deps.fulfilment.attempt(record, { ...desk, mayHaveBeenSent: suspect, handle });
      return await conclude(record, memory, { progress, suspect });
    } finally {
      turn();
    }
  }

  async function conclude(
    record: CertificateRecord,
    memory: Memory,
    { progress, suspect }: { progress: Progress; suspect: boolean },
  ): Promise<number | undefined> {
    if (progress.kind === 'done') {
      // What was asked for once, and answered, has no orphans to be looked for soon.
      memory.sweepDue = suspect;
      return suspect ? MIN_POLL_MS : undefined;
    }
    memory.suspect = false;
    memory.handle = progress.handle;
    memory.pendingSince ??= clock.monotonic();
    const isLong = clock.monotonic() - memory.pendingSince >= KEEP_HANDLE_MS;
    const kept = record.metadata.annotations?.[RecordAnnotation.handle];
    if (isLong && kept !== progress.handle) await deps.fulfilment.keepHandle(record, progress.handle);
    return Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, progress.retryAfterMs));
  }

  async function sweep(record: CertificateRecord, desk: Desk): Promise<number | undefined> {
    const memory = memories.get(record.metadata.name);
    if (!memory?.sweepDue) return undefined;
    const count = await deps.orphans.sweep(record, desk);
    memory.sweepDue = false;
    if (count > 0) log.warn({ record: record.metadata.name, count }, 'a CA had signed more than was released');
    return undefined;
  }

  /** Ends what expired, CA or no CA, and has each finished record compared once with what its CA has. */
  async function patrol(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(PATROL_MS * (0.9 + fraction(deps.random) / 5), signal).catch(() => undefined);
      if (signal.aborted) return;
      const now = clock.now().getTime();
      for (const record of records.list()) if (record.spec.approved) await inspect(record, now);
    }
  }

  async function inspect(record: CertificateRecord, now: number): Promise<void> {
    if (isReserved(record)) {
      await deps.fulfilment.expire(record).catch((error: unknown) => {
        log.warn({ record: record.metadata.name, error }, 'a reservation could not be ended');
      });
      return;
    }
    const { name } = record.metadata;
    const age = now - finishedAt(record);
    if (age > SWEEP_WINDOW_MS) return void memories.delete(name);
    const memory = memoryOf(name);
    if (memory.swept || age < SWEEP_AFTER_MS) return;
    Object.assign(memory, { swept: true, sweepDue: true });
    lanes.of(record.spec.issuerUID).add(name, { priority: 'low' });
  }

  return {
    name: 'issued-certificate',
    enqueue({ name }, options) {
      const record = records.get({ namespace, name });
      // What a CA at hand signed is none of the business of another that its issuer may have today.
      if (record?.spec.approved) lanes.of(record.spec.issuerUID).add(name, options);
    },
    watch(enqueue) {
      handover = clock.monotonic() + HANDOVER_MS;
      return onEach(records, (record, type) => {
        const { metadata, spec } = record;
        if (type === 'DELETED') memories.delete(metadata.name);
        else if (isReserved(record) || spec.revocation) enqueue(metadata);
      });
    },
    run: async (signal) => {
      await Promise.all([lanes.run(signal), patrol(signal)]);
    },
    idle: () => lanes.idle(),
    busy: () => lanes.busy(),
    depth: () => lanes.depth(),
  };
}

function finishedAt(record: CertificateRecord): number {
  return new Date((isIssued(record) ? record.status.issuedAt : record.status?.refusal?.refusedAt) ?? 0).getTime();
}

interface Lanes extends Pick<Controller, 'idle' | 'busy' | 'depth' | 'run'> {
  /** By uid of the issuer. */
  of(uid: string): Lane;
  /** What a record is worked on with; undefined where its issuer is gone or cannot be used. */
  deskOf(record: CertificateRecord, signal: AbortSignal): Desk | undefined;
}

function createLanes(
  deps: IssuedCertificateDeps,
  work: (name: string, signal: AbortSignal) => Promise<number | undefined>,
): Lanes {
  const lanes = new Map<string, Lane>();
  const running = new Set<Promise<void>>();
  let signal: AbortSignal | undefined;
  const all = () => [...lanes.values()];

  function issuerOf({ issuerRef, issuerUID }: Pick<CertificateRecord['spec'], 'issuerRef' | 'issuerUID'>) {
    const issuer = deps.issuers.get({ name: issuerRef.name });
    return issuer?.metadata.uid === issuerUID ? issuer : undefined;
  }

  function start(lane: Lane): void {
    if (!signal) return;
    const run = lane.run(signal).finally(() => running.delete(run));
    running.add(run);
  }

  function make(uid: string): Lane {
    const issuer = deps.issuers.list().find(({ metadata }) => metadata.uid === uid);
    const name = issuer?.metadata.name ?? uid;
    const lane = createLane({
      ...deps,
      name,
      concurrency: () => {
        const current = issuerOf({ issuerRef: { kind: 'ClusterCAIssuer', name }, issuerUID: uid });
        return (current && backendOf(deps.backends, current)?.concurrency) ?? CONCURRENCY;
      },
      work,
      onBreaker: (state) => {
        if (state === 'open') deps.breakerOpened.inc({ issuer: name });
      },
    });
    lanes.set(uid, lane);
    start(lane);
    return lane;
  }

  const of = (uid: string) => lanes.get(uid) ?? make(uid);
  return {
    of,
    deskOf(record, signal) {
      const issuer = issuerOf(record.spec);
      const backend = issuer && backendOf(deps.backends, issuer);
      if (!backend) return undefined;
      const ask = async <T>(call: () => Promise<T>): Promise<T> => {
        const { breaker } = of(record.spec.issuerUID);
        let outcome = 'failed';
        try {
          const result = await breaker.run(call, signal);
          outcome = 'answered';
          return result;
        } finally {
          deps.backendCalls.inc({ issuer: issuer.metadata.name, outcome });
        }
      };
      return { issuer, backend, ask, signal };
    },
    async run(given) {
      signal = given;
      all().forEach(start);
      await new Promise((resolve) => {
        if (given.aborted) resolve(undefined);
        given.addEventListener('abort', resolve, { once: true });
      });
      await Promise.all(running);
    },
    idle: async () => void (await Promise.all(all().map((lane) => lane.idle()))),
    busy: () => all().some((lane) => lane.busy()),
    depth: () => all().reduce((sum, lane) => sum + lane.depth(), 0),
  };
}

const CONCURRENCY = 4;

function backendOf(backends: Backends, issuer: ClusterCAIssuer): Backend | undefined {
  try {
    return backends.of(issuer);
  } catch {
    // The controller of issuers says what is wrong with it.
    return undefined;
  }
}

/** One request at a time for each lane of a backend; those that come meanwhile are queued again when it is done. */
function createTurns(again: (issuerUID: string, name: string) => void) {
  const taken = new Map<string, Set<string>>();
  return {
    /** The way to end the turn; undefined where another has it. */
    take(lane: string, issuerUID: string, name: string): (() => void) | undefined {
      const key = `${issuerUID} ${lane}`;
      const behind = taken.get(key);
      if (behind) return void behind.add(name);
      taken.set(key, new Set());
      return () => {
        const next = taken.get(key) ?? [];
        taken.delete(key);
        for (const each of next) again(issuerUID, each);
      };
    },
  };
}
