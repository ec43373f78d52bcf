// The authorizations of an order brought to be valid: answers laid out, looked at by ourselves, and only then by the CA.
import { keyAuthorization } from '../../domain/challenge.ts';
import type { Clock } from '../../ports.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { faultOf, withDetail } from './meaning.ts';
import { type Authorization, bad, type Challenge, identifierText, type Order } from './messages.ts';
import type { Progress } from './handle.ts';
import { type AcmeServer, ServerProblem } from './server.ts';
import type { Solvers, Task } from './solver.ts';

export type ChallengeName = keyof Solvers;

export interface Run {
  server: AcmeServer;
  order: Order;
  progress: Progress;
  signal: AbortSignal;
  /** Puts it on record. */
  save(progress: Progress, keyAuthorizations?: readonly string[]): Promise<void>;
}

export type Advance =
  /** Nothing is left to be shown. */
  | { kind: 'settled' }
  | { kind: 'wait'; ms: number }
  /** Not by this type of challenge, nor by this order where the CA has looked. */
  | { kind: 'failed'; detail: string; orderLost: boolean };

export interface Challenges {
  advance(run: Run): Promise<Advance>;
  /** Why the CA holds an authorization for lost; undefined where it holds none so. */
  loss(run: Run): Promise<string | undefined>;
  /** Takes away what was laid out. Never fails for the sake of others. */
  withdraw(run: Run): Promise<void>;
  /** Gives up what is pending, which CAs count. Never fails for the sake of others. */
  deactivate(run: Run): Promise<void>;
  /** Whether there is a type after the one that is tried. */
  hasNext(progress: Progress): boolean;
}

export interface ChallengesDeps {
  solvers: Solvers;
  /** By preference. */
  preference: readonly ChallengeName[];
  /** Whether we look before the CA does. */
  looks: boolean;
  /** How long a type of challenge has, before the CA looks. */
  patienceMs: number;
  clock: Clock;
}

interface Pick {
  type: ChallengeName;
  authorization: Authorization;
  challenge: Challenge;
  task: Task;
}

const LOOK_AGAIN_MS = 2_000;
const MIN_POLL_MS = 500;
const MAX_POLL_MS = 60_000;

export function createChallenges(deps: ChallengesDeps): Challenges {
  /** URLs of challenges that the CA was told of, until it has an opinion. */
  const told = new Set<string>();
  return {
    advance: (run) => advance(deps, told, run),
    loss: async (run) => lossAmong(await authorizationsOf(run)),
    withdraw: (run) => withdraw(deps, run),
    deactivate: (run) => deactivate(run),
    hasNext: ({ attempt }) => attempt + 1 < deps.preference.length,
  };
}

async function authorizationsOf({ server, order, signal }: Run): Promise<Authorization[]> {
  const authorizations = await Promise.all(order.authorizations.map((url) => server.authorization(url, signal)));
  for (const { identifier, wildcard } of authorizations) {
    const value = wildcard ? `*.${identifier.value}` : identifier.value;
    if (!order.names.includes(identifierText({ ...identifier, value })))
      throw bad('wants a name proved that is not in the order');
  }
  return authorizations;
}

async function advance(deps: ChallengesDeps, told: Set<string>, run: Run): Promise<Advance> {
  const authorizations = await authorizationsOf(run);
  const lost = lossAmong(authorizations);
  if (lost !== undefined) return { kind: 'failed', detail: lost, orderLost: true };
  const pending = authorizations.filter(({ status }) => status === 'pending');
  if (pending.length === 0) return { kind: 'settled' };
  const picks = await pick(deps, run, pending);
  if (typeof picks === 'string') return { kind: 'failed', detail: picks, orderLost: false };
  const untold = picks.filter(({ challenge }) => challenge.status === 'pending' && !told.has(challenge.url.href));
  const obstacle = (await present(deps, run, picks)) ?? (await look(deps, run, untold));
  if (obstacle !== undefined) {
    const waitedMs = deps.clock.now().getTime() - run.progress.since * 1000;
    if (waitedMs < deps.patienceMs) return { kind: 'wait', ms: LOOK_AGAIN_MS };
    return { kind: 'failed', detail: obstacle, orderLost: false };
  }
  for (const { challenge } of untold) await trigger(run, challenge, told);
  const said = pending.flatMap(({ retryAfterMs }) => retryAfterMs ?? []);
  return { kind: 'wait', ms: said.length > 0 ? Math.max(...said) : pollMs(deps.clock, run.progress) };
}

