// Policy as the doors and the engine ask it: gathers what is known, evaluates, puts the decision on record.
import type { Issuer } from '../api/issuer.ts';
import type { CertificateRequestPolicy, Door } from '../api/certificate-request-policy.ts';
import type { AlternativeNames } from '../domain/certificate-model.ts';
import { baseIdentifier, type Identifier, identifierKey } from '../domain/identifier.ts';
import { issuerFields } from '../domain/issuer.ts';
import { type Decision, evaluate, renderDenial, wantedFacts } from '../domain/policy.ts';
import type { CompileExpression } from '../domain/policy/expression.ts';
import type { JudgedRequest, PolicyInput, Stage } from '../domain/policy/input.ts';
import { prepare, type PreparedIssuer, prepareIssuer, type PreparedPolicy } from '../domain/policy/prepare.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import type { Audit, Cache, Counter, Random, Resolver } from '../ports.ts';
import { resolveServers, serverFacts } from './server-facts.ts';
import type { Requester } from './types.ts';

export type Verdict =
  | { allowed: true; policy: string; decisionID: string; maxDurationMs?: number }
  | { allowed: false; problem: Problem };

interface Early {
  issuer: Issuer;
  requester: Requester;
}

export interface Judge {
  /** Refused early only for what every policy that could be selected denies on the facts known now. */
  atNewOrder(
    request: Early & {
      identifiers: readonly Identifier[];
      profile: string | undefined;
      duration: JudgedRequest['duration'];
    },
  ): Promise<Problem | undefined>;
  /** As above once the namespace of the requester is known, or known to stay unknown; `unproven` as in IssuanceRequest. */
  atAuthorization(
    request: Early & { identifiers: readonly Identifier[]; unproven?: readonly Identifier[] },
  ): Promise<Problem | undefined>;
  /**
   * As above with the addresses of one name, before any of them is dialled. Where some may be missing (`incomplete`) and a rule is about
   * every address, the problem is of type dns.
   */
  atValidation(
    request: Early & {
      identifier: Identifier;
      addresses: readonly string[];
      incomplete?: boolean | undefined;
      signal: AbortSignal;
    },
  ): Promise<Problem | undefined>;
  /** The decision over the final model. Throws serverInternal/503 where the DNS could not tell. */
  atFinalize(request: {
    issuer: Issuer;
    id: string;
    judged: JudgedRequest;
    keyInUse: () => boolean;
    signal: AbortSignal;
  }): Promise<Verdict>;
}

/** All policies as stored now; undefined where the cache has the same. Reads are shared and bounded. */
export type LivePolicies = () => Promise<readonly CertificateRequestPolicy[] | undefined>;

export interface JudgeDeps {
  policies: Cache<CertificateRequestPolicy>;
  livePolicies: LivePolicies;
  compile: CompileExpression;
  resolverOf: (issuer: Issuer) => Resolver;
  random: Random;
  audit: Audit;
  decisions: Counter;
}

