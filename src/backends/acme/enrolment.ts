// One request carried through an order at an ACME server (RFC 8555 section 7.4), step by step. Where the order is stands on record before
// anything else is done with it, so that whoever comes next goes on with it: one request is one order.
import { parseCertificate } from '../../domain/certificate.ts';
import { preferredChain } from '../../domain/chain.ts';
import { Problem } from '../../domain/problem.ts';
import { shownText } from '../../domain/remote-text.ts';
import type { Clock, SigningOutcome, SigningRequest } from '../../ports.ts';
import { bad, identifierText, type Order } from './messages.ts';
import { type Challenges, type Run, secondsOf } from './challenges.ts';
import { orderUrl, parseHandle, type Progress, renderHandle } from './handle.ts';
import { faultOf, limitOf, refusalOf, withDetail } from './meaning.ts';
import type { RateLimits } from './rate-limits.ts';
import { type AcmeServer, type NewOrder, ServerProblem } from './server.ts';

export interface EnrolmentDeps {
  server: AcmeServer;
  challenges: Challenges;
  limits: RateLimits;
  clock: Clock;
  profile: string | undefined;
  /** Roots by preference, as of the issuer. */
  preferredRoots: readonly string[];
}

export type Enrol = (request: SigningRequest, signal: AbortSignal) => Promise<SigningOutcome>;

/** An order that goes on in one call for longer than it has states has no end. */
const MAX_STEPS = 12;
const POLL_MS = 2_000;
/** A limit that ends sooner is waited for; of others the client is told. */
const SHORT_LIMIT_MS = 600_000;

export function createEnrolment(deps: EnrolmentDeps): Enrol {
  return async (request, signal) => {
    signal.throwIfAborted();
    const identifiers = identifiersOf(request);
    if (identifiers instanceof Problem) return { kind: 'refused', problem: identifiers };
    try {
      const opened = (await resume(deps, request, signal)) ?? (await open(deps, { request, identifiers }, signal));
      return 'kind' in opened ? opened : await carry(deps, opened, request);
    } catch (error) {
      if (!(error instanceof ServerProblem)) throw error;
      throw faultOf(error);
    }
  };
}

/** ACME knows names and addresses (RFC 8738), nothing else. */
function identifiersOf({ model: { names } }: SigningRequest): NewOrder['identifiers'] | Problem {
  if (names.uris.length > 0 || names.emailAddresses.length > 0)
    return new Problem('unsupportedIdentifier', 'the CA of this issuer signs DNS names and IP addresses only');
  return [
    ...names.dnsNames.map((value) => ({ type: 'dns', value })),
    ...names.ipAddresses.map((value) => ({ type: 'ip', value })),
  ];
}

const namesOf = (identifiers: NewOrder['identifiers']) =>
  identifiers.map((each) => identifierText(each as Parameters<typeof identifierText>[0])).sort();

/** The order on record; undefined where there is none, or its server has forgotten it. */
async function resume(deps: EnrolmentDeps, request: SigningRequest, signal: AbortSignal): Promise<Run | undefined> {
  const progress = parseHandle(request.handle);
  const server = progress?.server === deps.server.directoryURL.href ? deps.server : undefined;
  const url = progress && orderUrl(progress);
  if (!server || !progress || !url) return undefined;
  try {
    return runOf({ request, server, progress, signal }, await server.order(url, signal));
  } catch (error) {
    if (error instanceof ServerProblem && FORGOTTEN.has(error.problem.type)) return undefined;
    throw error;
  }
}

/** What servers say of an order that they do not have, or not for this account. */
const FORGOTTEN: ReadonlySet<string> = new Set(['malformed', 'unauthorized', 'orderDoesNotExist']);

interface Context extends Omit<Run, 'order' | 'save'> {
  request: SigningRequest;
}

function runOf({ request, ...context }: Context, order: Order): Run {
  const run: Run = {
    ...context,
    order,
    async save(progress, answers) {
      run.progress = progress;
      await request.keep?.(renderHandle(progress), answers);
    },
  };
  return run;
}

interface Wanted {
  request: SigningRequest;
  identifiers: NewOrder['identifiers'];
  /** What came of an order before. */
  after?: Pick<Progress, 'attempt' | 'failure'>;
}

async function open(deps: EnrolmentDeps, wanted: Wanted, signal: AbortSignal): Promise<Run | SigningOutcome> {
  const { server, limits, profile } = deps;
  const { request, identifiers, after = { attempt: 0 } } = wanted;
  const names = namesOf(identifiers);
  const begun = { server: server.directoryURL.href, since: secondsOf(deps.clock), ...after };
  const limit = limits.of(server.directoryURL, names);
  if (limit) return limited(deps, limit, begun);
  try {
    const order = await server.newOrder({ identifiers, ...(profile === undefined ? {} : { profile }) }, signal);
    if (order.names.join(' ') !== names.join(' ')) throw bad('made an order for other names');
    const progress = { ...begun, order: order.url.href };
    const run = runOf({ request, server, progress, signal }, order);
    await kept(deps, run);
    return run;
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    if (error.problem.type !== 'rateLimited') return { kind: 'refused', problem: refusalOf(error) };
    const met = { ms: limitOf(error), detail: error.problem.detail };
    limits.met(server.directoryURL, names, met);
    return limited(deps, met, begun);
  }
}

