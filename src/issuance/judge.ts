// Policy as the doors and the engine ask it: gathers what is known, evaluates, puts the decision on record.
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { CertificateRequestPolicy, Door } from '../api/certificate-request-policy.ts';
import type { AlternativeNames } from '../domain/certificate-model.ts';
import { type Identifier, identifierKey } from '../domain/identifier.ts';
import { type Decision, evaluate, renderDenial, wantedFacts } from '../domain/policy.ts';
import type { CompileExpression } from '../domain/policy/expression.ts';
import type { JudgedRequest, PolicyInput, ServerFacts, Stage } from '../domain/policy/input.ts';
import { prepare, type PreparedIssuer, prepareIssuer, type PreparedPolicy } from '../domain/policy/prepare.ts';
import { Problem } from '../domain/problem.ts';
import type { Audit, Cache, Counter, Random, Resolver } from '../ports.ts';
import { resolveServers, serverFacts } from './server-facts.ts';
import type { Requester } from './types.ts';

export type Verdict = { allowed: true; policy: string; decisionID: string; maxDurationMs?: number } | { allowed: false; problem: Problem };

interface Early {
  issuer: ClusterCAIssuer;
  requester: Requester;
}

export interface Judge {
  /** Refused early only for what every policy that could be selected denies on the facts known now. */
  atNewOrder(request: Early & { identifiers: readonly Identifier[]; profile: string | undefined; duration: JudgedRequest['duration'] }): Promise<Problem | undefined>;
  /** As above with the addresses of one name, before any of them is dialled. */
  atValidation(request: Early & { identifier: Identifier; addresses: readonly string[]; signal: AbortSignal }): Promise<Problem | undefined>;
  /** The decision over the final model. Throws serverInternal/503 where the DNS could not tell. */
  atFinalize(request: Early & { id: string; judged: JudgedRequest; keyInUse: () => boolean; signal: AbortSignal }): Promise<Verdict>;
}

export interface JudgeDeps {
  policies: Cache<CertificateRequestPolicy>;
  compile: CompileExpression;
  resolverOf: (issuer: ClusterCAIssuer) => Resolver;
  random: Random;
  audit: Audit;
  decisions: Counter;
}

