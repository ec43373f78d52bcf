// One request made at EJBCA, and the search for what an earlier attempt may have left there.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { type CertificateFacts, parseCertificate } from '../../domain/certificate.ts';
import { linkChain } from '../../domain/chain.ts';
import { Problem } from '../../domain/problem.ts';
import type { Backend, BackendHealth, Clock, Random, SigningRequest } from '../../ports.ts';
import type { Authorities } from './authorities.ts';
import { endEntityOf, usernameOf } from './end-entity.ts';
import { asRemoteFault, meaningOf, refusalOf, remoteFaultOf } from './fault-meaning.ts';
import { ServiceFault } from './fault.ts';
import type { EjbcaProtocol, EndEntity } from './protocol.ts';

export interface EnrolmentDeps {
  protocol: EjbcaProtocol;
  spec: EjbcaBackendSpec;
  authorities: Authorities;
  clock: Clock;
  random: Random;
}

export interface Enrolment {
  sign: Backend['sign'];
  /** Absent where EJBCA cannot be searched. */
  search?: NonNullable<Backend['search']>;
  /** What signing met lately that no look at lists and rules shows, such as an approval that somebody would have to give. */
  fault(): BackendHealth | undefined;
}

/** Two processes that edit one end entity are done with it soon. */
const CONFLICT_TRIES = 4;
const CONFLICT_MS = 250;
/** A setting that was wrong is thought to be so until a request shows otherwise, for this long. */
const FAULT_MS = 600_000;

export function createEnrolment(deps: EnrolmentDeps): Enrolment {
  const { protocol, spec, clock, random } = deps;
  let met: { health: BackendHealth; until: number } | undefined;

  return {
    async sign(request, signal) {
      const entity = attempt(() => endEntityOf(spec, request, random));
      if (entity instanceof Problem) return { kind: 'refused', problem: entity };
      try {
        const answer = await ask(deps, { entity, csr: request.csr }, signal);
        met = undefined;
        return { kind: 'issued', chain: ordered(answer, request) };
      } catch (error) {
        if (!(error instanceof ServiceFault)) throw error;
        const judged = judge(error, entity, countOf(request));
        if ('refused' in judged) return { kind: 'refused', problem: judged.refused };
        const { reason, message } = judged.thrown;
        if (judged.lasts) met = { health: { ready: false, reason, message }, until: clock.monotonic() + FAULT_MS };
        throw judged.thrown;
      }
    },
    ...(protocol.findCerts ? { search: createSearch(deps) } : {}),
    fault: () => (met && clock.monotonic() < met.until ? met.health : undefined),
  };
}

function createSearch({ protocol, spec, authorities }: EnrolmentDeps): NonNullable<Backend['search']> {
  return async (request, since, signal) => {
    const username = attempt(() => usernameOf(spec, request));
    if (username instanceof Problem) return [];
    try {
      const found = (await protocol.findCerts?.(username, signal)) ?? [];
      const leaves = candidates(found, request, since);
      const chains: (readonly Buffer[])[] = [];
      for (const leaf of leaves) chains.push(await authorities.chainOf(leaf, signal));
      return chains;
    } catch (error) {
      throw asRemoteFault(error) ?? error;
    }
  };
}

async function ask(
  { protocol, clock, random }: EnrolmentDeps,
  { entity, csr }: { entity: EndEntity; csr: Buffer },
  signal: AbortSignal,
): Promise<readonly Buffer[]> {
  for (let tries = 1; ; tries++) {
    try {
      return await protocol.enrol(entity, csr, signal);
    } catch (error) {
      // Its transaction was rolled back: nothing was issued.
      const isConflict = error instanceof ServiceFault && meaningOf(error.fault).kind === 'conflict';
      if (!isConflict || tries === CONFLICT_TRIES) throw error;
      await clock.sleep(CONFLICT_MS * tries * (1 + random.bytes(1).readUInt8() / 255), signal);
    }
  }
}

/** Of a fault: the refusal, or what to throw, and whether it lasts until people mend it. */
function judge({ fault }: ServiceFault, { password }: EndEntity, names: number) {
  const meaning = meaningOf(fault);
  if (meaning.kind === 'refused') return { refused: withCount(refusalOf(fault, meaning, [password]), names) };
  const reason = 'reason' in meaning ? meaning.reason : 'InternalError';
  return { thrown: remoteFaultOf(fault, reason, [password]), lasts: meaning.kind === 'misconfigured' };
}

/** Oldest first. */
function candidates(found: readonly Buffer[], { model }: SigningRequest, since: Date): CertificateFacts[] {
  return found
    .flatMap((der) => readLeaf(der) ?? [])
    .filter(({ spki, notBefore }) => spki.equals(model.publicKey.spki) && notBefore >= since)
    .sort((a, b) => a.notBefore.getTime() - b.notBefore.getTime());
}

function attempt<T>(make: () => T): T | Problem {
  try {
    return make();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

/** Profiles limit how many names of a kind a certificate has, and EJBCA does not say how many it was asked for. */
function withCount(problem: Problem, names: number): Problem {
  if (!problem.detail.startsWith('the CA refused the request: Wrong number of ')) return problem;
  return new Problem(
    problem.type,
    `${problem.detail} The request has ${names} names; the end entity profile of the CA takes fewer, or needs others.`,
  );
}

function countOf({ model: { names } }: SigningRequest): number {
  return Object.values(names).reduce((sum, list: readonly string[]) => sum + list.length, 0);
}

/**
 * Leaf first, then each its issuer. The leaf is the certificate of the key; where there is none, the one that is no CA, which whoever
 * verifies the answer refuses and revokes. What cannot be read stays as it came, to be refused too: asked again, EJBCA would sign again.
 */
function ordered(certificates: readonly Buffer[], { model }: SigningRequest): readonly Buffer[] {
  const parsed = certificates.map(readLeaf);
  if (parsed.includes(undefined)) return certificates;
  const all = parsed.filter((each) => each !== undefined);
  const leaf = all.find(({ spki }) => spki.equals(model.publicKey.spki)) ?? all.find(({ isCA }) => !isCA) ?? all[0];
  if (!leaf) return certificates;
  return linkChain(
    leaf,
    all.filter((each) => each !== leaf),
  ).map(({ der }) => der);
}

function readLeaf(der: Buffer): CertificateFacts | undefined {
  try {
    return parseCertificate(der);
  } catch {
    return undefined;
  }
}
