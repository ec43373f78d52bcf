import { expect, test } from 'vitest';
import { allowing, aPolicy, decide, type Question, type SpecParts } from '../../../test/policy/fixtures.ts';
import type { CertificateRequestPolicy } from '../../api/certificate-request-policy.ts';
import type { Problem } from '../problem.ts';
import { renderDenial } from './denial.ts';

function denial(policies: CertificateRequestPolicy[], question: Question = {}): Problem {
  const decision = decide(policies, question);
  if (decision.verdict !== 'deny') throw new Error(`expected a denial, not ${decision.verdict}`);
  return renderDenial(decision);
}

const any: SpecParts = { allowed: { dnsNames: { values: ['**'] } } };
const day = 86_400_000;

test.each<[string, SpecParts, Question, string, number]>([
  ['a name', { allowed: {} }, {}, 'rejectedIdentifier', 403],
  [
    'too many names',
    { allowed: { dnsNames: { values: ['**'] }, maxNames: 1 } },
    { names: ['a.b', 'b.b'] },
    'rejectedIdentifier',
    403,
  ],
  ['no names', any, { names: [] }, 'rejectedIdentifier', 403],
  [
    'where a name lives',
    { ...any, constraints: { servers: {} } },
    { servers: { 'www.example.com': { state: 'unresolvable' } } },
    'rejectedIdentifier',
    403,
  ],
  [
    'a rule over a name',
    { allowed: { dnsNames: { values: ['**'] }, validations: [{ rule: 'false' }] } },
    {},
    'rejectedIdentifier',
    403,
  ],
  ['the key', any, { publicKey: { spki: Buffer.from('x'), algorithm: 'RSA', size: 1024 } }, 'badCSR', 400],
  ['a key in use', { ...any, constraints: { forbidKeyReuse: true } }, { keyInUse: true }, 'badCSR', 400],
  ['the subject', any, { subject: [[{ oid: '2.5.4.10', value: 'x' }]] }, 'badCSR', 400],
  ['a URI', any, { names: ['www.example.com', 'spiffe://x'] }, 'badCSR', 400],
  ['a usage', any, { usages: ['client auth'] }, 'badCSR', 400],
  ['the profile', any, { profile: 'x' }, 'invalidProfile', 400],
  [
    'an explicit lifetime',
    { ...any, constraints: { maxDuration: '1h' } },
    { duration: { ms: day, explicit: true } },
    'malformed',
    400,
  ],
  ['who asks', any, { issuer: { allowedNamespaces: { matchLabels: {} } } }, 'unauthorized', 403],
  ['that no policy is meant', { ...any, selector: { doors: ['CertificateClaim'] } }, {}, 'unauthorized', 403],
  [
    'a name and the key',
    { allowed: {} },
    { publicKey: { spki: Buffer.from('x'), algorithm: 'RSA', size: 1024 } },
    'rejectedIdentifier',
    403,
  ],
])('a denial for %s', (_what, spec, question, type, status) => {
  const problem = denial([aPolicy('p', spec)], question);
  expect({ type: problem.type, status: problem.status }).toEqual({ type, status });
  expect(problem.toJSON().status).toBe(status);
});

test('one subproblem a name, from the nearest policy, and a detail that stands by itself', () => {
  const policies = [allowing('near', ['a.com']), allowing('far', ['x.com'])];
  expect(denial(policies, { names: ['a.com', 'b.com', '10.0.0.1'] }).toJSON()).toEqual({
    type: 'urn:ietf:params:acme:error:rejectedIdentifier',
    status: 403,
    detail:
      'policy "near" refuses "b.com": matches none of the allowed patterns ("a.com") (and 1 more reason); ' +
      'policy "far" refuses "a.com": matches none of the allowed patterns ("x.com") (and 2 more reasons)',
    subproblems: [
      {
        type: 'urn:ietf:params:acme:error:rejectedIdentifier',
        identifier: { type: 'dns', value: 'b.com' },
        detail: 'policy "near": matches none of the allowed patterns ("a.com")',
      },
      {
        type: 'urn:ietf:params:acme:error:rejectedIdentifier',
        identifier: { type: 'ip', value: '10.0.0.1' },
        detail: 'policy "near": IP addresses are not allowed',
      },
    ],
  });
});

test('two reasons for one name make one subproblem', () => {
  const policy = aPolicy('p', { allowed: { dnsNames: { values: ['a.com'] } }, constraints: { servers: {} } });
  const { options } = denial([policy], { servers: { 'www.example.com': { state: 'unresolvable' } } });
  expect(options.subproblems).toHaveLength(1);
  expect(options.subproblems?.[0]?.detail).toMatch(/matches none .*; it has no address$/);
});

test('no name at fault, no subproblems, and the detail still has policy and first name', () => {
  const problem = denial([aPolicy('p', any)], { names: ['first.com', 'second.com'], usages: ['client auth'] });
  expect(problem.toJSON()).not.toHaveProperty('subproblems');
  expect(problem.detail).toBe('policy "p" refuses the request for "first.com": the usage "client auth" is not allowed');
});

test('the detail stays short however many policies refuse', () => {
  const policies = Array.from({ length: 256 }, (_, i) => allowing(`policy-${i}`, ['x.com']));
  const { detail } = denial(policies);
  expect(detail.length).toBeLessThan(1200);
  expect(detail).toMatch(/^policy "policy-0" refuses "www\.example\.com".*; \d+ more policies refuse it$/);
});

test('what the requester sends cannot break out of the line', () => {
  const { detail } = denial([aPolicy('p', any)], {
    subject: [[{ oid: '2.5.4.3', value: 'a\r\nSet-Cookie: \u202e"x' }]],
  });
  expect(detail).toBe(
    'policy "p" refuses the request for "www.example.com": the common name "a??Set-Cookie: ?\\"x" is not one of its names',
  );
});