export function createJudge(deps: JudgeDeps): Judge {
  const policies = preparedPolicies(deps);
  const issuers = new WeakMap<ClusterCAIssuer['spec'], PreparedIssuer>();

  function issuerOf(issuer: ClusterCAIssuer): PreparedIssuer {
    const known = issuers.get(issuer.spec) ?? prepareIssuer(issuer);
    issuers.set(issuer.spec, known);
    return known;
  }

  function inputOf(issuer: ClusterCAIssuer, request: JudgedRequest, stage: Stage, servers: ReadonlyMap<string, ServerFacts> = new Map()): PolicyInput {
    return { policies: policies(), issuer: issuerOf(issuer), request, facts: { servers }, stage };
  }

  function report(decision: Decision, about: { stage: Stage; door: Door; issuer: string; requester: Requester; names: readonly string[]; id?: string }): string {
    const decisionID = deps.random.bytes(12).toString('hex');
    const { verdict, audit, broken } = decision;
    deps.decisions.inc({ verdict, stage: about.stage, door: about.door });
    deps.audit.record('decision', {
      decisionID,
      ...about,
      verdict,
      ...(decision.verdict === 'allow' ? { policy: decision.policy } : {}),
      ...(decision.verdict === 'deny' ? { refusals: decision.refusals } : {}),
      ...(decision.verdict === 'transient' ? { reason: decision.reason } : {}),
      ...(audit.length > 0 ? { audit } : {}),
      ...(broken.length > 0 ? { broken } : {}),
    });
    return decisionID;
  }

  /** Before finalize only a denial matters, and only a denial is put on record. */
  function denial(decision: Decision, about: Parameters<typeof report>[1]): Problem | undefined {
    if (decision.verdict !== 'deny') return undefined;
    report(decision, about);
    return renderDenial(decision);
  }

  return {
    atNewOrder: async ({ issuer, requester, identifiers, profile, duration }) => {
      const judged = { door: 'ACME', requester, names: alternativeNames(identifiers), profile, duration } as const;
      const decision = evaluate(inputOf(issuer, judged, 'newOrder'));
      if (decision.verdict === 'transient') throw undecided(decision.reason);
      return denial(decision, { stage: 'newOrder', door: 'ACME', issuer: issuer.metadata.name, requester, names: identifiers.map(identifierKey) });
    },
    atValidation: async ({ issuer, requester, identifier, addresses, signal }) => {
      const judged = { door: 'ACME', requester, names: alternativeNames([identifier]) } as const;
      const input = inputOf(issuer, judged, 'validation');
      const { pointers } = wantedFacts(input);
      const facts = await serverFacts(addresses, { resolver: deps.resolverOf(issuer), pointers, signal });
      const decision = evaluate({ ...input, facts: { servers: new Map([[identifier.value, facts]]) } });
      if (decision.verdict === 'transient') return new Problem('dns', decision.reason);
      return denial(decision, { stage: 'validation', door: 'ACME', issuer: issuer.metadata.name, requester, names: [identifierKey(identifier)] });
    },
    atFinalize: async ({ issuer, requester, id, judged, keyInUse, signal }) => {
      const input = inputOf(issuer, judged, 'finalize');
      const wanted = wantedFacts(input);
      const servers = await resolveServers(wanted.servers, { resolver: deps.resolverOf(issuer), pointers: wanted.pointers, signal });
      const decision = evaluate({ ...input, facts: { servers, ...(wanted.keyInUse ? { keyInUse: keyInUse() } : {}) } });
      const about = { stage: 'finalize' as const, door: judged.door, issuer: issuer.metadata.name, requester, names: allNames(judged.names), id };
      const decisionID = report(decision, about);
      if (decision.verdict === 'allow') return { allowed: true, policy: decision.policy, decisionID, ...decision.clamp };
      if (decision.verdict === 'deny') return { allowed: false, problem: renderDenial(decision) };
      throw undecided(decision.verdict === 'transient' ? decision.reason : 'a fact that the policies need is not known');
    },
  };
}

function undecided(reason: string): Problem {
  return new Problem('serverInternal', `the policies could not be judged: ${reason}`, { status: 503, headers: { 'Retry-After': '10' } });
}

/** Policies compiled once a generation, the whole list remade when one changes. */
function preparedPolicies(deps: Pick<JudgeDeps, 'policies' | 'compile'>): () => readonly PreparedPolicy[] {
  const compiled = new WeakMap<CertificateRequestPolicy['spec'], PreparedPolicy>();
  let current: readonly PreparedPolicy[] | undefined;
  deps.policies.onChange(() => {
    current = undefined;
  });

  function all(): readonly PreparedPolicy[] {
    current ??= deps.policies.list().map((policy) => {
      const ready = compiled.get(policy.spec) ?? prepare(policy, deps.compile);
      compiled.set(policy.spec, ready);
      return ready;
    });
    return current;
  }

  return all;
}

/** Names of identifiers as a certificate has them. */
export function alternativeNames(identifiers: readonly Identifier[]): AlternativeNames {
  const values = (type: Identifier['type']) => identifiers.filter((identifier) => identifier.type === type).map(({ value }) => value);
  return { dnsNames: values('dns'), ipAddresses: values('ip'), uris: [], emailAddresses: [] };
}

/** Every name as `type:value`, sorted: the form of records and audit lines. */
export function allNames(names: AlternativeNames): string[] {
  const lists = [
    ['dns', names.dnsNames],
    ['ip', names.ipAddresses],
    ['uri', names.uris],
    ['email', names.emailAddresses],
  ] as const;
  return lists.flatMap(([type, values]) => values.map((value) => `${type}:${value}`)).sort();
}
