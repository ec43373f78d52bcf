// One request carried through an order at an ACME server (RFC 8555 section 7.4), step by step. Where the order is stands on record before
// anything else is done with it, so that whoever comes next goes on with it: one request is one order.
import { parseCertificate } from '../../domain/certificate.ts';
import { preferredChain } from '../../domain/chain.ts';
import { Problem } from '../../domain/problem.ts';
import { shownText } from '../../domain/remote-text.ts';
import type { SigningOutcome, SigningRequest } from '../../ports.ts';
import { pollMs, secondsOf } from './challenges.ts';
import { renderHandle } from './handle.ts';
import { faultOf, passedOn, refusalOf, withDetail } from './meaning.ts';
import { bad, type Order } from './messages.ts';
import { type Enrolment, open, type OpeningDeps, openOrResume } from './opening.ts';
import { ServerProblem } from './server.ts';

export interface EnrolmentDeps extends OpeningDeps {
  /** Roots by preference, as of the issuer. */
  preferredRoots: readonly string[];
}

export type Enrol = (request: SigningRequest, signal: AbortSignal) => Promise<SigningOutcome>;

/** The same order, further on or not; another one; or the end of this call. */
type Next = Promise<Enrolment | SigningOutcome>;

/** An order that goes on in one call for longer than it has states has no end. */
const MAX_STEPS = 12;

export function createEnrolment(deps: EnrolmentDeps): Enrol {
  return async (request, signal) => {
    signal.throwIfAborted();
    const problem = unsupported(request);
    if (problem) return { kind: 'refused', problem };
    try {
      let next = await openOrResume(deps, request, signal);
      for (let steps = 0; !('kind' in next); steps++) {
        if (steps === MAX_STEPS) return pending(next, pollMs(deps.clock, next.progress));
        next = await step(deps, next);
      }
      return next;
    } catch (error) {
      if (!(error instanceof ServerProblem)) throw error;
      throw faultOf(error);
    }
  };
}

/** ACME knows names and addresses (RFC 8738), nothing else. */
function unsupported({ model: { names } }: SigningRequest): Problem | undefined {
  if (names.uris.length === 0 && names.emailAddresses.length === 0) return undefined;
  return new Problem('unsupportedIdentifier', 'the CA of this issuer signs DNS names and IP addresses only');
}

const pending = ({ progress }: Enrolment, retryAfterMs: number): SigningOutcome => ({
  kind: 'pending',
  retryAfterMs,
  handle: renderHandle(progress),
});

function at(enrolment: Enrolment, order: Order): Enrolment {
  enrolment.order = order;
  return enrolment;
}

async function step(deps: EnrolmentDeps, enrolment: Enrolment): Next {
  const { order } = enrolment;
  switch (order.status) {
    case 'pending':
      return authorize(deps, enrolment);
    case 'ready':
      return finalize(deps, enrolment);
    case 'processing':
      return pending(enrolment, order.retryAfterMs ?? pollMs(deps.clock, enrolment.progress));
    case 'invalid': {
      const loss = await deps.challenges.loss(enrolment);
      if (loss !== undefined) return fail(deps, enrolment, loss);
      await deps.challenges.withdraw(enrolment);
      const detail = withDetail('the CA ended the order without a certificate', order.error);
      return { kind: 'refused', problem: new Problem(passedOn(order.error), detail) };
    }
    case 'valid':
      return download(deps, enrolment);
  }
}

async function authorize(deps: EnrolmentDeps, enrolment: Enrolment): Next {
  const { challenges } = deps;
  const { server, signal, progress } = enrolment;
  const advance = await challenges.advance(enrolment);
  if (advance.kind === 'wait') return pending(enrolment, advance.ms);
  if (advance.kind === 'settled') {
    const order = await server.order(enrolment.order.url, signal);
    return order.status === 'pending'
      ? pending(enrolment, order.retryAfterMs ?? pollMs(deps.clock, progress))
      : at(enrolment, order);
  }
  const { detail, orderLost } = advance;
  if (orderLost || !challenges.hasNext(progress)) return fail(deps, enrolment, detail);
  // The CA has not looked: the next type is tried in the same order.
  await challenges.withdraw(enrolment);
  const { presented: _over, ...rest } = progress;
  const begun = { since: secondsOf(deps.clock), attempt: progress.attempt + 1, failure: shownText(detail) };
  await enrolment.save({ ...rest, ...begun });
  return enrolment;
}

/** A new order by the next type of challenge, or the end. */
async function fail(deps: EnrolmentDeps, enrolment: Enrolment, detail: string): Next {
  const { challenges } = deps;
  const { progress, request, signal } = enrolment;
  await challenges.withdraw(enrolment);
  await challenges.deactivate(enrolment);
  if (challenges.hasNext(progress)) {
    const before = { attempt: progress.attempt + 1, failure: shownText(detail) };
    return open(deps, { request, before }, signal);
  }
  const { failure } = progress;
  const before = failure === undefined || failure === detail ? '' : ` (before that: ${failure})`;
  return { kind: 'refused', problem: new Problem('unauthorized', `${detail}${before}`) };
}

async function finalize(deps: EnrolmentDeps, enrolment: Enrolment): Next {
  const { server, order, signal, request, progress } = enrolment;
  // From here on the server may sign: no other is asked for the same.
  if (deps.upstreams.length > 1) await enrolment.save({ ...progress, finalizing: true });
  try {
    return at(enrolment, await server.finalize(order, request.csr, signal));
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    // It was finalized by a process that died.
    if (error.problem.type === 'orderNotReady')
      return pending(enrolment, error.retryAfterMs ?? pollMs(deps.clock, progress));
    const problem = refusalOf(error);
    await deps.challenges.withdraw(enrolment);
    return { kind: 'refused', problem };
  }
}

async function download(deps: EnrolmentDeps, enrolment: Enrolment): Next {
  const { server, order, signal } = enrolment;
  if (!order.certificate) throw bad('gives a valid order without a certificate');
  const chains = await server.certificates(order.certificate, (chain) => !isPreferred(deps, chain), signal);
  await deps.challenges.withdraw(enrolment);
  const above = chains.map((chain) => chain.slice(1).map(parseCertificate));
  return { kind: 'issued', chain: chains[preferredChain(above, deps.preferredRoots)] ?? [] };
}

/** Whether no other chain would be better. */
function isPreferred({ preferredRoots: [first] }: EnrolmentDeps, chain: readonly Buffer[]): boolean {
  if (first === undefined) return true;
  // Index 1: it is found where the chain stands, rather than nowhere.
  return preferredChain([[], chain.slice(1).map(parseCertificate)], [first]) === 1;
}
