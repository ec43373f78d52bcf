// IssuedCertificate: reservations are worked off at CAs elsewhere, revocations are carried there, and what those CAs signed beyond what
// was released is swept up. Runs where controllers run: one process at a time asks a CA. Records of a CA at hand need nothing of this.
import { setImmediate as otherWork } from 'node:timers/promises';
import {
  type CertificateRecord,
  isIssued,
  isReserved,
  RecordAnnotation,
  RecordLabel,
} from '../api/issued-certificate.ts';
import type { Desk, Fulfilment, Progress } from '../issuance/fulfilment.ts';
import type { Orphans } from '../issuance/orphans.ts';
import { signingRequestOf } from '../issuance/record.ts';
import { type Heard, isToBeCarried } from '../issuance/remote-revocation.ts';
import type { Backend, Cache, Log } from '../ports.ts';
import { fraction } from '../runtime/back-off.ts';
import type { Controller, Enqueue } from '../runtime/controller.ts';
import type { AbandonedRequests } from './abandoned-requests.ts';
import type { UpstreamRenewals } from './upstream-renewals.ts';
import { QUEUE } from './signing-lane.ts';
import { createLanes, type Lanes, type LanesDeps } from './signing-lanes.ts';
import { createTurns, type Turns } from './signing-turns.ts';

export interface IssuedCertificateDeps extends LanesDeps {
  /** With RECORD_INDEXES. */
  records: Cache<CertificateRecord>;
  /** The operator's. */
  namespace: string;
  fulfilment: Fulfilment;
  orphans: Orphans;
  abandoned: AbandonedRequests;
  carryRevocation: (record: CertificateRecord, desk: Desk, heard: Heard) => Promise<void>;
  renewals: UpstreamRenewals;
}

export interface IssuedCertificateController extends Controller {
  /** Enqueues every record that may want something of its CA, and from then on those that change. Returns the way to stop that. */
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
/** Records looked at in one turn of the event loop. */
const AT_ONCE = 100;
/** Of looks that ask nobody. */
const NEVER = new AbortController().signal;
/** Where there is nobody to ask yet. */
const NO_BACKEND_MS = 30_000;

/** What this process knows of a record beside what is stored. */
interface Memory extends Heard {
  /** The CA may have signed without our knowing. */
  suspect: boolean;
  handle?: string;
  /** Of the first `pending`, as Clock.monotonic. */
  pendingSince?: number;
  sweepDue: boolean;
  swept: boolean;
}

interface Memories {
  of(name: string): Memory;
  peek(name: string): Memory | undefined;
  forget(name: string): void;
  /** From now on this process is the one that asks CAs. */
  takeOver(): void;
}

/** What the pieces of the controller share. */
interface Shared {
  deps: IssuedCertificateDeps;
  lanes: Lanes;
  memories: Memories;
  turns: Turns;
}

export function createIssuedCertificateController(deps: IssuedCertificateDeps): IssuedCertificateController {
  const { records, namespace } = deps;
  const memories = createMemories(deps);
  const lanes: Lanes = createLanes(deps, (name, signal, log) => work(shared, name, { signal, log }));
  const turns = createTurns((uid, name) => lanes.of(uid).add(name));
  const shared: Shared = { deps, lanes, memories, turns };
  return {
    name: QUEUE,
    enqueue({ name }, options) {
      const record = records.get({ namespace, name });
      // What a CA at hand signed is none of the business of another that its issuer may have today.
      if (record?.spec.approved) lanes.of(record.spec.issuerUID).add(name, options);
    },
    watch(enqueue) {
      memories.takeOver();
      /** Reservations of claims, by record, with the claim's uid. */
      const claimed = new Map<string, string>();
      const take = (record: CertificateRecord, type: 'ADDED' | 'MODIFIED' | 'DELETED') => {
        const { metadata, spec } = record;
        const claim = metadata.labels?.[RecordLabel.claim];
        const isOpen = isReserved(record) && type !== 'DELETED';
        if (isOpen && claim !== undefined) claimed.set(metadata.name, claim);
        else claimed.delete(metadata.name);
        if (type === 'DELETED') {
          memories.forget(metadata.name);
          deps.renewals.forget(metadata.name);
        } else if (isOpen || spec.revocation) enqueue(metadata);
      };
      for (const record of records.byIndex('remote', 'open')) take(record, 'ADDED');
      const stopRecords = records.onChange(take);
      const stopClaims = deps.abandoned.watch((uid) => {
        for (const [name, claim] of claimed) if (claim === uid) enqueue({ namespace, name });
      });
      return () => {
        stopRecords();
        stopClaims();
      };
    },
    run: async (signal) => {
      await Promise.all([lanes.run(signal), patrol(shared, signal)]);
    },
    idle: () => lanes.idle(),
    busy: () => lanes.busy(),
    depth: () => lanes.depth(),
    unfinished: () => lanes.unfinished(),
  };
}

function createMemories({ clock }: IssuedCertificateDeps): Memories {
  const memories = new Map<string, Memory>();
  let handover = Infinity;
  return {
    of(name) {
      const known = memories.get(name) ?? { suspect: clock.monotonic() < handover, sweepDue: false, swept: false };
      memories.set(name, known);
      return known;
    },
    peek: (name) => memories.get(name),
    forget: (name) => void memories.delete(name),
    takeOver() {
      // What is remembered of a time before may have been overtaken by the process in between.
      memories.clear();
      handover = clock.monotonic() + HANDOVER_MS;
    },
  };
}

/** Milliseconds until the record is to be looked at again, undefined when there is nothing left to do. */
type Again = Promise<number | undefined>;

async function work(shared: Shared, name: string, { signal, log }: { signal: AbortSignal; log: Log }): Again {
  const { deps, lanes, memories } = shared;
  const record = deps.records.get({ namespace: deps.namespace, name });
  if (!record) {
    memories.forget(name);
    return undefined;
  }
  const desk = lanes.deskOf(record, signal);
  if (!desk) return isReserved(record) ? NO_BACKEND_MS : undefined;
  if (isReserved(record)) return fulfil(shared, record, desk);
  if (isToBeCarried(record, desk.backend)) await deps.carryRevocation(record, desk, memories.of(name));
  else if (deps.renewals.isDue(record, desk.backend)) await deps.renewals.ask(record, desk);
  return sweep(shared, record, { desk, log });
}

async function fulfil({ deps, memories, turns }: Shared, record: CertificateRecord, desk: Desk): Again {
  const { fulfilment } = deps;
  if (await fulfilment.expire(record)) return undefined;
  const { name } = record.metadata;
  const memory = memories.of(name);
  const { suspect, handle } = memory;
  const abandoned = await deps.abandoned.includes(record);
  if (abandoned && !mayBeUnderWay(record, memory, desk.backend)) {
    await deps.abandoned.end(record);
    memory.sweepDue = suspect;
    return suspect ? MIN_POLL_MS : undefined;
  }
  if (desk.issuer.spec.suspend) return NO_BACKEND_MS;
  const lane = desk.backend.lane?.(signingRequestOf(record));
  const endTurn = lane === undefined ? () => undefined : turns.take(desk.issuer.metadata.uid, lane, name);
  if (!endTurn) return undefined;
  // Until its answer is on record: whatever interrupts this attempt, the next one searches first.
  memory.suspect = true;
  try {
    const onKept = (kept: string) => void (memory.handle = kept);
    const progress = await fulfilment.attempt(record, { ...desk, mayHaveBeenSent: suspect, handle, onKept });
    if (progress.kind === 'pending') return await postpone(deps, record, { memory, progress });
    if (abandoned || (await deps.abandoned.includes(record))) await deps.abandoned.end(record);
    // What was asked for once, and answered, has no orphans to be looked for soon.
    memory.sweepDue = suspect;
    return suspect ? MIN_POLL_MS : undefined;
  } finally {
    endTurn();
  }
}

/**
 * A CA that has said that it is at work, or that may be and cannot be searched, is asked to the end: there is no taking the request
 * back, and nobody must lose sight of what it signs.
 */
function mayBeUnderWay({ metadata }: CertificateRecord, { suspect, handle }: Memory, backend: Backend): boolean {
  const said = handle ?? metadata.annotations?.[RecordAnnotation.handle];
  return (said !== undefined && said !== '') || (suspect && !backend.search);
}

async function postpone(
  { clock, fulfilment }: IssuedCertificateDeps,
  record: CertificateRecord,
  { memory, progress }: { memory: Memory; progress: Progress & { kind: 'pending' } },
): Promise<number> {
  const { handle, retryAfterMs } = progress;
  const pendingSince = memory.pendingSince ?? clock.monotonic();
  Object.assign(memory, { suspect: false, handle, pendingSince });
  const isLong = clock.monotonic() - pendingSince >= KEEP_HANDLE_MS;
  const kept = record.metadata.annotations?.[RecordAnnotation.handle];
  if (isLong && kept !== handle) await fulfilment.keepHandle(record, handle);
  return Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, retryAfterMs));
}

