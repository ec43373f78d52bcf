// One evaluation in progress: the request taken apart once, and what each policy finds.
import { type Address, parseAddress } from '../address.ts';
import { sha256 } from '../encoding.ts';
import type { Identifier } from '../identifier.ts';
import type { Aspect, Fact, PolicyInput, Reason } from './input.ts';
import { insertableNamespace, nameSegments } from './pattern.ts';

export interface JudgedName {
  kind: 'dns' | 'ip' | 'uri' | 'email';
  text: string;
  /** Of names ACME knows. */
  identifier: Identifier | undefined;
  /** Undefined for addresses and for text that is no name in normal form. */
  segments: readonly string[] | undefined;
  /** Of an address that can be read. */
  address: Address | undefined;
  wildcard: boolean;
}

export interface Context {
  input: PolicyInput;
  names: readonly JudgedName[];
  /** Fit to be put into a pattern. */
  namespace: string | undefined;
  /** Whether what is absent may still be learnt. */
  open: { namespace: boolean; later: boolean };
  profile: string | undefined;
  source: Address | undefined;
  /** SHA-256 of the key, hex. */
  keyHash: () => string | undefined;
  /** Steps that expressions may still take, see expression-rules.ts. */
  budget: number;
}

export function createContext(input: PolicyInput, budget: number): Context {
  const { request, issuer, stage } = input;
  let keyHash: string | undefined;
  return {
    input,
    names: judgedNames(request.names),
    namespace: insertableNamespace(request.requester.namespace),
    open: { namespace: stage === 'newOrder', later: stage !== 'finalize' },
    profile: request.profile ?? issuer.defaultProfile,
    source: request.requester.source === undefined ? undefined : parseAddress(request.requester.source),
    keyHash: () => {
      if (request.publicKey) keyHash ??= sha256(request.publicKey.spki).toString('hex');
      return keyHash;
    },
    budget,
  };
}

function judgedNames(names: PolicyInput['request']['names']): JudgedName[] {
  const judged: JudgedName[] = [];
  for (const value of names.dnsNames) {
    const text = value.toLowerCase();
    const segments = nameSegments(text, 'dns');
    const identifier = { type: 'dns', value } as const;
    judged.push({ kind: 'dns', text, identifier, segments, address: undefined, wildcard: text.startsWith('*.') });
  }
  for (const text of names.ipAddresses) {
    const identifier = { type: 'ip', value: text } as const;
    judged.push({ kind: 'ip', text, identifier, segments: undefined, address: parseAddress(text), wildcard: false });
  }
  const plain = { identifier: undefined, address: undefined, wildcard: false };
  for (const text of names.uris) judged.push({ kind: 'uri', text, segments: nameSegments(text, 'uri'), ...plain });
  for (const text of names.emailAddresses)
    judged.push({ kind: 'email', text, segments: nameSegments(text, 'email'), ...plain });
  return judged;
}

/** Key of the name in `facts.servers`. */
export function serverName(name: JudgedName): string {
  return name.wildcard ? name.text.slice(2) : name.text;
}

/** What one judge found. Any reason denies; without one, an open fact or a failed look-up leaves it undecided. */
export interface Findings {
  reasons: Reason[];
  /** With repetitions, as servers. */
  facts: Fact[];
  servers: string[];
  transient: string[];
}

export function createFindings(): Findings {
  return { reasons: [], facts: [], servers: [], transient: [] };
}

export function refuse(findings: Findings, about: Aspect, why: string, name?: JudgedName): void {
  findings.reasons.push(name?.identifier ? { about, why, identifier: name.identifier } : { about, why });
}

export function verdictOf(findings: Findings): 'allow' | 'deny' | 'unknown' | 'transient' {
  if (findings.reasons.length > 0) return 'deny';
  if (findings.transient.length > 0) return 'transient';
  return findings.facts.length + findings.servers.length > 0 ? 'unknown' : 'allow';
}
