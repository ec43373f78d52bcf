import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import {
  A_KEY,
  allowing,
  anInput,
  anIssuer,
  aPolicy,
  at,
  decide,
  pointing,
  prepared,
  type Question,
  type SpecParts,
  told,
} from '../../test/policy/fixtures.ts';
import type { CertificateRequestPolicy } from '../api/certificate-request-policy.ts';
import { evaluate, wantedFacts } from './policy.ts';
import { prepareIssuer } from './policy/prepare.ts';

const DAY = 86_400_000;
const SPKI_HASH = '8fa3aab2faa9b79e0a0398da5b5abd0780142442a5be80b9a64608d718cb1fcd';

type Row = [sentence: string, spec: SpecParts, question: Question, outcome: string];

/** One policy `p` against one request: `allow`, `unknown`, `transient`, or words of the refusal. */
function table(title: string, rows: Row[]) {
  test.each(rows)(`${title}: %s`, (_sentence, spec, question, outcome) => {
    const said = told(decide([aPolicy('p', spec)], question));
    if (['allow', 'unknown', 'transient'].includes(outcome)) expect(said).toBe(outcome);
    else expect(said).toMatch(new RegExp(`^deny: .*${outcome.replace(/[.*+?^$()[\]{}|]/g, '\\$&')}`));
  });
}

const dns = (values: string[], more: object = {}) => ({ allowed: { dnsNames: { values, ...more } } });
const any = dns(['**'], { wildcards: true }).allowed;

table('DNS names', [
  ['one that matches is allowed', dns(['*.example.com']), {}, 'allow'],
  [
    'one that does not match is denied',
    dns(['*.example.org']),
    {},
    'policy "p" refuses "www.example.com": matches none',
  ],
  ['none is allowed where the policy lists none', { allowed: {} }, {}, 'DNS names are not allowed'],
  ['every name must match', dns(['*.example.com']), { names: ['a.example.com', 'a.example.org'] }, '"a.example.org"'],
  ['an exception wins', dns(['*.example.com'], { except: ['www.*.com'] }), {}, 'is excepted by "www.*.com"'],
  ['upper case in the request matches', dns(['*.example.com']), { names: ['WWW.EXAMPLE.COM'] }, 'allow'],
  ['a text that is no name is denied', dns(['**']), { names: ['a..b'] }, 'not a DNS name in normal form'],
  ['a trailing dot is denied', dns(['**']), { names: ['www.example.com.'] }, 'not a DNS name in normal form'],
  ['a request without names is denied', { allowed: any }, { names: [] }, 'it has no name'],
  [
    'the namespace is put into the pattern',
    dns(['*.{{namespace}}.svc']),
    { names: ['db.a.svc'], requester: { namespace: 'a' } },
    'allow',
  ],
  [
    'another namespace is denied',
    dns(['*.{{namespace}}.svc']),
    { names: ['db.b.svc'], requester: { namespace: 'a' } },
    'matches none',
  ],
  [
    'an unknown namespace matches nothing',
    dns(['*.{{namespace}}.svc']),
    { names: ['db.a.svc'], requester: {} },
    'if the namespace of the requester were known',
  ],
  [
    'an exception by an unknown namespace is taken to match',
    dns(['*.svc'], { except: ['{{namespace}}.svc'] }),
    { names: ['a.svc'], requester: {} },
    'if the namespace of the requester were known',
  ],
  [
    'a namespace that is a pattern matches nothing',
    dns(['{{namespace}}.svc']),
    { names: ['a.svc'], requester: { namespace: '**' } },
    'if the namespace of the requester were known',
  ],
]);

table('wildcard certificates', [
  [
    'denied unless the policy has wildcards',
    dns(['*.example.com']),
    { names: ['*.example.com'] },
    'wildcard certificates are not allowed',
  ],
  [
    'allowed with wildcards and a pattern over all names under it',
    dns(['*.example.com'], { wildcards: true }),
    { names: ['*.example.com'] },
    'allow',
  ],
  [
    'denied where single names are listed',
    dns(['www.example.com', 'example.com'], { wildcards: true }),
    { names: ['*.example.com'] },
    'matches none',
  ],
  [
    'denied below what the pattern covers',
    dns(['*.example.com'], { wildcards: true }),
    { names: ['*.a.example.com'] },
    'matches none',
  ],
  [
    'denied where it would be good for an exception',
    dns(['**.example.com'], { wildcards: true, except: ['admin.example.com'] }),
    { names: ['*.example.com'] },
    'is excepted by "admin.example.com"',
  ],
  [
    'allowed beside an exception it is not good for',
    dns(['**.example.com'], { wildcards: true, except: ['admin.a.example.com'] }),
    { names: ['*.example.com'] },
    'allow',
  ],
  [
    'denied by placeholders, whatever the namespace',
    dns(['{{namespace}}.example.com'], { wildcards: true }),
    { names: ['*.example.com'], requester: { namespace: '*' } },
    'matches none',
  ],
  ...['*.*.a', 'a.*.b', '*', '*.com', 'w*.a', '**.a'].map(
    (name): Row => [`${name} is never one`, dns(['**'], { wildcards: true }), { names: [name] }, 'not a DNS name'],
  ),
]);