async function sweep(
  { deps, memories }: Shared,
  record: CertificateRecord,
  { desk, log }: { desk: Desk; log: Log },
): Again {
  const { name } = record.metadata;
  const memory = memories.peek(name);
  if (!memory?.sweepDue) return undefined;
  const count = await deps.orphans.sweep(record, desk);
  memory.sweepDue = false;
  if (count > 0) log.warn({ count }, 'a CA had signed more than was released');
  return undefined;
}

/** Ends what expired, CA or no CA, and has each finished record compared once with what its CA has. */
async function patrol(shared: Shared, signal: AbortSignal): Promise<void> {
  const { clock, random, records } = shared.deps;
  while (!signal.aborted) {
    await clock.sleep(PATROL_MS * (0.9 + fraction(random) / 5), signal).catch(() => undefined);
    if (signal.aborted) return;
    const now = clock.now().getTime();
    if (!records.has('remote', 'all')) continue;
    let seen = 0;
    for (const record of records.each()) {
      if (record.spec.approved) await inspect(shared, record, now);
      if (++seen % AT_ONCE === 0) await otherWork();
    }
  }
}

async function inspect({ deps, lanes, memories }: Shared, record: CertificateRecord, now: number): Promise<void> {
  const { name } = record.metadata;
  if (isReserved(record)) {
    await deps.fulfilment.expire(record).catch((error: unknown) => {
      deps.log.warn({ record: name, error }, 'a reservation could not be ended');
    });
    return;
  }
  const desk = lanes.deskOf(record, NEVER);
  if (desk && deps.renewals.isDue(record, desk.backend)) lanes.of(record.spec.issuerUID).add(name, { priority: 'low' });
  const age = now - finishedAt(record);
  if (age > SWEEP_WINDOW_MS) return memories.forget(name);
  const memory = memories.of(name);
  if (memory.swept || age < SWEEP_AFTER_MS) return;
  Object.assign(memory, { swept: true, sweepDue: true });
  lanes.of(record.spec.issuerUID).add(name, { priority: 'low' });
}

function finishedAt(record: CertificateRecord): number {
  return new Date((isIssued(record) ? record.status.issuedAt : record.status?.refusal?.refusedAt) ?? 0).getTime();
}
