// Effects of the fields of a CertificateRequestPolicy, and of the issuer's fields that policy judges: verdicts of the evaluator.
import { sha256 } from '../../src/domain/encoding.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import type { IssuerRef } from '../../src/api/kind.ts';
import { CertificateRequestPolicyKind, type PolicySpec } from '../../src/api/certificate-request-policy.ts';
import type { NameAttribute } from '../../src/domain/certificate-model.ts';
import { A_KEY, allowing, aPolicy, at, decide, pointing, type Question, told } from '../policy/fixtures.ts';
import { ABSENT, type FieldCase } from './field-case.ts';

const NAME = 'www.example.com';
const BASE = { selector: {}, allowed: { dnsNames: { values: ['**.example.com'] } } } satisfies PolicySpec;

/** The verdict of a policy with this spec. */
function policy(path: string, values: readonly unknown[], question: Question, base: object = BASE): FieldCase {
  const outcome = (spec: PolicySpec) => told(decide([aPolicy('judged', spec)], question));
  return { kind: CertificateRequestPolicyKind, path, base, values, outcome };
}

/** The verdict over requests for this issuer, in turn of the cluster and of a namespace. */
function issuers(path: string, values: readonly unknown[], question: Question, base: object = {}): FieldCase[] {
  const allowed = { dnsNames: { values: ['**'] }, ipAddresses: { cidrs: ['0.0.0.0/0'] } };
  const whole = { backend: { ca: { secretRef: { name: 'ca' } } }, ...base };
  return [ClusterCAIssuerKind, CAIssuerKind].map((kind) => {
    const open = aPolicy('open', { allowed, selector: { issuerRef: { kind: kind.kind as IssuerRef['kind'] } } });
    const home = kind.namespaced ? { home: 'team-a' } : {};
    const outcome = (spec: object) => told(decide([open], { ...question, ...home, issuer: spec }));
    return { kind, path, base: whole, values, outcome };
  });
}

const from = (requester: NonNullable<Question['requester']>): Question => ({ requester, names: [NAME] });
const subject = (...attributes: NameAttribute[]): Question => ({ subject: attributes.map((each) => [each]) });
const keyHash = sha256(A_KEY.spki).toString('hex');
const withAllowed = (allowed: object) => ({ ...BASE, allowed: { ...BASE.allowed, ...allowed } });
const withConstraints = (constraints: object) => ({ ...BASE, constraints });

const ATTRIBUTES = {
  organizations: '2.5.4.10',
  organizationalUnits: '2.5.4.11',
  countries: '2.5.4.6',
  provinces: '2.5.4.8',
  localities: '2.5.4.7',
};

const selectorCases = [
  policy('spec.selector.issuerRef.name', ['corp*', 'other'], {}),
  policy('spec.selector.issuerRef.kind', ['ClusterCAIssuer', 'CAIssuer'], {}),
  policy(
    'spec.selector.issuerRef.namespace',
    ['team-*', 'other'],
    { home: 'team-a' },
    { ...BASE, selector: { issuerRef: { kind: 'CAIssuer' } } },
  ),
  policy('spec.selector.doors', [['ACME'], ['CertificateClaim']], {}),
  policy('spec.selector.namespace.matchNames', [['team-*'], ['other']], from({ namespace: 'team-a' })),
  policy(
    'spec.selector.namespace.matchLabels',
    [{ tier: 'web' }, { tier: 'db' }],
    from({ namespace: 'team-a', namespaceLabels: { tier: 'web' } }),
  ),
  policy(
    'spec.selector.serviceAccounts',
    [['team-a/*'], ['*/other']],
    from({ namespace: 'team-a', serviceAccount: 'team-a/web' }),
  ),
  policy('spec.selector.accounts', [['acct-1'], ['acct-2']], {}),
  policy('spec.selector.eabKeyIDs', [['team-*'], ['other']], from({ account: 'acct-1', eabKeyID: 'team-a' })),
  policy('spec.selector.publicKeys', [[keyHash], ['0'.repeat(64)]], {}),
  policy('spec.selector.sources.cidrs', [['10.0.0.0/8'], ['192.0.2.0/24']], {}),
  policy(
    'spec.selector.sources.except',
    [['192.0.2.0/24'], ['10.1.0.0/16']],
    {},
    {
      ...BASE,
      selector: { sources: { cidrs: ['10.0.0.0/8'] } },
    },
  ),
];

const proofCases = [
  policy('spec.proof', ['Namespace', 'Challenge'], {
    ...from({ namespace: 'team-a' }),
    unproven: new Set([`dns:${NAME}`]),
  }),
];