table('IP addresses', [
  ['inside the networks', { allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'] } } }, { names: ['10.1.2.3'] }, 'allow'],
  [
    'outside',
    { allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'] } } },
    { names: ['11.1.2.3'] },
    'outside the allowed networks',
  ],
  [
    'excepted',
    { allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'], except: ['10.1.0.0/16'] } } },
    { names: ['10.1.2.3'] },
    'outside',
  ],
  [
    'exceptions alone allow nothing',
    { allowed: { ipAddresses: { except: ['10.1.0.0/16'] } } },
    { names: ['10.2.2.3'] },
    'no policy is meant',
  ],
  ['not listed at all', { allowed: any }, { names: ['10.1.2.3'] }, 'IP addresses are not allowed'],
  [
    'a mapped address is its IPv4 address',
    { allowed: { ipAddresses: { cidrs: ['10.0.0.0/8'] } } },
    { names: ['::ffff:10.1.2.3'] },
    'allow',
  ],
  ['a pattern of DNS names is none of addresses', dns(['**']), { names: ['10.1.2.3'] }, 'IP addresses are not allowed'],
]);

table('URIs and e-mail addresses', [
  [
    'a URI that matches',
    { allowed: { uris: { values: ['spiffe://c/ns/{{namespace}}/**'] } } },
    { names: ['spiffe://c/ns/a/sa/x'], requester: { namespace: 'a' } },
    'allow',
  ],
  [
    'a URI that does not',
    { allowed: { uris: { values: ['spiffe://c/ns/a/**'] } } },
    { names: ['spiffe://c/ns/b/x'] },
    'the URI "spiffe://c/ns/b/x" matches none',
  ],
  [
    'a URI where none is listed',
    { allowed: any },
    { names: ['www.example.com', 'spiffe://c/x'] },
    'URIs are not allowed',
  ],
  [
    'an e-mail address that matches',
    { allowed: { emailAddresses: { values: ['*@example.com'] } } },
    { names: ['joe@example.com'] },
    'allow',
  ],
  [
    'an excepted one',
    { allowed: { emailAddresses: { values: ['*@example.com'], except: ['root@example.com'] } } },
    { names: ['root@example.com'] },
    'is excepted',
  ],
  [
    'one where none is listed',
    { allowed: any },
    { names: ['www.example.com', 'joe@example.com'] },
    'e-mail addresses are not allowed',
  ],
]);

const cn = (...values: string[]) => values.map((value) => [{ oid: '2.5.4.3', value }]);
const withCN = (commonName: object) => ({ allowed: { ...any, commonName: { value: '*.example.com', ...commonName } } });

table('common names', [
  ['one that repeats a name needs no rule', { allowed: any }, { subject: cn('www.example.com') }, 'allow'],
  ['in any case', { allowed: any }, { subject: cn('WWW.example.com') }, 'allow'],
  [
    'an address in any spelling',
    { allowed: { ipAddresses: { cidrs: ['::/0'] } } },
    { names: ['2001:db8::1'], subject: cn('2001:DB8:0::1') },
    'allow',
  ],
  [
    'another needs a rule',
    { allowed: any },
    { subject: cn('x.example.com') },
    '"x.example.com" is not one of its names',
  ],
  ['a rule allows what matches', withCN({}), { subject: cn('x.example.com') }, 'allow'],
  [
    'a rule denies what does not, even a name',
    withCN({}),
    { names: ['a.b'], subject: cn('a.b') },
    'does not match "*.example.com"',
  ],
  ['a wildcard must be a name too', withCN({}), { subject: cn('*.example.com') }, 'is not one of its names'],
  ['none is fine', withCN({}), { subject: [] }, 'allow'],
  ['none is denied where one is required', withCN({ required: true }), { subject: [] }, 'it needs a common name'],
  [
    'two are denied',
    { allowed: any },
    { subject: cn('www.example.com', 'www.example.com') },
    'more than one common name',
  ],
  [
    'what the issuer puts there is exempt',
    { allowed: any },
    { subject: [[{ oid: '2.5.4.3', value: 'Device', imposed: true }]] },
    'allow',
  ],
  ['an unknown subject is denied in the end', { allowed: any }, { subject: undefined }, 'its subject is not known'],
]);

const organization = (value: string, imposed = false) => [[{ oid: '2.5.4.10', value, imposed }]];
const withO = (rule: object = {}) => ({
  allowed: { ...any, subject: { organizations: { values: ['Example*'], ...rule } } },
});

table('subject attributes', [
  [
    'one that is not listed is denied',
    { allowed: any },
    { subject: organization('Example') },
    'its subject may not have organizations',
  ],
  ['unless the issuer put it there', { allowed: any }, { subject: organization('Example', true) }, 'allow'],
  ['one that matches', withO(), { subject: organization('Example GmbH') }, 'allow'],
  ['one that does not', withO(), { subject: organization('Evil') }, '"Evil" is not among the allowed organizations'],
  ['each value is judged', withO(), { subject: [...organization('Example'), ...organization('Evil')] }, '"Evil"'],
  ['one that is required', withO({ required: true }), { subject: [] }, 'its subject needs organizations'],
  [
    'the issuer may fulfil what is required',
    withO({ required: true }),
    { subject: organization('Other', true) },
    'allow',
  ],
  [
    'an attribute nobody knows',
    { allowed: any },
    { subject: [[{ oid: '1.2.3', value: 'x' }]] },
    'may not have attribute 1.2.3',
  ],
]);

table('usages, profiles, number of names', [
  [
    'server auth alone is the default',
    { allowed: any },
    { usages: ['server auth', 'client auth'] },
    'the usage "client auth" is not allowed',
  ],
  ['listed usages', { allowed: { ...any, usages: ['client auth'] } }, { usages: ['client auth'] }, 'allow'],
  ['no usage would be good for all', { allowed: any }, { usages: [] }, 'needs an extended key usage'],
  ['unknown usages are denied in the end', { allowed: any }, { usages: undefined }, 'its usages are not known'],
  [
    'a listed profile',
    { allowed: { ...any, profiles: ['server'] } },
    { profile: 'server', issuer: { profiles: [{ name: 'server', description: 'x' }] } },
    'allow',
  ],
  [
    'the default profile counts',
    { allowed: { ...any, profiles: ['server'] } },
    { issuer: { profiles: [{ name: 'server', default: true, description: 'x' }] } },
    'allow',
  ],
  [
    'another profile',
    { allowed: { ...any, profiles: ['server'] } },
    { profile: 'x', issuer: { profiles: [{ name: 'x', description: 'x' }] } },
    'the profile "x" is not allowed, but server',
  ],
  ['no profile where one is listed', { allowed: { ...any, profiles: ['server'] } }, {}, 'it needs a profile: server'],
  [
    'a profile the issuer has not',
    { allowed: any },
    { profile: 'x' },
    'issuer "corporate" refuses the request for "www.example.com": the issuer offers no profile "x"',
  ],
  ['as many names as allowed', { allowed: { ...any, maxNames: 2 } }, { names: ['a.b', 'b.b'] }, 'allow'],
  [
    'one more',
    { allowed: { ...any, maxNames: 2 } },
    { names: ['a.b', 'b.b', 'c.b'] },
    '3 names are more than the allowed 2',
  ],
  [
    'never more than 100',
    { allowed: any },
    { names: Array.from({ length: 101 }, (_, i) => `n${i}.b`) },
    'more than 100 names',
  ],
]);

const limited = { allowed: any, constraints: { maxDuration: '720h' } };

table('lifetime', [
  ['an explicit end within', limited, { duration: { ms: 30 * DAY, explicit: true } }, 'allow'],
  [
    'an explicit end beyond is refused with the maximum',
    limited,
    { duration: { ms: 31 * DAY, explicit: true } },
    'a lifetime of 744h is longer than the allowed 720h',
  ],
  ['a default beyond is clamped', limited, { duration: { ms: 31 * DAY, explicit: false } }, 'allow'],
  [
    'an explicit end beyond the profile',
    { allowed: any },
    {
      profile: 's',
      issuer: { profiles: [{ name: 's', description: 'x', duration: { max: '24h' } }] },
      duration: { ms: 2 * DAY, explicit: true },
    },
    'longer than the allowed 24h',
  ],
]);

test('the clamp is the shorter of what policy and profile allow', () => {
  const profiles = [{ name: 's', description: 'x', duration: { max: '24h' } }];
  expect(decide([aPolicy('p', limited)], {})).toMatchObject({ verdict: 'allow', clamp: { maxDurationMs: 30 * DAY } });
  expect(decide([aPolicy('p', limited)], { profile: 's', issuer: { profiles } })).toMatchObject({
    clamp: { maxDurationMs: DAY },
  });
  expect(decide([aPolicy('p', { allowed: any })], {})).toMatchObject({ verdict: 'allow', clamp: {} });
});

const key = (algorithm: 'RSA' | 'ECDSA' | 'Ed25519', size: number) => ({ publicKey: { ...A_KEY, algorithm, size } });
const keys = (...privateKey: object[]) => ({ allowed: any, constraints: { privateKey } }) as SpecParts;

table('keys', [
  ['P-256 by default', { allowed: any }, key('ECDSA', 256), 'allow'],
  ['P-521 by default', { allowed: any }, key('ECDSA', 521), 'allow'],
  ['Ed25519 by default', { allowed: any }, key('Ed25519', 256), 'allow'],
  ['RSA 2048 by default', { allowed: any }, key('RSA', 2048), 'allow'],
  ['RSA 1024 never', keys({ algorithm: 'RSA' }), key('RSA', 1024), 'too small: 2048 at least'],
  ['P-224 never', keys({ algorithm: 'ECDSA' }), key('ECDSA', 224), 'ECDSA keys have 256, 384, 521 bits'],
  ['a listed size', keys({ algorithm: 'ECDSA', sizes: [256, 384] }), key('ECDSA', 384), 'allow'],
  [
    'another size',
    keys({ algorithm: 'ECDSA', sizes: [256, 384] }),
    key('ECDSA', 521),
    'a key of type ECDSA 521 is not allowed, but ECDSA 256/384',
  ],
  ['at least the smallest', keys({ algorithm: 'RSA', minSize: 3072 }), key('RSA', 3072), 'allow'],
  ['smaller', keys({ algorithm: 'RSA', minSize: 3072 }), key('RSA', 2048), 'but RSA of at least 3072 bits'],
  [
    'an algorithm that is not listed',
    keys({ algorithm: 'RSA', minSize: 2048 }),
    key('Ed25519', 256),
    'a key of type Ed25519 256 is not allowed',
  ],
  ['one of several entries', keys({ algorithm: 'RSA' }, { algorithm: 'Ed25519' }), key('Ed25519', 256), 'allow'],
  ['an unknown key is denied in the end', { allowed: any }, { publicKey: undefined }, 'its public key is not known'],
  ['a key in use', { allowed: any, constraints: { forbidKeyReuse: true } }, { keyInUse: true }, 'make a new one'],
  ['a key not in use', { allowed: any, constraints: { forbidKeyReuse: true } }, { keyInUse: false }, 'allow'],
  ['a key in use where that is no matter', { allowed: any }, { keyInUse: true }, 'allow'],
  ['use not known is denied in the end', { allowed: any, constraints: { forbidKeyReuse: true } }, {}, 'is not known'],
]);

const servers = (rule: object) =>
  ({ allowed: { ...any, ipAddresses: { cidrs: ['0.0.0.0/0'] } }, constraints: { servers: rule } }) as SpecParts;
const inTen = servers({ cidrs: ['10.0.0.0/8'], except: ['10.66.0.0/16'] });
const host = (facts: ReturnType<typeof at>) => ({ servers: { 'www.example.com': facts } });

table('servers', [
  ['inside', inTen, host(at('10.1.1.1')), 'allow'],
  ['outside', inTen, host(at('11.1.1.1')), 'its address "11.1.1.1" is outside'],
  ['excepted', inTen, host(at('10.66.1.1')), 'is outside'],
  ['every address counts', inTen, host(at('10.1.1.1', '11.1.1.1')), '"11.1.1.1"'],
  ['a mapped address is its IPv4 address', inTen, host(at('::ffff:10.1.1.1')), 'allow'],
  ['an address nobody can read', inTen, host(at('10.1.1.1', 'x')), '"x" is outside'],
  ['no address is denied', inTen, host({ state: 'unresolvable' }), 'it has no address'],
  ['an empty answer is none', inTen, host(at()), 'it has no address'],
  [
    'no address may be allowed',
    servers({ cidrs: ['10.0.0.0/8'], unresolvable: 'Allow' }),
    host({ state: 'unresolvable' }),
    'allow',
  ],
  ['a failed look-up denies nothing', inTen, host({ state: 'failed' }), 'transient'],
  [
    'nor does it hide a denial',
    inTen,
    {
      names: ['www.example.com', 'b.example.com'],
      servers: { 'www.example.com': { state: 'failed' }, 'b.example.com': at('11.1.1.1') },
    },
    '"b.example.com"',
  ],
  ['unknown is denied in the end', inTen, {}, 'its addresses are not known'],
  ['unknown is open before', inTen, { stage: 'validation' }, 'unknown'],
  [
    'a wildcard lives where its base does',
    inTen,
    { names: ['*.example.com'], servers: { 'example.com': at('11.1.1.1') } },
    '"11.1.1.1" is outside',
  ],
  ['an IP identifier is its own address', inTen, { names: ['10.1.1.1'] }, 'allow'],
  ['one outside', inTen, { names: ['11.1.1.1'] }, 'the address is outside'],
]);

const ptr = servers({ verifyPTR: true });

table('PTR records', [
  ['one that names the host', ptr, host(pointing({ '10.1.1.1': ['www.example.com'] })), 'allow'],
  ['in any case, with a dot', ptr, host(pointing({ '10.1.1.1': ['WWW.Example.com.'] })), 'allow'],
  ['one of several', ptr, host(pointing({ '10.1.1.1': ['x.example.com', 'www.example.com'] })), 'allow'],
  ['another name', ptr, host(pointing({ '10.1.1.1': ['x.example.com'] })), 'no PTR record that names it'],
  ['none', ptr, host(pointing({ '10.1.1.1': [] })), 'no PTR record that names it'],
  [
    'every address needs one',
    ptr,
    host(pointing({ '10.1.1.1': ['www.example.com'], '10.1.1.2': [] })),
    '"10.1.1.2" has no PTR',
  ],
  ['a failed look-up denies nothing', ptr, host(pointing({ '10.1.1.1': 'failed' })), 'transient'],
  ['not asked is denied in the end', ptr, host(at('10.1.1.1')), 'are not known'],
  ['not asked is open before', ptr, { ...host(at('10.1.1.1')), stage: 'validation' }, 'unknown'],
  ['skipped for IP identifiers', ptr, { names: ['10.1.1.1'] }, 'allow'],
]);

const cel = (rule: string, message?: string) => ({
  allowed: { ...any, validations: [{ rule, ...(message === undefined ? {} : { message }) }] },
});

table('expressions', [
  ['true for each name', cel("self.endsWith('.com')"), { names: ['a.com', 'b.com'] }, 'allow'],
  ['false for one', cel("self.endsWith('.com')", 'only .com'), { names: ['a.com', 'b.org'] }, '"b.org": only .com'],
  ['without a message the rule is told', cel("self == 'x'"), {}, 'the rule "self == \'x\'" is not true'],
  ['one that fails is false', cel('names[5] == self', 'sixth'), {}, 'sixth (No such key'],
  ['the door', cel("door == 'ACME'"), {}, 'allow'],
  ['the account', cel("account == 'acct-1'"), {}, 'allow'],
  [
    'an unknown account is never given to a rule',
    cel("account != 'x'"),
    { requester: {} },
    'needs the account of the requester',
  ],
  [
    'the namespace',
    cel("self.startsWith(__namespace__ + '.')"),
    { names: ['a.example.com'], requester: { namespace: 'a' } },
    'allow',
  ],
  [
    'an unknown namespace is never given to a rule',
    cel("__namespace__ != 'x'"),
    { requester: {} },
    'needs the namespace of the requester',
  ],
  ['a message of several lines is one line', cel('false', 'a\r\nb'), {}, 'a  b'],
  ['a rule about all names', cel('names.size() < 2'), { names: ['a.b', 'b.b'] }, 'is not true'],
  [
    'longer names than a rule is asked about',
    { allowed: { ...cel('true').allowed, uris: { values: ['spiffe://c/**'] } } },
    { names: [`spiffe://c/${'a'.repeat(253)}`] },
    'at most 253 characters',
  ],
]);

const forTenants = { allowed: any, selector: { issuerRef: { kind: 'CAIssuer' as const } } };

table('an issuer of a namespace', [
  ['serves its own', forTenants, { home: 'team-a', requester: { namespace: 'team-a' } }, 'allow'],
  [
    'refuses another, whatever policies say',
    forTenants,
    { home: 'team-a', requester: { namespace: 'team-b' } },
    'issuer "team-a/corporate" refuses the request for "www.example.com": the issuer serves its own namespace only, not "team-b"',
  ],
  [
    'has no say in which namespaces others serve',
    forTenants,
    { home: 'team-a', issuer: { allowedNamespaces: { matchLabels: { a: 'b' } } } },
    'allow',
  ],
  [
    'may deny more',
    forTenants,
    { home: 'team-a', issuer: { deny: { dnsNames: ['www.example.com'] } } },
    'issuer "team-a/corporate" refuses "www.example.com"',
  ],
]);

table('selectors', [
  ['the issuer by name', { allowed: any, selector: { issuerRef: { name: 'corp*' } } }, {}, 'allow'],
  [
    'another issuer',
    { allowed: any, selector: { issuerRef: { name: 'other' } } },
    {},
    'no policy is meant for a request for "www.example.com" to the issuer "corporate" through ACME',
  ],
  ['the kind', { allowed: any, selector: { issuerRef: { kind: 'ClusterCAIssuer' } } }, {}, 'allow'],
  ['a CAIssuer is not meant by an empty selector', { allowed: any }, { home: 'team-a' }, 'no policy is meant'],
  [
    'nor by a policy that names it without its kind',
    { allowed: any, selector: { issuerRef: { name: 'corporate' } } },
    { home: 'team-a' },
    'no policy is meant for a request for "www.example.com" to the issuer "team-a/corporate"',
  ],
  [
    'nor by one for the other kind',
    { allowed: any, selector: { issuerRef: { kind: 'ClusterCAIssuer' } } },
    { home: 'team-a' },
    'no policy is meant',
  ],
  [
    'a CAIssuer by its kind',
    { allowed: any, selector: { issuerRef: { kind: 'CAIssuer' } } },
    { home: 'team-a' },
    'allow',
  ],
  [
    'a CAIssuer by kind, namespace and name',
    { allowed: any, selector: { issuerRef: { kind: 'CAIssuer', namespace: 'team-*', name: 'corp*' } } },
    { home: 'team-a' },
    'allow',
  ],
  [
    'a CAIssuer of another namespace',
    { allowed: any, selector: { issuerRef: { kind: 'CAIssuer', namespace: 'team-b*' } } },
    { home: 'team-a' },
    'no policy is meant',
  ],
  [
    'a policy for CAIssuers does not judge a ClusterCAIssuer',
    { allowed: any, selector: { issuerRef: { kind: 'CAIssuer', name: '*' } } },
    {},
    'no policy is meant',
  ],
  [
    'nor does one with a namespace, were its kind wrong',
    { allowed: any, selector: { issuerRef: { kind: 'ClusterCAIssuer', namespace: 'team-*' } } },
    {},
    'no policy is meant',
  ],
  [
    'the namespace of the issuer is not that of the requester',
    { allowed: any, selector: { issuerRef: { kind: 'CAIssuer' }, namespace: { matchNames: ['team-a'] } } },
    { home: 'team-a' },
    'no policy is meant',
  ],
  ['the door', { allowed: any, selector: { doors: ['CertificateClaim'] } }, {}, 'no policy is meant'],
  ['the account', { allowed: any, selector: { accounts: ['acct-1'] } }, {}, 'allow'],
  ['another account', { allowed: any, selector: { accounts: ['acct-2'] } }, {}, 'no policy is meant'],
  ['an unknown account', { allowed: any, selector: { accounts: ['acct-1'] } }, { requester: {} }, 'no policy is meant'],
  [
    'the EAB key',
    { allowed: any, selector: { eabKeyIDs: ['team-*'] } },
    { requester: { eabKeyID: 'team-a' } },
    'allow',
  ],
  ['no EAB key', { allowed: any, selector: { eabKeyIDs: ['*'] } }, {}, 'no policy is meant'],
  ['the source', { allowed: any, selector: { sources: { cidrs: ['10.0.0.0/8'] } } }, {}, 'allow'],
  [
    'a mapped source',
    { allowed: any, selector: { sources: { cidrs: ['10.0.0.0/8'] } } },
    { requester: { source: '::ffff:10.1.1.1' } },
    'allow',
  ],
  [
    'an excepted source',
    { allowed: any, selector: { sources: { except: ['10.1.0.0/16'] } } },
    {},
    'no policy is meant',
  ],
  [
    'an unknown source, even where only exceptions are',
    { allowed: any, selector: { sources: { except: ['192.0.2.0/24'] } } },
    { requester: {} },
    'no policy is meant',
  ],
  ['the key', { allowed: any, selector: { publicKeys: [SPKI_HASH.toUpperCase()] } }, {}, 'allow'],
  ['another key', { allowed: any, selector: { publicKeys: ['0'.repeat(64)] } }, {}, 'no policy is meant'],
  [
    'a key not yet known',
    { allowed: any, selector: { publicKeys: [SPKI_HASH] } },
    { publicKey: undefined, stage: 'newOrder' },
    'unknown',
  ],
  [
    'a key never known',
    { allowed: any, selector: { publicKeys: [SPKI_HASH] } },
    { publicKey: undefined },
    'no policy is meant',
  ],
  [
    'the namespace by name',
    { allowed: any, selector: { namespace: { matchNames: ['team-*'] } } },
    { requester: { namespace: 'team-a' } },
    'allow',
  ],
  [
    'another namespace',
    { allowed: any, selector: { namespace: { matchNames: ['team-*'] } } },
    { requester: { namespace: 'x' } },
    'no policy is meant',
  ],
  ['an unknown namespace', { allowed: any, selector: { namespace: { matchNames: ['*'] } } }, {}, 'no policy is meant'],
  [
    'a namespace not yet known',
    { allowed: any, selector: { namespace: { matchNames: ['*'] } } },
    { stage: 'newOrder' },
    'unknown',
  ],
  [
    'a namespace not known at the authorization',
    { allowed: any, selector: { namespace: { matchNames: ['*'] } } },
    { stage: 'authorization' },
    'no policy is meant',
  ],
  [
    'labels',
    { allowed: any, selector: { namespace: { matchLabels: { a: 'b' } } } },
    { requester: { namespace: 'x', namespaceLabels: { a: 'b', c: 'd' } } },
    'allow',
  ],
  [
    'other labels',
    { allowed: any, selector: { namespace: { matchLabels: { a: 'b' } } } },
    { requester: { namespace: 'x', namespaceLabels: { a: 'c' } } },
    'no policy is meant',
  ],
  [
    'labels not known',
    { allowed: any, selector: { namespace: { matchLabels: { a: 'b' } } } },
    { requester: { namespace: 'x' } },
    'no policy is meant',
  ],
  [
    'labels that every object has',
    { allowed: any, selector: { namespace: { matchLabels: { toString: 'x' } } } },
    { requester: { namespace: 'x', namespaceLabels: {} } },
    'no policy is meant',
  ],
]);

const denying = (deny: object): Question => ({ issuer: { deny } });

table('the issuer', [
  [
    'denies a name whatever the policy',
    { allowed: any },
    denying({ dnsNames: ['www.example.com'] }),
    'issuer "corporate" refuses "www.example.com": is never issued ("www.example.com")',
  ],
  [
    'denies a wildcard good for the name',
    { allowed: any },
    { ...denying({ dnsNames: ['admin.example.com'] }), names: ['*.example.com'] },
    'is never issued',
  ],
  [
    'denies the name as common name',
    withCN({}),
    { ...denying({ dnsNames: ['admin.example.com'] }), subject: cn('ADMIN.example.com') },
    'the common name "ADMIN.example.com" is never issued',
  ],
  [
    'denies an address',
    servers({}),
    { ...denying({ cidrs: ['10.0.0.0/28'] }), names: ['10.0.0.1'] },
    'the address is never issued',
  ],
  [
    'denies an address as common name',
    { allowed: any },
    { ...denying({ cidrs: ['10.0.0.0/28'] }), ...host(at('10.9.9.9')), subject: cn('10.0.0.1') },
    'never issued',
  ],
  [
    'denies a name that lives there',
    { allowed: any },
    { ...denying({ cidrs: ['10.0.0.0/28'] }), ...host(at('10.9.9.9', '10.0.0.1')) },
    'its address "10.0.0.1" lies where no certificate',
  ],
  [
    'denies a name of which it knows no address, in the end',
    { allowed: any },
    denying({ cidrs: ['10.0.0.0/28'] }),
    'its addresses are not known',
  ],
  [
    'denies a name with an address nobody can read',
    { allowed: any },
    { ...denying({ cidrs: ['10.0.0.0/28'] }), ...host(at('x')) },
    'its address "x" lies where',
  ],
  [
    'allows a name that has none',
    { allowed: any },
    { ...denying({ cidrs: ['10.0.0.0/28'] }), ...host({ state: 'unresolvable' }) },
    'allow',
  ],
  [
    'waits where the DNS fails',
    { allowed: any },
    { ...denying({ cidrs: ['10.0.0.0/28'] }), ...host({ state: 'failed' }) },
    'transient',
  ],
  [
    'serves a namespace with the labels',
    { allowed: any },
    {
      issuer: { allowedNamespaces: { matchLabels: { a: 'b' } } },
      requester: { namespace: 'x', namespaceLabels: { a: 'b' } },
    },
    'allow',
  ],
  [
    'not one without',
    { allowed: any },
    { issuer: { allowedNamespaces: { matchLabels: { a: 'b' } } }, requester: { namespace: 'x', namespaceLabels: {} } },
    'does not serve the namespace "x"',
  ],
  [
    'not an unknown one',
    { allowed: any },
    { issuer: { allowedNamespaces: { matchLabels: { a: 'b' } } } },
    'serves named namespaces only',
  ],
  [
    'is open on one not yet known',
    { allowed: any },
    { issuer: { allowedNamespaces: { matchLabels: { a: 'b' } } }, stage: 'newOrder' },
    'unknown',
  ],
  ['that is broken issues nothing', { allowed: any }, denying({ dnsNames: ['a*.b'] }), 'transient'],
  ['cannot deny by namespace', { allowed: any }, denying({ dnsNames: ['{{namespace}}.b'] }), 'transient'],
]);

test('without any policy all is denied', () => {
  expect(told(decide([]))).toBe(
    'deny: no policy is meant for a request for "www.example.com" to the issuer "corporate" through ACME',
  );
});

test('of two policies the one that passes allows, whatever the other says', () => {
  expect(decide([allowing('a', ['*.org']), allowing('b', ['*.example.com'])])).toMatchObject({
    verdict: 'allow',
    policy: 'b',
  });
});

test('of two that pass, the higher priority decides, then the name', () => {
  const low = allowing('a', ['**'], { priority: 1 });
  const high = allowing('z', ['**'], { priority: 2, constraints: { maxDuration: '24h' } });
  expect(decide([low, high])).toMatchObject({ policy: 'z', clamp: { maxDurationMs: DAY } });
  expect(decide([allowing('b', ['**']), allowing('a', ['**'])])).toMatchObject({ policy: 'a' });
});

test('names split over two policies are denied, saying so', () => {
  const decision = decide([allowing('a', ['a.com']), allowing('b', ['b.com'])], { names: ['a.com', 'b.com'] });
  expect(told(decision)).toBe(
    'deny: policy "a" refuses "b.com": matches none of the allowed patterns ("a.com"); ' +
      'each name is allowed by some policy, but one must allow them all; ' +
      'policy "b" refuses "a.com": matches none of the allowed patterns ("b.com")',
  );
});

test('a denial has the reasons of every selected policy, sorted, and names the nearest', () => {
  const decision = decide(
    [
      allowing('z', ['a.com', 'b.com']),
      allowing('m', ['x.com']),
      allowing('a', ['y.com'], { selector: { doors: ['CertificateClaim'] } }),
    ],
    { names: ['a.com', 'b.com', 'c.com'] },
  );
  expect(decision).toMatchObject({
    verdict: 'deny',
    by: 'policies',
    nearest: 'z',
    refusals: [
      {
        policy: 'm',
        reasons: [
          { identifier: { value: 'a.com' } },
          { identifier: { value: 'b.com' } },
          { identifier: { value: 'c.com' } },
        ],
      },
      { policy: 'z', reasons: [{ identifier: { type: 'dns', value: 'c.com' } }] },
    ],
  });
});

test('a broken policy is skipped and named', () => {
  const broken = allowing('bad', ['w*.example.com']);
  expect(prepared(broken)).toEqual({
    name: 'bad',
    broken: 'spec.allowed.dnsNames.values[0] "*" and "**" stand for whole labels or segments',
  });
  expect(told(decide([broken]))).toMatch(/no policy is meant .*; skipped as broken: "bad"$/);
  expect(decide([broken, allowing('good', ['**'])])).toMatchObject({
    verdict: 'allow',
    policy: 'good',
    broken: ['bad'],
  });
});

test.each<[string, SpecParts]>([
  ['spec.allowed.validations[0].rule', cel('self.matches("(a+)+$")')],
  ['spec.allowed.ipAddresses.cidrs[0]', { allowed: { ipAddresses: { cidrs: ['10.0.0.1/8'] } } }],
  ['spec.selector.sources.except[0]', { selector: { sources: { except: ['x'] } } }],
  ['spec.constraints.servers.cidrs[0]', { constraints: { servers: { cidrs: ['10.0.0.0/99'] } } }],
  ['spec.constraints.maxDuration', { constraints: { maxDuration: '1 day' } }],
  ['spec.allowed.commonName.value', { allowed: { commonName: { value: 'a b' } } }],
  ['spec.allowed.uris.except[0]', { allowed: { uris: { values: ['a:b'], except: ['**/**'] } } }],
  ['spec.allowed.emailAddresses.values[0]', { allowed: { emailAddresses: { values: ['x'] } } }],
])('a policy with a bad %s is broken there', (path, spec) => {
  expect(prepared(aPolicy('p', spec)).broken).toMatch(new RegExp(`^${path.replace(/[[\].]/g, '\\$&')} `));
});

test('an audit policy neither allows nor denies, and its verdict is told', () => {
  const trial = allowing('trial', ['*.example.org'], { audit: true });
  expect(decide([trial, allowing('p', ['**'])])).toMatchObject({
    verdict: 'allow',
    policy: 'p',
    audit: [{ policy: 'trial', verdict: 'deny', reasons: [{ about: 'name' }] }],
  });
  expect(decide([allowing('trial', ['**'], { audit: true })])).toMatchObject({
    verdict: 'deny',
    by: 'none',
    audit: [{ policy: 'trial', verdict: 'allow', reasons: [] }],
  });
});

test('at newOrder only what every policy denies on known facts is denied', () => {
  const early: Question = { stage: 'newOrder', publicKey: undefined, subject: undefined, usages: undefined };
  expect(decide([allowing('p', ['**'])], early)).toMatchObject({
    verdict: 'unknown',
    needs: { facts: ['publicKey', 'subject', 'usages'], servers: [] },
  });
  expect(decide([allowing('p', ['*.org'])], early)).toMatchObject({ verdict: 'deny' });
  const inNamespace = allowing('q', ['**'], { selector: { namespace: { matchNames: ['a'] } } });
  expect(decide([allowing('p', ['*.org']), inNamespace], early).verdict).toBe('unknown');
  expect(decide([allowing('p', ['*.org']), inNamespace], { ...early, requester: { namespace: 'b' } }).verdict).toBe(
    'deny',
  );
  expect(decide([allowing('p', ['{{namespace}}.example.com'])], early)).toMatchObject({
    verdict: 'unknown',
    needs: { facts: ['namespace', 'publicKey', 'subject', 'usages'] },
  });
  expect(decide([allowing('p', ['{{namespace}}.example.org'])], early)).toMatchObject({ verdict: 'deny' });
});

test('needs name the servers wanted', () => {
  const decision = decide([aPolicy('p', inTen)], {
    stage: 'validation',
    names: ['b.com', '*.a.com', 'b.com', '10.1.1.1'],
  });
  expect(decision).toMatchObject({ verdict: 'unknown', needs: { facts: [], servers: ['a.com', 'b.com'] } });
});

test('a policy that fails for now does not stop one that passes', () => {
  expect(decide([aPolicy('a', inTen), allowing('b', ['**'])], host({ state: 'failed' }))).toMatchObject({
    verdict: 'allow',
    policy: 'b',
  });
  expect(decide([aPolicy('a', inTen), allowing('b', ['*.org'])], host({ state: 'failed' })).verdict).toBe('transient');
});

test('a policy that could still pass outweighs one that fails for now', () => {
  const byKey = allowing('b', ['**'], { selector: { publicKeys: [SPKI_HASH] } });
  const early: Question = { ...host({ state: 'failed' }), stage: 'validation', publicKey: undefined };
  expect(decide([aPolicy('a', inTen), byKey], early)).toMatchObject({
    verdict: 'unknown',
    needs: { facts: ['publicKey'] },
  });
  expect(decide([aPolicy('a', inTen)], early).verdict).toBe('transient');
});

test('wanted facts are those of policies that may be selected, and of the issuer', () => {
  const wanted = (policies: CertificateRequestPolicy[], question: Question = {}) =>
    wantedFacts(anInput(policies, { names: ['*.a.com', 'a.com', '10.1.1.1', 'joe@a.com'], ...question }));
  expect(wanted([allowing('p', ['**'])])).toEqual({ servers: [], pointers: false, keyInUse: false });
  expect(wanted([aPolicy('p', inTen)])).toEqual({ servers: ['a.com'], pointers: false, keyInUse: false });
  expect(wanted([aPolicy('p', ptr)])).toEqual({ servers: ['a.com'], pointers: true, keyInUse: false });
  expect(wanted([aPolicy('p', { ...ptr, selector: { doors: ['CertificateClaim'] } })]).servers).toEqual([]);
  expect(wanted([aPolicy('p', { ...ptr, audit: true })]).servers).toEqual(['a.com']);
  expect(wanted([], { issuer: { deny: { cidrs: ['10.0.0.0/8'] } } }).servers).toEqual(['a.com']);
  expect(wanted([aPolicy('p', { constraints: { forbidKeyReuse: true } })]).keyInUse).toBe(true);
});

test('expressions over all policies have one budget', () => {
  const rule = "self.split('.').exists(l, l == 'x') || true";
  const policies = Array.from({ length: 8 }, (_, i) =>
    aPolicy(`p${i}`, { allowed: { ...cel(rule).allowed, maxNames: 1 } }),
  );
  const many = Array.from({ length: 100 }, (_, i) => `n${i}.b`);
  const last = aPolicy('q', cel(rule));
  expect(decide([last], { names: many }).verdict).toBe('allow');
  expect(told(decide([...policies, last], { names: many }))).toMatch(
    /^deny: .*the rules of all policies together take too many steps/,
  );
  expect(decide([...policies, last], { names: ['a.b'] }).verdict).toBe('allow');
  const audits = policies.map((policy) => ({ ...policy, spec: { ...policy.spec, audit: true } }));
  expect(decide([...audits, last], { names: many }).verdict).toBe('allow');
});

// ---- Properties ---------------------------------------------------------------------------------------------------

const label = fc.constantFrom('a', 'b', 'web', 'x');
const name = fc
  .tuple(fc.boolean(), fc.array(label, { minLength: 2, maxLength: 3 }))
  .map(([wild, labels]) => [...(wild ? ['*'] : []), ...labels].join('.'));
const pattern = fc
  .array(fc.oneof(label, fc.constantFrom('*', '{{namespace}}')), { minLength: 1, maxLength: 3 })
  .chain((labels) => fc.boolean().map((deep) => [...(deep ? ['**'] : []), ...labels].join('.')));
const patterns = fc.array(pattern, { minLength: 1, maxLength: 3 });
const namespace = fc.constantFrom('a', 'web', undefined);

const spec: fc.Arbitrary<SpecParts> = fc.record({
  priority: fc.integer({ min: 0, max: 2 }),
  selector: fc.constantFrom(
    {},
    { namespace: { matchNames: ['a'] } },
    { accounts: ['acct-1'] },
    { eabKeyIDs: ['k*'] },
    { sources: { cidrs: ['10.0.0.0/8'] } },
    { publicKeys: [SPKI_HASH] },
  ),
  allowed: fc.record({
    dnsNames: fc.record({ values: patterns, except: patterns, wildcards: fc.boolean() }),
    maxNames: fc.constantFrom(1, 100),
    validations: fc.constantFrom(
      [{ rule: 'true' }],
      [{ rule: "__namespace__ != 'web'" }],
      [{ rule: "account != 'x'" }],
      [{ rule: "self != 'a.b'" }],
    ),
  }),
  constraints: fc.constantFrom(
    {},
    { forbidKeyReuse: true },
    { servers: { cidrs: ['10.0.0.0/8'] } },
    { servers: { verifyPTR: true } },
  ),
});
const policies = fc
  .array(spec, { minLength: 1, maxLength: 3 })
  .map((specs) => specs.map((one, i) => aPolicy(`p${i}`, one)));

const question: fc.Arbitrary<Question> = fc.record({
  names: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
  requester: fc.record({
    namespace,
    account: fc.constantFrom('acct-1', 'x', undefined),
    eabKeyID: fc.constantFrom('key', undefined),
    source: fc.constantFrom('10.1.1.1', '11.1.1.1', undefined),
  }),
  keyInUse: fc.boolean(),
  stage: fc.constantFrom('newOrder', 'authorization', 'validation', 'finalize'),
});

const facts = fc.constantFrom(at('10.1.1.1'), at('11.1.1.1'), pointing({ '10.1.1.1': ['a.b', 'web.x'] }), {
  state: 'unresolvable',
} as const);

function withServers(asked: Question, answer: typeof facts extends fc.Arbitrary<infer T> ? T : never): Question {
  const all = (asked.names as string[]).map((one) => [one.replace(/^\*\./, ''), answer] as const);
  return { ...asked, servers: Object.fromEntries(all) };
}

/** Some generated cases must pass, else the properties below say nothing. */
test('the generated cases come to every verdict', () => {
  const seen = new Set<string>();
  for (const [all, asked, answer] of fc.sample(fc.tuple(policies, question, facts), { numRuns: 2000, seed: 7 }))
    seen.add(decide(all, withServers(asked, answer)).verdict);
  expect([...seen].sort()).toEqual(['allow', 'deny', 'unknown']);
});

test('one more exception never allows more', () => {
  fc.assert(
    fc.property(policies, question, facts, pattern, fc.nat(), (all, asked, answer, extra, which) => {
      const stricter = all.map((policy, i) => {
        const { dnsNames } = policy.spec.allowed;
        if (i !== which % all.length || !dnsNames) return policy;
        const except = [...(dnsNames.except ?? []), extra];
        return aPolicy(policy.metadata.name, {
          ...policy.spec,
          allowed: { ...policy.spec.allowed, dnsNames: { ...dnsNames, except } },
        });
      });
      const before = decide(all, withServers(asked, answer)).verdict;
      const after = decide(stricter, withServers(asked, answer)).verdict;
      if (before === 'deny') expect(after).toBe('deny');
      if (after === 'allow') expect(before).toBe('allow');
    }),
    { numRuns: 1000 },
  );
});

test('what the issuer denies is denied under every policy', () => {
  fc.assert(
    fc.property(policies, question, facts, fc.nat(), (all, asked, answer, which) => {
      const wanted = asked.names as string[];
      const denied = (wanted[which % wanted.length] ?? '').replace(/^\*\./, 'any.');
      const decision = decide(all, { ...withServers(asked, answer), issuer: { deny: { dnsNames: [denied] } } });
      expect(decision).toMatchObject({ verdict: 'deny', by: 'issuer' });
    }),
  );
});

test('the order of policies is no matter', () => {
  const shuffled = policies.chain((all) =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
  );
  fc.assert(
    fc.property(shuffled, question, facts, ([all, other], asked, answer) => {
      expect(decide(other, withServers(asked, answer))).toEqual(decide(all, withServers(asked, answer)));
    }),
  );
});

test('knowing less never turns a denial into an allowance', () => {
  const forget = fc.record({
    namespace: fc.boolean(),
    account: fc.boolean(),
    eabKeyID: fc.boolean(),
    source: fc.boolean(),
    keyInUse: fc.boolean(),
    publicKey: fc.boolean(),
    servers: fc.boolean(),
  });
  fc.assert(
    fc.property(policies, question, facts, forget, (all, asked, answer, gone) => {
      const full = withServers(asked, answer);
      const { keyInUse, servers: known, ...rest } = full;
      const kept = Object.entries(full.requester ?? {}).filter(([fact]) => !gone[fact as keyof typeof gone]);
      const less: Question = {
        ...rest,
        requester: Object.fromEntries(kept),
        ...(gone.keyInUse || keyInUse === undefined ? {} : { keyInUse }),
        ...(gone.publicKey ? { publicKey: undefined } : {}),
        ...(gone.servers || !known ? {} : { servers: known }),
      };
      if (decide(all, less).verdict === 'allow') expect(decide(all, full).verdict).toBe('allow');
    }),
    { numRuns: 2000 },
  );
});

test('a failed look-up is never a denial of its own', () => {
  fc.assert(
    fc.property(policies, question, (all, asked) => {
      const failing = decide(all, withServers(asked, { state: 'failed' } as never)).verdict;
      const best = [at('10.1.1.1'), { state: 'unresolvable' } as const, goodPointers(asked)].map(
        (answer) => decide(all, withServers(asked, answer)).verdict,
      );
      if (failing === 'deny') expect(best).toEqual(['deny', 'deny', 'deny']);
    }),
    { numRuns: 1000 },
  );
});

function goodPointers(asked: Question) {
  return pointing({ '10.1.1.1': (asked.names as string[]).map((one) => one.replace(/^\*\./, '')) });
}

test('at finalize the answer is final', () => {
  fc.assert(
    fc.property(policies, question, facts, (all, asked, answer) => {
      const final = decide(all, { ...withServers(asked, answer), stage: 'finalize' });
      expect(['allow', 'deny']).toContain(final.verdict);
    }),
  );
});

test('IPv4-mapped addresses are judged as IPv4 wherever they stand', () => {
  const octets = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 }).map((all) => all.join('.'));
  const nets = { cidrs: ['10.0.0.0/8', '128.0.0.0/1'], except: ['10.128.0.0/9'] };
  const policy = aPolicy('p', {
    selector: { sources: nets },
    allowed: { dnsNames: { values: ['**'] }, ipAddresses: nets },
    constraints: { servers: nets },
  });
  fc.assert(
    fc.property(octets, octets, octets, fc.constantFrom('10.0.0.0/28', '200.0.0.0/8'), (source, server, ip, denied) => {
      const ask = (prefix: string) =>
        decide([policy], {
          names: ['www.example.com', prefix + ip],
          requester: { source: prefix + source },
          issuer: { deny: { cidrs: [denied] } },
          ...host(at(prefix + server)),
        }).verdict;
      expect(ask('::ffff:')).toBe(ask(''));
    }),
  );
});

test('work grows with patterns times labels: 256 policies, 100 hostile names', () => {
  const deep = (i: number) => `${'a.'.repeat(120)}p${i}`;
  const all = Array.from({ length: 256 }, (_, i) =>
    prepared(allowing(`p${i}`, [`**.${deep(i)}`, `*.${'*.'.repeat(119)}q`])),
  );
  let reads = 0;
  const policiesRead = all.map((policy) =>
    policy.broken === undefined && policy.dnsNames
      ? {
          ...policy,
          dnsNames: {
            ...policy.dnsNames,
            values: policy.dnsNames.values.map((one) => ({ ...one, head: count(one.head), tail: count(one.tail) })),
          },
        }
      : policy,
  );
  function count<T>(list: readonly T[]): readonly T[] {
    return new Proxy(list, {
      get(target, property) {
        if (typeof property === 'string' && /^\d+$/.test(property)) reads++;
        return Reflect.get(target, property) as unknown;
      },
    });
  }
  const hostile = Array.from({ length: 100 }, (_, i) => `x${i}.${'a.'.repeat(120)}z`);
  const input = anInput([], { names: hostile });
  expect(evaluate({ ...input, policies: policiesRead }).verdict).toBe('deny');
  // Names differ from the patterns in the last label, where matching starts.
  expect(reads).toBeLessThanOrEqual(256 * 2 * 100);
});

test('an issuer is prepared with its default profile', () => {
  const issuer = anIssuer({
    profiles: [
      { name: 'a', description: 'x' },
      { name: 'b', description: 'x', default: true },
    ],
  });
  expect(prepareIssuer(issuer)).toMatchObject({
    name: 'corporate',
    kind: 'ClusterCAIssuer',
    defaultProfile: 'b',
    broken: undefined,
  });
});