function lossAmong(authorizations: readonly Authorization[]): string | undefined {
  const lost = authorizations.find(({ status }) => status !== 'pending' && status !== 'valid');
  if (!lost) return undefined;
  const { identifier, status, challenges } = lost;
  const failed = challenges.find(({ error }) => error);
  const how = failed ? ` by ${failed.type}` : '';
  if (status === 'invalid') return withDetail(`the CA could not validate ${identifier.value}${how}`, failed?.error);
  return `the CA holds the authorization of ${identifier.value} for ${status}`;
}

/** The challenge to meet for each; or which name there is none for. */
async function pick(
  { preference, solvers }: ChallengesDeps,
  { server, progress, signal }: Run,
  pending: readonly Authorization[],
): Promise<Pick[] | string> {
  const { thumbprint } = await server.account(signal);
  const types = preference.slice(progress.attempt).filter((type) => solvers[type]);
  const picks: Pick[] = [];
  for (const authorization of pending) {
    const { identifier, challenges } = authorization;
    const type = types.find((each) => challenges.some((challenge) => challenge.type === each));
    const challenge = challenges.find((each) => each.type === type);
    if (!type || !challenge)
      return `the CA offers no challenge for ${identifier.value} that this issuer can meet or has not tried`;
    const { token } = challenge;
    const task = { identifier, token, keyAuthorization: keyAuthorization(token, thumbprint) };
    picks.push({ type, authorization, challenge, task });
  }
  return picks;
}

/** Once an order and type; what keeps us from it. */
async function present(
  { solvers, clock }: ChallengesDeps,
  run: Run,
  picks: readonly Pick[],
): Promise<string | undefined> {
  if (run.progress.presented) return undefined;
  for (const { type, task } of picks)
    try {
      await solvers[type]?.present(task, run.signal);
    } catch (error) {
      if (!(error instanceof RemoteFault)) throw error;
      return `the answer to ${type} could not be laid out: ${error.message}`;
    }
  const answers = picks.filter(({ type }) => type === 'http-01').map(({ task }) => task.keyAuthorization);
  await run.save({ ...run.progress, since: secondsOf(clock), presented: true }, answers);
  return undefined;
}

/** Until a server is asked again that does not say when: the longer it has taken, the later. */
export function pollMs(clock: Clock, { since }: Progress): number {
  return Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, (clock.now().getTime() - since * 1000) / 4));
}

/** As progress has it. */
export function secondsOf(clock: Clock): number {
  return Math.floor(clock.now().getTime() / 1000);
}

/** What the CA would not find. */
async function look(
  { solvers, looks }: ChallengesDeps,
  { signal }: Run,
  picks: readonly Pick[],
): Promise<string | undefined> {
  for (const { type, task } of looks ? picks : []) {
    const missing = await solvers[type]?.missing(task, signal);
    if (missing !== undefined) return `before the CA was to look by ${type}: ${missing}`;
  }
  return undefined;
}

/** A CA that was told before, by a process that died, may say so with a problem: what it makes of it is seen at the authorization. */
async function trigger({ server, signal }: Run, challenge: Challenge, told: Set<string>): Promise<void> {
  try {
    await server.trigger(challenge, signal);
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    if (error.problem.type === 'rateLimited' || error.problem.type === 'serverInternal') throw faultOf(error);
  }
  told.add(challenge.url.href);
  const oldest = told.values().next().value;
  if (told.size > MAX_TOLD && oldest !== undefined) told.delete(oldest);
}

/** One that is forgotten is told twice, which does no harm. */
const MAX_TOLD = 4096;

async function withdraw({ solvers }: ChallengesDeps, run: Run): Promise<void> {
  // Some of it may have been, even where not all was.
  if (!solvers['dns-01']) return;
  await quietly(run.signal, async () => {
    const { thumbprint } = await run.server.account(run.signal);
    for (const { identifier, challenges } of await authorizationsOf(run))
      for (const { type, token } of challenges) {
        const solver = isChallengeName(type) ? solvers[type] : undefined;
        const task = { identifier, token, keyAuthorization: keyAuthorization(token, thumbprint) };
        if (solver) await quietly(run.signal, () => solver.withdraw(task, run.signal));
      }
  });
}

const isChallengeName = (type: string): type is ChallengeName => type === 'http-01' || type === 'dns-01';

function deactivate(run: Run): Promise<void> {
  return quietly(run.signal, async () => {
    const pending = (await authorizationsOf(run)).filter(({ status }) => status === 'pending');
    for (const { url } of pending) await quietly(run.signal, () => run.server.deactivate(url, run.signal));
  });
}

async function quietly(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (signal.aborted) throw error;
  }
}