export function createJudge(deps: JudgeDeps): Judge {
  const inputOf = inputs();
  const settled = settling(deps);
  return {
    atNewOrder: async ({ issuer, requester, identifiers, profile, duration }) => {
      const judged = { door: 'ACME', requester, names: alternativeNames(identifiers), profile, duration } as const;
      const decision = await settled((policies) => evaluate(inputOf(policies, issuer, judged, 'newOrder')));
      if (decision.verdict === 'transient') throw undecided(decision.reason);
      return denial(deps, decision, aboutOf(issuer, judged, 'newOrder'));
    },
    atAuthorization: createAtAuthorization(deps, { inputOf, settled }),
    atValidation: async ({ issuer, requester, identifier, addresses, incomplete, signal }) => {
      const judged = { door: 'ACME', requester, names: alternativeNames([identifier]) } as const;
      const decision = await settled(async (policies) => {
        const input = inputOf(policies, issuer, judged, 'validation');
        const { pointers } = wantedFacts(input);
        const facts = await serverFacts(addresses, { resolver: deps.resolverOf(issuer), pointers, signal });
        const { value } = baseIdentifier(identifier);
        const judgedBy = (each: typeof facts) => evaluate({ ...input, facts: { servers: new Map([[value, each]]) } });
        // What is known may be enough to refuse; what is not known may be, too.
        const first = judgedBy(facts);
        const refused = first.verdict === 'deny' || first.verdict === 'transient';
        return incomplete && !refused ? judgedBy({ state: 'failed' }) : first;
      });
      if (decision.verdict === 'transient') return new Problem('dns', decision.reason);
      return denial(deps, decision, aboutOf(issuer, judged, 'validation'));
    },
    atFinalize: async ({ issuer, id, judged, keyInUse, signal }) => {
      const decision = await settled(async (policies) => {
        const input = inputOf(policies, issuer, judged, 'finalize');
        const wanted = wantedFacts(input);
        const question = { resolver: deps.resolverOf(issuer), pointers: wanted.pointers, signal };
        const servers = await resolveServers(wanted.servers, question);
        return evaluate({ ...input, facts: { servers, ...(wanted.keyInUse ? { keyInUse: keyInUse() } : {}) } });
      });
      const decisionID = report(deps, decision, { ...aboutOf(issuer, judged, 'finalize'), id });
      if (decision.verdict === 'allow')
        return { allowed: true, policy: decision.policy, decisionID, ...decision.clamp };
      if (decision.verdict === 'deny') return { allowed: false, problem: renderDenial(decision) };
      throw undecided(
        decision.verdict === 'transient' ? decision.reason : 'a fact that the policies need is not known',
      );
    },
  };
}

type Decide = (policies: readonly PreparedPolicy[]) => Decision | Promise<Decision>;

function createAtAuthorization(
  deps: JudgeDeps,
  { inputOf, settled }: { inputOf: InputOf; settled: Settling },
): Judge['atAuthorization'] {
  return async ({ issuer, requester, identifiers, unproven }) => {
    const proof = unproven ? { unproven: new Set(unproven.map(identifierKey)) } : {};
    const judged = { door: 'ACME', requester, names: alternativeNames(identifiers), ...proof } as const;
    const decide: Decide = (policies) => evaluate(inputOf(policies, issuer, judged, 'authorization'));
    // That a name needs a challenge after all is no refusal: no line, no live read.
    const decision = unproven ? await settled.now(decide) : await settled(decide);
    if (decision.verdict === 'transient') throw undecided(decision.reason);
    if (!unproven) return denial(deps, decision, aboutOf(issuer, judged, 'authorization'));
    return decision.verdict === 'deny' ? renderDenial(decision) : undefined;
  };
}

interface Settling {
  /** Decides by the policies watched; before a denial, by those stored now where they are others. */
  (decide: Decide): Promise<Decision>;
  /** By the policies watched alone. */
  now(decide: Decide): Promise<Decision>;
}

function settling(deps: JudgeDeps): Settling {
  const { watched, prepared } = preparedPolicies(deps);
  const now = async (decide: Decide): Promise<Decision> => decide(watched());
  const settled = async (decide: Decide): Promise<Decision> => {
    const decision = await now(decide);
    if (decision.verdict !== 'deny') return decision;
    const live = await deps.livePolicies();
    return live ? decide(prepared(live)) : decision;
  };
  return Object.assign(settled, { now });
}

type InputOf = (
  policies: readonly PreparedPolicy[],
  issuer: Issuer,
  request: JudgedRequest,
  stage: Stage,
) => PolicyInput;

function inputs(): InputOf {
  const issuers = new WeakMap<Issuer['spec'], PreparedIssuer>();
  return (policies, issuer, request, stage) => {
    const prepared = issuers.get(issuer.spec) ?? prepareIssuer(issuer);
    issuers.set(issuer.spec, prepared);
    return { policies, issuer: prepared, request, facts: { servers: new Map() }, stage };
  };
}

