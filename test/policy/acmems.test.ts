// ACMEMS' auth blocks (its tests of `ip`, `all` and `domain`), against the evaluator with the policies that say the same. Its HMAC
// and storage options are no matter of policy.
import { expect, test } from 'vitest';
import {
  type CertificateRequestPolicy,
  CertificateRequestPolicyKind,
} from '../../src/api/certificate-request-policy.ts';
import { validateObject } from '../../src/api/validate.ts';
import { allowing, aPolicy, decide, prepared, type Question } from './fixtures.ts';

interface Block {
  ip?: string[];
  all?: boolean;
  domains?: string[];
}

/** One policy a block, in the order of the file. */
function policiesFor(blocks: readonly Block[]): CertificateRequestPolicy[] {
  return blocks.map(({ ip, domains }, i) =>
    aPolicy(`block-${i}`, {
      priority: -i,
      selector: ip ? { sources: { cidrs: ip } } : {},
      allowed: domains ? { dnsNames: { values: domains } } : {},
    }),
  );
}

type Verdict = 'allow' | 'deny';
type Row = [what: string, blocks: Block[], question: Question, acmems: Verdict, ours: Verdict, why: string];

const local = { source: '127.0.0.1' };
const asks = (...names: string[]): Question => ({ names, requester: local });
const same = '';

