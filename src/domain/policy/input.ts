// What the policy evaluator is asked and what it answers.
import type { Door } from '../../api/certificate-request-policy.ts';
import type { Usage } from '../../api/kind.ts';
import type { AlternativeNames, NameAttribute, PublicKeyFacts } from '../certificate-model.ts';
import type { Identifier } from '../identifier.ts';
import type { PreparedIssuer, PreparedPolicy } from './prepare.ts';

/**
 * How far the request has come, which says what may still be learnt. At `newOrder` the namespace, and before `finalize` the CSR,
 * the addresses of names and the use of the key, are open where they are absent: nothing is denied for want of them. At
 * `finalize` what is absent is unknown for good, and denied where a rule needs it. A door that knows all at once asks at `finalize`.
 */
export type Stage = 'newOrder' | 'authorization' | 'validation' | 'finalize';

/** Evidence about who asks. Absent = unknown, or that there is none. */
export interface RequesterFacts {
  /** Name of the Account. */
  account?: string | undefined;
  eabKeyID?: string | undefined;
  namespace?: string | undefined;
  namespaceLabels?: Readonly<Record<string, string>> | undefined;
  /** NAMESPACE/NAME. */
  serviceAccount?: string | undefined;
  /** Address of the peer, as text. */
  source?: string | undefined;
}

/** An attribute of the wanted subject. What the issuer itself puts there is exempt from `allowed`. */
export interface JudgedAttribute extends NameAttribute {
  imposed?: boolean;
}

export interface JudgedRequest {
  door: Door;
  requester: RequesterFacts;
  /** All names of the final model; at newOrder those of the order. */
  names: AlternativeNames;
  /** Names, as identifierKey has them, that nobody validated and nothing proves. */
  unproven?: ReadonlySet<string> | undefined;
  /** As in DistinguishedName. */
  subject?: readonly (readonly JudgedAttribute[])[] | undefined;
  publicKey?: Pick<PublicKeyFacts, 'spki' | 'algorithm' | 'size'> | undefined;
  usages?: readonly Usage[] | undefined;
  /** Profile asked for; the issuer's default when absent. */
  profile?: string | undefined;
  /** Lifetime. `explicit`: the requester named the end (ACME notAfter), so it is honoured or refused, never shortened. */
  duration?: { ms: number; explicit: boolean } | undefined;
}

/**
 * Where a DNS name lives. `unresolvable`: the DNS says it has no address. `failed`: the DNS did not say (SERVFAIL, time-out).
 * `pointers`: by address as in `addresses`, the names it points to; absent = not asked.
 */
export type ServerFacts =
  | {
      state: 'resolved';
      addresses: readonly string[];
      pointers?: ReadonlyMap<string, readonly string[] | 'failed'> | undefined;
    }
  | { state: 'unresolvable' }
  | { state: 'failed' };

export interface PolicyInput {
  policies: readonly PreparedPolicy[];
  issuer: PreparedIssuer;
  request: JudgedRequest;
  facts: {
    /** By DNS name without its `*.`; absent = not asked. */
    servers: ReadonlyMap<string, ServerFacts>;
    /** Whether another live certificate of the issuer holds the key. */
    keyInUse?: boolean | undefined;
  };
  stage: Stage;
}

/** What part of the request a reason is about; it decides the type of the problem (see denial.ts). */
export type Aspect = 'name' | 'names' | 'csr' | 'key' | 'duration' | 'profile' | 'requester';

export interface Reason {
  about: Aspect;
  /** The name at fault. */
  identifier?: Identifier;
  /** Clause that follows `policy "x" refuses "a.example": `. */
  why: string;
}

export interface PolicyVerdict {
  policy: string;
  verdict: 'allow' | 'deny' | 'unknown' | 'transient';
  /** Of a denial. */
  reasons: readonly Reason[];
}

/** A fact that would settle the matter; see PolicyInput. */
export type Fact = 'namespace' | 'publicKey' | 'subject' | 'usages' | 'keyInUse';

export interface Needs {
  facts: readonly Fact[];
  /** Keys of `facts.servers`. */
  servers: readonly string[];
}

interface Common {
  /** Verdicts of audit policies selected, by name. */
  audit: readonly PolicyVerdict[];
  /** Names of broken policies, which were skipped. */
  broken: readonly string[];
}

export interface Allowed extends Common {
  verdict: 'allow';
  /** The first policy that passes: its limits apply. */
  policy: string;
  clamp: { maxDurationMs?: number };
}

export interface Denied extends Common {
  verdict: 'deny';
  /** Who says no: the issuer's own rules, the want of any policy for such a request, or every policy there is for it. */
  by: 'issuer' | 'none' | 'policies';
  /** `issuer`: name of the issuer. `policies`: the one with the fewest reasons. `none`: undefined. */
  nearest: string | undefined;
  /** By policy, sorted by name; of the issuer, one entry under its name. */
  refusals: readonly { policy: string; reasons: readonly Reason[] }[];
  /** What the request asks for, for messages. */
  request: { door: Door; issuer: string; firstName: string | undefined };
}

export type Decision =
  | Allowed
  | Denied
  /** Nothing speaks against it so far, but more must be known. Never answered at finalize. */
  | (Common & { verdict: 'unknown'; needs: Needs })
  /** The world could not tell: ask again later. */
  | (Common & { verdict: 'transient'; reason: string });
