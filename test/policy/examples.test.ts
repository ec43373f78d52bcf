// The worked examples of docs/policy.md: the policies are read from the page, the answers are those of its tables.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import {
  type CertificateRequestPolicy,
  CertificateRequestPolicyKind,
} from '../../src/api/certificate-request-policy.ts';
import { validateObject } from '../../src/api/validate.ts';
import { A_KEY, aPolicy, at, decide, pointing, type Question, told } from './fixtures.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/policy.md'), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = '']) =>
  parseAllDocuments(yaml).map((document) => {
    const { metadata, spec } = document.toJS() as Pick<CertificateRequestPolicy, 'metadata' | 'spec'>;
    return aPolicy(metadata.name, spec);
  }),
);

test('every policy of the page is one the API accepts', () => {
  expect(examples.map((policies) => policies.map(({ metadata }) => metadata.name))).toEqual([
    ['team-payments'],
    ['data-centre'],
    ['short-lived', 'fallback'],
  ]);
  for (const policy of examples.flat()) expect(validateObject(CertificateRequestPolicyKind, policy)).toEqual([]);
});

const from = (namespace: string) => ({ requester: { namespace } });
const inside = { requester: { source: '10.20.1.1' } };
const rsa = { publicKey: { ...A_KEY, algorithm: 'RSA', size: 2048 } as const };

test.each<[number, string, Question, string]>([
  [0, 'a name of the team', { names: ['www.payments.example'], ...from('payments-prod') }, 'allow'],
  [
    0,
    'a Service of the namespace',
    { names: ['db.payments-prod.svc.cluster.local'], ...from('payments-prod') },
    'allow',
  ],
  [
    0,
    'a Service of another',
    { names: ['db.payments-test.svc.cluster.local'], ...from('payments-prod') },
    'matches none of the allowed patterns',
  ],
  [
    0,
    'the exception',
    { names: ['admin.payments.example'], ...from('payments-prod') },
    'is excepted by "admin.payments.example"',
  ],
  [
    0,
    'a wildcard',
    { names: ['*.payments.example'], ...from('payments-prod') },
    'wildcard certificates are not allowed',
  ],
  [0, 'an unknown namespace', { names: ['www.payments.example'] }, 'no policy is meant'],
  [
    1,
    'a server inside',
    {
      ...inside,
      names: ['web.dc.example'],
      servers: { 'web.dc.example': pointing({ '10.20.3.4': ['web.dc.example'] }) },
    },
    'allow',
  ],
  [
    1,
    'one address outside',
    { ...inside, names: ['web.dc.example'], servers: { 'web.dc.example': at('10.20.3.4', '192.0.2.9') } },
    'its address "192.0.2.9" is outside',
  ],
  [
    1,
    'no address',
    { ...inside, names: ['web.dc.example'], servers: { 'web.dc.example': { state: 'unresolvable' } } },
    'it has no address',
  ],
  [
    1,
    'no answer',
    { ...inside, names: ['web.dc.example'], servers: { 'web.dc.example': { state: 'failed' } } },
    'transient',
  ],
  [1, 'an address', { ...inside, names: ['10.20.3.4'] }, 'allow'],
  [1, 'from elsewhere', { names: ['10.20.3.4'], requester: { source: '192.0.2.1' } }, 'no policy is meant'],
  [2, 'the fallback for RSA', { names: ['a.lab.example'], ...rsa }, 'allow'],
  [2, 'a wildcard', { names: ['*.lab.example'] }, 'allow'],
  [2, 'five labels', { names: ['a.b.c.lab.example'] }, 'at most four labels'],
  [2, 'both', { names: ['a.lab.example', 'x.example'] }, 'allow'],
])('example %i: %s', (example, _what, question, outcome) => {
  expect(told(decide(examples[example] ?? [], question))).toContain(outcome);
});

test('the policy and the clamp of the examples', () => {
  const [team = [], , two = []] = examples;
  expect(decide(team, { names: ['www.payments.example'], ...from('payments-prod') })).toMatchObject({
    clamp: { maxDurationMs: 2160 * 3_600_000 },
  });
  expect(decide(two, { names: ['a.lab.example'] })).toMatchObject({
    policy: 'short-lived',
    clamp: { maxDurationMs: 24 * 3_600_000 },
  });
  expect(decide(two, { names: ['a.lab.example'], ...rsa })).toMatchObject({ policy: 'fallback', clamp: {} });
  expect(decide(two, { names: ['a.lab.example', 'x.example'] })).toMatchObject({ policy: 'fallback' });
});