const rows: Row[] = [
  ['no block', [], asks('www.example.org'), 'deny', 'deny', same],
  ['all without domains', [{ all: true }], asks('www.example.org'), 'deny', 'deny', same],
  [
    'all with the domain',
    [{ all: true, domains: ['www.example.org'] }],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'ip and domain',
    [{ ip: ['127.0.0.0/8'], domains: ['www.example.org'] }],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'one of several ips',
    [{ ip: ['192.0.2.0/24', '127.0.0.0/8'], domains: ['www.example.org'] }],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'a single address',
    [{ ip: ['127.0.0.1'], domains: ['www.example.org'] }],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'right ip, wrong domain',
    [{ ip: ['127.0.0.0/8'], domains: ['www.example.org'] }],
    asks('mail.example.org'),
    'deny',
    'deny',
    same,
  ],
  [
    'right ip, some wrong domain',
    [{ ip: ['127.0.0.0/8'], domains: ['www.example.org'] }],
    asks('www.example.org', 'mail.example.org'),
    'deny',
    'deny',
    same,
  ],
  ['wrong ip', [{ ip: ['192.0.2.0/24'], domains: ['www.example.org'] }], asks('www.example.org'), 'deny', 'deny', same],
  [
    'names split over two blocks',
    [
      { all: true, domains: ['www.example.org'] },
      { all: true, domains: ['mail.example.org'] },
    ],
    asks('www.example.org', 'mail.example.org'),
    'deny',
    'deny',
    same,
  ],
  [
    'the second block matches',
    [
      { all: true, domains: ['mail.example.org'] },
      { all: true, domains: ['www.example.org'] },
    ],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'the first block has the wrong ip, the second the right one',
    [
      { ip: ['192.0.2.0/24'], domains: ['www.example.org'] },
      { ip: ['127.0.0.0/8'], domains: ['www.example.org'] },
    ],
    asks('www.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'several domains',
    [{ ip: ['127.0.0.0/8'], domains: ['www.example.org', 'mail.example.org'] }],
    asks('www.example.org', 'mail.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'a pattern',
    [{ ip: ['127.0.0.0/8'], domains: ['*.example.org'] }],
    asks('www.example.org', 'mail.example.org'),
    'allow',
    'allow',
    same,
  ],
  [
    'a pattern and a name beyond it',
    [{ ip: ['127.0.0.0/8'], domains: ['*.example.org'] }],
    asks('www.example.org', 'example.org'),
    'deny',
    'deny',
    same,
  ],
  [
    'a wildcard certificate where one plain name is listed',
    [{ ip: ['127.0.0.0/8'], domains: ['example.com'] }],
    asks('*.example.com'),
    'deny',
    'deny',
    same,
  ],
  [
    'a wildcard certificate where several are',
    [{ ip: ['127.0.0.0/8'], domains: ['example.com', 'www.example.com'] }],
    asks('*.example.com'),
    'deny',
    'deny',
    same,
  ],
  [
    'a wildcard certificate where the pattern is listed',
    [{ all: true, domains: ['*.example.com'] }],
    asks('*.example.com'),
    'allow',
    'deny',
    'to allow names is not to allow a wildcard certificate: that takes wildcards: true',
  ],
  [
    'a name two labels below the pattern',
    [{ all: true, domains: ['*.example.com'] }],
    asks('a.b.example.com'),
    'allow',
    'deny',
    '* is one label; ** is any depth',
  ],
  [
    'a name in upper case',
    [{ all: true, domains: ['www.example.com'] }],
    asks('WWW.example.com'),
    'deny',
    'allow',
    'DNS names have no case',
  ],
  [
    'a pattern with ?',
    [{ all: true, domains: ['ww?.example.com'] }],
    asks('www.example.com'),
    'allow',
    'deny',
    'patterns are of whole labels; a policy with another is broken and says so',
  ],
  [
    'a pattern with a set',
    [{ all: true, domains: ['[vw]ww.example.com'] }],
    asks('www.example.com'),
    'allow',
    'deny',
    'patterns are of whole labels; a policy with another is broken and says so',
  ],
  [
    'an IP address beside the names',
    [{ all: true, domains: ['www.example.com'] }],
    asks('www.example.com', '192.0.2.1'),
    'allow',
    'deny',
    'ACMEMS ignores other kinds of names; here what is not listed is denied',
  ],
  [
    'an e-mail address beside the names',
    [{ all: true, domains: ['www.example.com'] }],
    asks('www.example.com', 'joe@example.com'),
    'allow',
    'deny',
    'ACMEMS ignores other kinds of names; here what is not listed is denied',
  ],
  [
    'a common name that is no SAN',
    [{ all: true, domains: ['*.example.com'] }],
    { ...asks('www.example.com'), subject: [[{ oid: '2.5.4.3', value: 'mail.example.com' }]] },
    'allow',
    'deny',
    'ACMEMS makes it a SAN; here it must be one, or allowed.commonName must allow it',
  ],
  ['domains without any method', [{ domains: ['www.example.com'] }], asks('www.example.com'), 'allow', 'allow', same],
];

test.each(rows)('%s', (_what, blocks, question, acmems, ours, why) => {
  expect(decide(policiesFor(blocks), question).verdict).toBe(ours);
  expect(why !== '').toBe(acmems !== ours);
});

test('wildcards: true gives the wildcard certificate of the pattern', () => {
  const policy = aPolicy('p', { allowed: { dnsNames: { values: ['*.example.com'], wildcards: true } } });
  expect(decide([policy], asks('*.example.com')).verdict).toBe('allow');
});

test('a glob of another language breaks its policy, naming the field', () => {
  expect(prepared(allowing('p', ['ww?.example.com']))).toEqual({
    name: 'p',
    broken: 'spec.allowed.dnsNames.values[0] has a label that no DNS name can have',
  });
});

test('the first block that matches is the one whose settings hold', () => {
  const [first, second] = policiesFor([
    { ip: ['127.0.0.0/8'], domains: ['*.example.org'] },
    { all: true, domains: ['www.example.org'] },
  ]);
  if (!first || !second) throw new Error('two policies');
  expect(decide([second, first], asks('www.example.org'))).toMatchObject({ policy: 'block-0' });
  expect(decide([second, first], { names: ['www.example.org'], requester: { source: '192.0.2.1' } })).toMatchObject({
    policy: 'block-1',
  });
});

// ACMEMS lets everyone in where a block has no method, and drops the rest of a block after an option it does not know.
test.each<[string, object, string]>([
  ['a policy that does not say whom it selects', { allowed: {} }, 'spec.selector'],
  [
    'a policy with a misspelt selector',
    { selector: { source: { cidrs: ['10.0.0.0/8'] } }, allowed: {} },
    'spec.selector.source',
  ],
  ['a policy with an empty list', { selector: { accounts: [] }, allowed: {} }, 'spec.selector.accounts'],
])('%s is refused by the schema', (_what, spec, path) => {
  const policy = { ...aPolicy('p'), spec } as CertificateRequestPolicy;
  expect(validateObject(CertificateRequestPolicyKind, policy).map((error) => error.path)).toEqual([path]);
});
