// Builders for policy tests: a test states only what matters to it.
import type { ClusterCAIssuer } from '../../src/api/ca-issuer.ts';
import type { Issuer } from '../../src/api/issuer.ts';
import type { CertificateRequestPolicy, PolicySpec } from '../../src/api/certificate-request-policy.ts';
import type { AlternativeNames } from '../../src/domain/certificate-model.ts';
import { type Decision, evaluate, renderDenial } from '../../src/domain/policy.ts';
import type { JudgedRequest, PolicyInput, ServerFacts, Stage } from '../../src/domain/policy/input.ts';
import { prepare, type PreparedPolicy, prepareIssuer } from '../../src/domain/policy/prepare.ts';
import { compileExpression } from '../../src/expressions/cel.ts';

const metadata = {
  uid: '0b6cb7c8-2d0f-4a80-8a1b-111111111111',
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: '2026-01-01T00:00:00Z',
};

export type SpecParts = Partial<PolicySpec>;

/** A policy that selects everything and allows nothing, but for `parts`. */
export function aPolicy(name: string, parts: SpecParts = {}): CertificateRequestPolicy {
  return {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateRequestPolicy',
    metadata: { ...metadata, name },
    spec: { selector: {}, allowed: {}, ...parts },
  };
}

/** A policy that allows these DNS names. */
export function allowing(name: string, values: string[], parts: SpecParts = {}): CertificateRequestPolicy {
  return aPolicy(name, { allowed: { dnsNames: { values } }, ...parts });
}

export function prepared(policy: CertificateRequestPolicy): PreparedPolicy {
  return prepare(policy, compileExpression);
}

/** A ClusterCAIssuer; with a namespace, a CAIssuer of that. */
export function anIssuer(parts: Partial<ClusterCAIssuer['spec']> = {}, namespace?: string): Issuer {
  return {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: namespace === undefined ? 'ClusterCAIssuer' : 'CAIssuer',
    metadata: { ...metadata, name: 'corporate', ...(namespace === undefined ? {} : { namespace }) },
    spec: { backend: { ca: { secretRef: { name: 'ca' } } }, ...parts },
  };
}

export const A_KEY = { spki: Buffer.from('a key'), algorithm: 'ECDSA', size: 256 } as const;

/** Names told apart by their looks: addresses, URIs (with ://), e-mail addresses (with @), else DNS names. */
function names(...all: string[]): AlternativeNames {
  const isAddress = (name: string) => /^[\d.]+$/.test(name) || (name.includes(':') && !name.includes('/'));
  return {
    dnsNames: all.filter((name) => !isAddress(name) && !name.includes('@') && !name.includes('://')),
    ipAddresses: all.filter(isAddress),
    uris: all.filter((name) => name.includes('://')),
    emailAddresses: all.filter((name) => name.includes('@')),
  };
}

export interface Question extends Partial<Omit<JudgedRequest, 'names'>> {
  names?: AlternativeNames | string[];
  issuer?: Partial<ClusterCAIssuer['spec']>;
  /** Namespace of the issuer, which is then a CAIssuer. */
  home?: string;
  servers?: Record<string, ServerFacts>;
  keyInUse?: boolean;
  stage?: Stage;
}

/** A complete ACME request at finalize, but for what the question says. */
export function anInput(policies: readonly CertificateRequestPolicy[], question: Question = {}): PolicyInput {
  const {
    names: wanted = ['www.example.com'],
    issuer,
    home,
    servers = {},
    keyInUse,
    stage = 'finalize',
    ...request
  } = question;
  return {
    policies: policies.map(prepared),
    issuer: prepareIssuer(anIssuer(issuer, home)),
    request: {
      door: 'ACME',
      requester: { account: 'acct-1', source: '10.1.2.3' },
      subject: [],
      publicKey: A_KEY,
      usages: ['server auth'],
      duration: { ms: 90 * 86_400_000, explicit: false },
      ...request,
      names: Array.isArray(wanted) ? names(...wanted) : wanted,
    },
    facts: { servers: new Map(Object.entries(servers)), keyInUse },
    stage,
  };
}

export function decide(policies: readonly CertificateRequestPolicy[], question: Question = {}): Decision {
  return evaluate(anInput(policies, question));
}

/** The verdict, and for a denial the detail of its problem. */
export function told(decision: Decision): string {
  return decision.verdict === 'deny' ? `deny: ${renderDenial(decision).detail}` : decision.verdict;
}

export function at(...addresses: string[]): ServerFacts {
  return { state: 'resolved', addresses };
}

/** Addresses with the names they point to. */
export function pointing(pointers: Record<string, readonly string[] | 'failed'>): ServerFacts {
  return { state: 'resolved', addresses: Object.keys(pointers), pointers: new Map(Object.entries(pointers)) };
}
