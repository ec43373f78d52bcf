// The order that a request is carried through: the one on record, or a new one, at the first server or, while that is away, the backup.
import { Problem } from '../../domain/problem.ts';
import type { Clock, SigningOutcome, SigningRequest } from '../../ports.ts';
import { type Challenges, type Run, secondsOf } from './challenges.ts';
import { orderUrl, parseHandle, type Progress, renderHandle } from './handle.ts';
import { limitOf, refusalOf, withDetail } from './meaning.ts';
import { bad, identifierText, type Order } from './messages.ts';
import { isTrouble, type Outage } from './outage.ts';
import type { RateLimits } from './rate-limits.ts';
import { type AcmeServer, type NewOrder, ServerProblem } from './server.ts';

export interface Upstream {
  server: AcmeServer;
  outage: Outage;
  profile: string | undefined;
}

export interface OpeningDeps {
  /** The first, and perhaps the backup. */
  upstreams: readonly Upstream[];
  challenges: Challenges;
  limits: RateLimits;
  clock: Clock;
}

/** A request under way. */
export interface Enrolment extends Run {
  request: SigningRequest;
}

/** What came of an order before. */
export type Before = Pick<Progress, 'attempt' | 'failure'>;

/** A limit that ends sooner is waited for; of others the client is told. */
const SHORT_LIMIT_MS = 600_000;
/** What servers say of an order that they do not have, or not for this account. */
const FORGOTTEN: ReadonlySet<string> = new Set(['malformed', 'unauthorized', 'orderDoesNotExist']);

/** The order on record, or a new one. */
export async function openOrResume(
  deps: OpeningDeps,
  request: SigningRequest,
  signal: AbortSignal,
): Promise<Enrolment | SigningOutcome> {
  const progress = parseHandle(request.handle);
  const resumed = progress && (await resume(deps, { request, progress }, signal));
  return resumed ?? open(deps, { request, before: progress ?? { attempt: 0 } }, signal);
}

/** Undefined where there is no order, its server has forgotten it, or is away and has signed nothing yet. */
async function resume(
  { upstreams }: OpeningDeps,
  { request, progress }: { request: SigningRequest; progress: Progress },
  signal: AbortSignal,
): Promise<Enrolment | undefined> {
  const at = upstreams.find(({ server }) => server.directoryURL.href === progress.server);
  const url = orderUrl(progress);
  if (!at || !url) return undefined;
  const mayMove = upstreams.length > 1 && progress.finalizing !== true;
  try {
    const order = await at.outage.watch(() => at.server.order(url, signal));
    return enrolmentOf({ request, server: at.server, progress, signal }, order);
  } catch (error) {
    if (error instanceof ServerProblem && FORGOTTEN.has(error.problem.type)) return undefined;
    if (mayMove && at.outage.isLong() && isTrouble(error)) return undefined;
    throw error;
  }
}

function enrolmentOf(context: Omit<Enrolment, 'order' | 'save'>, order: Order): Enrolment {
  const enrolment: Enrolment = {
    ...context,
    order,
    async save(progress, answers) {
      enrolment.progress = progress;
      await context.request.keep?.(renderHandle(progress), answers);
    },
  };
  return enrolment;
}

/** A new order. */
export async function open(
  deps: OpeningDeps,
  wanted: { request: SigningRequest; before: Before },
  signal: AbortSignal,
): Promise<Enrolment | SigningOutcome> {
  const [first, backup] = deps.upstreams;
  if (!first) throw new Error('there is no server');
  if (backup && first.outage.isFresh()) return openAt(deps, backup, { ...wanted, signal });
  try {
    return await openAt(deps, first, { ...wanted, signal });
  } catch (error) {
    if (!backup || !isTrouble(error) || !first.outage.isLong()) throw error;
    return openAt(deps, backup, { ...wanted, signal });
  }
}

interface Wanted {
  request: SigningRequest;
  before: Before;
  signal: AbortSignal;
}

async function openAt(
  deps: OpeningDeps,
  { server, outage, profile }: Upstream,
  { request, before, signal }: Wanted,
): Promise<Enrolment | SigningOutcome> {
  const identifiers = identifiersOf(request);
  const names = identifiers.map(identifierText).sort();
  const { attempt, failure } = before;
  const begun = {
    server: server.directoryURL.href,
    since: secondsOf(deps.clock),
    attempt,
    ...(failure === undefined ? {} : { failure }),
  };
  const limit = deps.limits.of(server.directoryURL, names);
  if (limit) return limited(deps, limit, begun);
  const wanted: NewOrder = { identifiers, profile, replaces: request.replaces };
  try {
    const order = await outage.watch(() => server.newOrder(wanted, signal));
    if (order.names.join(' ') !== names.join(' ')) throw bad('made an order for other names');
    const enrolment = enrolmentOf({ request, server, progress: { ...begun, order: order.url.href }, signal }, order);
    await kept(deps, enrolment);
    return enrolment;
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    if (error.problem.type !== 'rateLimited') return { kind: 'refused', problem: refusalOf(error) };
    const met = { ms: limitOf(error), detail: error.problem.detail };
    deps.limits.met(server.directoryURL, names, met);
    return limited(deps, met, begun);
  }
}

function identifiersOf({ model: { names } }: SigningRequest): NewOrder['identifiers'] {
  return [
    ...names.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...names.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ];
}

/** An order that cannot be put on record, because nobody waits for it any longer, is given up. */
async function kept({ challenges }: OpeningDeps, enrolment: Enrolment): Promise<void> {
  try {
    await enrolment.save(enrolment.progress);
  } catch (error) {
    await challenges.deactivate(enrolment);
    throw error;
  }
}

function limited(
  { clock }: OpeningDeps,
  { ms, detail }: { ms: number; detail: string },
  progress: Progress,
): SigningOutcome {
  if (ms <= SHORT_LIMIT_MS) return { kind: 'pending', retryAfterMs: ms, handle: renderHandle(progress) };
  const until = new Date(clock.now().getTime() + ms).toISOString().slice(0, 19);
  const text = `the CA takes no orders for these names before ${until}Z`;
  return { kind: 'refused', problem: new Problem('rateLimited', withDetail(text, { type: '', detail })) };
}