const commonName: Question = subject({ oid: '2.5.4.3', value: NAME });
const nameCases = [
  policy('spec.allowed.commonName.value', ['*.example.com', 'other.example.com'], commonName),
  policy('spec.allowed.commonName.required', [true, false], {}, withAllowed({ commonName: { value: NAME } })),
  policy('spec.allowed.dnsNames.values', [['*.example.com'], ['other.example.com']], {}),
  policy('spec.allowed.dnsNames.except', [['a.example.com'], ['www.*.com']], {}),
  policy('spec.allowed.dnsNames.wildcards', [true, false], { names: ['*.example.com'] }),
  policy('spec.allowed.ipAddresses.cidrs', [['10.0.0.0/8'], ['192.0.2.0/24']], { names: ['10.1.2.3'] }),
  policy(
    'spec.allowed.ipAddresses.except',
    [['10.2.0.0/16'], ['10.1.0.0/16']],
    { names: ['10.1.2.3'] },
    {
      ...BASE,
      allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'] } },
    },
  ),
  ...(['uris', 'emailAddresses'] as const).flatMap((field) => {
    const [name, good, bad] =
      field === 'uris'
        ? ['spiffe://trust/web', 'spiffe://trust/*', 'spiffe://other/*']
        : ['me@example.com', '*@example.com', '*@other.com'];
    const everything = withAllowed({ [field]: { values: [good] } });
    return [
      policy(`spec.allowed.${field}.values`, [[good], [bad]], { names: [name] }),
      policy(`spec.allowed.${field}.except`, [[bad], [good]], { names: [name] }, everything),
    ];
  }),
  ...Object.entries(ATTRIBUTES).flatMap(([field, oid]) => [
    policy(`spec.allowed.subject.${field}.values`, [['DE'], ['FR']], subject({ oid, value: 'DE' })),
    policy(
      `spec.allowed.subject.${field}.required`,
      [true, false],
      {},
      withAllowed({ subject: { [field]: { values: ['DE'] } } }),
    ),
  ]),
  policy('spec.allowed.usages', [['server auth', 'client auth'], ['client auth']], {}),
  policy('spec.allowed.profiles', [['server'], ['other']], {
    profile: 'server',
    issuer: { profiles: [{ name: 'server', description: 'x' }] },
  }),
  policy('spec.allowed.maxNames', [1, 2], { names: [NAME, 'a.example.com'] }),
  policy('spec.allowed.validations[].rule', ["self.endsWith('.com')", "self.endsWith('.org')"], {}),
  policy(
    'spec.allowed.validations[].message',
    ['names end in .org', 'only .org here'],
    {},
    withAllowed({ validations: [{ rule: "self.endsWith('.org')" }] }),
  ),
];

const resolved: Question = { servers: { [NAME]: at('10.1.2.3') } };
const constraintCases = [
  policy('spec.constraints.servers.cidrs', [['10.0.0.0/8'], ['192.0.2.0/24']], resolved),
  policy(
    'spec.constraints.servers.except',
    [['192.0.2.0/24'], ['10.1.0.0/16']],
    resolved,
    withConstraints({ servers: { cidrs: ['10.0.0.0/8'] } }),
  ),
  policy(
    'spec.constraints.servers.verifyPTR',
    [true, false],
    { servers: { [NAME]: pointing({ '10.1.2.3': ['other.example.com'] }) } },
    withConstraints({ servers: { cidrs: ['10.0.0.0/8'] } }),
  ),
  policy(
    'spec.constraints.servers.unresolvable',
    ['Allow', 'Deny'],
    { servers: { [NAME]: { state: 'unresolvable' } } },
    withConstraints({ servers: { cidrs: ['10.0.0.0/8'] } }),
  ),
  policy('spec.constraints.maxDuration', ['24h', '9000h'], { duration: { ms: 48 * 3_600_000, explicit: true } }),
  ...(['RSA', 'ECDSA', 'Ed25519'] as const).map((algorithm) =>
    policy(
      'spec.constraints.privateKey[].algorithm',
      [algorithm, algorithm === 'RSA' ? 'ECDSA' : 'RSA'],
      { publicKey: { ...A_KEY, algorithm, size: algorithm === 'RSA' ? 2048 : 256 } },
      withConstraints({ privateKey: [{}] }),
    ),
  ),
  policy(
    'spec.constraints.privateKey[].sizes',
    [[256], [384]],
    {},
    withConstraints({ privateKey: [{ algorithm: 'ECDSA' }] }),
  ),
  policy(
    'spec.constraints.privateKey[].minSize',
    [2048, 3072],
    { publicKey: { ...A_KEY, algorithm: 'RSA', size: 2048 } },
    withConstraints({ privateKey: [{ algorithm: 'RSA' }] }),
  ),
  policy('spec.constraints.forbidKeyReuse', [true, false], { keyInUse: true }),
];

const policyCases: FieldCase[] = [
  {
    ...policy('spec.priority', [-1, 1], {}),
    outcome: (spec: PolicySpec) => decide([aPolicy('judged', spec), allowing('rival', ['**'])]),
  },
  {
    ...policy('spec.audit', [true, false], {}),
    outcome: (spec: PolicySpec) => told(decide([aPolicy('judged', spec)])),
  },
];

const issuerCases = [
  ...issuers('spec.deny.dnsNames', [[NAME], ['admin.example.com']], {}),
  ...issuers('spec.deny.cidrs', [['10.0.0.0/8'], ['192.0.2.0/24']], { names: ['10.1.2.3'] }),
  ...issuers('spec.allowedNamespaces.matchLabels', [{ tier: 'web' }, { tier: 'db' }], {
    door: 'CertificateClaim',
    requester: { namespace: 'team-a', namespaceLabels: { tier: 'web' } },
  }).filter(({ kind }) => kind === ClusterCAIssuerKind),
  ...issuers(
    'spec.profiles[].duration.max',
    ['24h', ABSENT],
    { profile: 'server', duration: { ms: 48 * 3_600_000, explicit: true } },
    { profiles: [{ name: 'server', description: 'x' }] },
  ),
];

export const POLICY_CASES: readonly FieldCase[] = [
  ...selectorCases,
  ...proofCases,
  ...nameCases,
  ...constraintCases,
  ...policyCases,
  ...issuerCases,
];