/** What a line of the audit log says besides the verdict. */
interface About {
  stage: Stage;
  door: Door;
  issuer: string;
  issuerNamespace?: string;
  requester: Requester;
  names: readonly string[];
  /** Of the request. */
  id?: string;
}

function aboutOf(issuer: Issuer, { door, requester, names }: JudgedRequest, stage: Stage): About {
  return { stage, door, ...issuerFields(issuer), requester: requester as Requester, names: allNames(names) };
}

/** Puts the decision on record; returns its id. */
function report({ random, decisions, audit }: JudgeDeps, decision: Decision, about: About): string {
  const decisionID = random.bytes(12).toString('hex');
  decisions.inc({ verdict: decision.verdict, stage: about.stage, door: about.door });
  audit.record('decision', {
    decisionID,
    ...about,
    verdict: decision.verdict,
    ...(decision.verdict === 'allow' ? { policy: decision.policy } : {}),
    ...(decision.verdict === 'deny' ? { refusals: shortened(decision.refusals) } : {}),
    ...(decision.verdict === 'transient' ? { reason: decision.reason } : {}),
    ...(decision.audit.length > 0 ? { auditPolicies: decision.audit } : {}),
    ...(decision.broken.length > 0 ? { broken: decision.broken } : {}),
  });
  return decisionID;
}

/** Many names under many policies have more reasons than a line of a log should. */
const MAX_REASONS = 200;

function shortened(refusals: Extract<Decision, { verdict: 'deny' }>['refusals']): object[] {
  let left = MAX_REASONS;
  return refusals.slice(0, MAX_REASONS).map(({ policy, reasons }) => {
    const kept = reasons.slice(0, Math.max(1, left));
    left -= kept.length;
    return { policy, reasons: kept, ...(kept.length < reasons.length ? { more: reasons.length - kept.length } : {}) };
  });
}

/** Before finalize only a denial matters, and only a denial is put on record. */
function denial(deps: JudgeDeps, decision: Decision, about: About): Problem | undefined {
  if (decision.verdict !== 'deny') return undefined;
  report(deps, decision, about);
  return renderDenial(decision);
}

function undecided(reason: string): Problem {
  return comeBack(`the policies could not be judged: ${reason}`, 10);
}

/** Policies compiled once a generation; the whole list of those watched is remade when one changes. */
function preparedPolicies(deps: Pick<JudgeDeps, 'policies' | 'compile'>) {
  const compiled = new WeakMap<CertificateRequestPolicy['spec'], PreparedPolicy>();
  let current: readonly PreparedPolicy[] | undefined;
  deps.policies.onChange(() => {
    current = undefined;
  });

  function prepared(policies: readonly CertificateRequestPolicy[]): readonly PreparedPolicy[] {
    return policies.map((policy) => {
      const ready = compiled.get(policy.spec) ?? prepare(policy, deps.compile);
      compiled.set(policy.spec, ready);
      return ready;
    });
  }

  return {
    prepared,
    watched: (): readonly PreparedPolicy[] => {
      current ??= prepared(deps.policies.list());
      return current;
    },
  };
}

/** Names of identifiers as a certificate has them. */
export function alternativeNames(identifiers: readonly Identifier[]): AlternativeNames {
  const values = (type: Identifier['type']) =>
    identifiers.filter((identifier) => identifier.type === type).map(({ value }) => value);
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

const LISTS = { dns: 'dnsNames', ip: 'ipAddresses', uri: 'uris', email: 'emailAddresses' } as const;

/** The names that `allNames` wrote. */
export function namesOf(all: readonly string[]): AlternativeNames {
  const names = { dnsNames: [], ipAddresses: [], uris: [], emailAddresses: [] } as Record<
    keyof AlternativeNames,
    string[]
  >;
  for (const name of all) {
    const separator = name.indexOf(':');
    const list = LISTS[name.slice(0, separator) as keyof typeof LISTS];
    if (list) names[list].push(name.slice(separator + 1));
  }
  return names;
}