/** An order that cannot be put on record, because nobody waits for it any longer, is given up. */
async function kept({ challenges }: EnrolmentDeps, run: Run): Promise<void> {
  try {
    await run.save(run.progress);
  } catch (error) {
    await challenges.deactivate(run);
    throw error;
  }
}

function limited(
  { clock }: EnrolmentDeps,
  { ms, detail }: { ms: number; detail: string },
  progress: Progress,
): SigningOutcome {
  if (ms <= SHORT_LIMIT_MS) return { kind: 'pending', retryAfterMs: ms, handle: renderHandle(progress) };
  const until = new Date(clock.now().getTime() + ms).toISOString().slice(0, 19);
  const text = `the CA takes no orders for these names before ${until}Z`;
  return { kind: 'refused', problem: new Problem('rateLimited', withDetail(text, { type: '', detail })) };
}

/** Step after step until it is over or there is something to wait for. */
async function carry(deps: EnrolmentDeps, given: Run, request: SigningRequest): Promise<SigningOutcome> {
  let run = given;
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    const next = await step(deps, run, request);
    if ('kind' in next) return next;
    run = next;
  }
  return pending(run, POLL_MS);
}

const pending = ({ progress }: Run, retryAfterMs: number): SigningOutcome => ({
  kind: 'pending',
  retryAfterMs,
  handle: renderHandle(progress),
});

async function step(deps: EnrolmentDeps, run: Run, request: SigningRequest): Promise<Run | SigningOutcome> {
  const { order, server, signal } = run;
  switch (order.status) {
    case 'pending':
      return authorize(deps, run, request);
    case 'ready':
      return finalize(deps, run, request);
    case 'processing':
      return pending(run, order.retryAfterMs ?? POLL_MS);
    case 'invalid':
      return lose(deps, run, request);
    case 'valid': {
      if (!order.certificate) throw bad('gives a valid order without a certificate');
      const chains = await server.certificates(order.certificate, (chain) => !isPreferred(deps, chain), signal);
      await deps.challenges.withdraw(run);
      const facts = chains.map((chain) => chain.slice(1).map(parseCertificate));
      return { kind: 'issued', chain: chains[preferredChain(facts, deps.preferredRoots)] ?? [] };
    }
  }
}

/** Whether no other chain would be better. */
function isPreferred({ preferredRoots: [first] }: EnrolmentDeps, chain: readonly Buffer[]): boolean {
  if (first === undefined) return true;
  // Index 1: the first chain does not lead there.
  return preferredChain([[], chain.slice(1).map(parseCertificate)], [first]) === 1;
}

async function authorize(deps: EnrolmentDeps, run: Run, request: SigningRequest): Promise<Run | SigningOutcome> {
  const { challenges } = deps;
  const { server, signal, progress } = run;
  const advance = await challenges.advance(run);
  if (advance.kind === 'wait') return pending(run, advance.ms);
  if (advance.kind === 'settled') {
    const order = await server.order(run.order.url, signal);
    return order.status === 'pending' ? pending(run, order.retryAfterMs ?? POLL_MS) : { ...run, order };
  }
  const { presented: _over, ...rest } = progress;
  if (advance.orderLost || !challenges.hasNext(progress)) return fail(deps, run, { request, detail: advance.detail });
  // The CA has not looked: the next type is tried in the same order.
  await challenges.withdraw(run);
  const next = { ...rest, since: secondsOf(deps.clock), attempt: progress.attempt + 1, failure: shownText(advance.detail) };
  await run.save(next);
  return run;
}

/** The order did not come to be valid. */
async function lose(deps: EnrolmentDeps, run: Run, request: SigningRequest): Promise<Run | SigningOutcome> {
  const loss = await deps.challenges.loss(run);
  const detail = loss ?? withDetail('the CA ended the order without a certificate', run.order.error);
  return fail(deps, run, { request, detail, final: loss === undefined });
}

/** A new order by the next type of challenge, or the end. */
async function fail(
  deps: EnrolmentDeps,
  run: Run,
  { request, detail, final = false }: { request: SigningRequest; detail: string; final?: boolean },
): Promise<Run | SigningOutcome> {
  const { challenges } = deps;
  const { attempt, failure } = run.progress;
  await challenges.withdraw(run);
  await challenges.deactivate(run);
  const identifiers = identifiersOf(request);
  if (!final && challenges.hasNext(run.progress) && !(identifiers instanceof Problem)) {
    const after = { attempt: attempt + 1, failure: shownText(detail) };
    return open(deps, { request, identifiers, after }, run.signal);
  }
  const before = failure === undefined || failure === detail ? '' : ` (before that: ${failure})`;
  return { kind: 'refused', problem: new Problem('unauthorized', `${detail}${before}`) };
}

async function finalize(deps: EnrolmentDeps, run: Run, request: SigningRequest): Promise<Run | SigningOutcome> {
  const { server, order, signal } = run;
  try {
    return { ...run, order: await server.finalize(order, request.csr, signal) };
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    // It was finalized by a process that died.
    if (error.problem.type === 'orderNotReady') return pending(run, error.retryAfterMs ?? POLL_MS);
    const problem = refusalOf(error);
    await deps.challenges.withdraw(run);
    return { kind: 'refused', problem };
  }
}
