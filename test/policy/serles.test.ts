// What Serles decides by allowedServerIpRanges, excludeServerIpRanges, verifyPTR, allowWildcards and allowIpIdentifiers, against
// what the evaluator decides for the policy that says the same.
import { expect, test } from 'vitest';
import { anInput, aPolicy, at, decide, pointing, prepared, type Question, type SpecParts } from './fixtures.ts';
import { evaluate } from '../../src/domain/policy.ts';

interface SerlesConfig {
  allowed?: string[];
  excluded?: string[];
  verifyPTR?: boolean;
  wildcards?: boolean;
  ipIdentifiers?: boolean;
}

/** The policy an administrator would write for a Serles configuration. */
function policyFor(config: SerlesConfig): SpecParts {
  const { allowed, excluded, verifyPTR, wildcards = false, ipIdentifiers = false } = config;
  const judged = allowed !== undefined || excluded !== undefined || verifyPTR !== undefined;
  return {
    allowed: {
      dnsNames: { values: ['**'], wildcards },
      ...(ipIdentifiers ? { ipAddresses: { cidrs: ['0.0.0.0/0', '::/0'] } } : {}),
    },
    ...(judged
      ? {
          constraints: {
            servers: {
              ...(allowed ? { cidrs: allowed } : {}),
              ...(excluded ? { except: excluded } : {}),
              ...(verifyPTR === undefined ? {} : { verifyPTR }),
            },
          },
        }
      : {}),
  };
}

type Verdict = 'allow' | 'deny' | 'transient';
type Row = [what: string, config: SerlesConfig, question: Question, serles: Verdict, ours: Verdict, why: string];

const host = (facts: ReturnType<typeof at>): Question => ({
  names: ['host.example'],
  servers: { 'host.example': facts },
});
const points = (...names: string[]) => host(pointing({ '10.0.0.5': names }));
const same = '';

const rows: Row[] = [
  // Address ranges, http-01 and tls-alpn-01.
  ['no ranges', {}, host(at('203.0.113.9')), 'allow', 'allow', same],
  ['address in the allowed range', { allowed: ['10.0.0.0/8'] }, host(at('10.0.0.5')), 'allow', 'allow', same],
  ['address outside', { allowed: ['10.0.0.0/8'] }, host(at('203.0.113.9')), 'deny', 'deny', same],
  ['one of two ranges', { allowed: ['192.0.2.0/24', '10.0.0.0/8'] }, host(at('10.0.0.5')), 'allow', 'allow', same],
  [
    'allowed but excluded',
    { allowed: ['10.0.0.0/8'], excluded: ['10.0.0.0/24'] },
    host(at('10.0.0.5')),
    'deny',
    'deny',
    same,
  ],
  ['exclusion alone, inside', { excluded: ['10.0.0.0/24'] }, host(at('10.0.0.5')), 'deny', 'deny', same],
  ['exclusion alone, outside', { excluded: ['10.0.0.0/24'] }, host(at('10.9.0.5')), 'allow', 'allow', same],
  ['IPv6 in the range', { allowed: ['2001:db8::/32'] }, host(at('2001:db8::7')), 'allow', 'allow', same],
  ['IPv6 outside', { allowed: ['2001:db8::/32'] }, host(at('2001:db9::7')), 'deny', 'deny', same],
  ['IPv6 address, IPv4 ranges', { allowed: ['10.0.0.0/8'] }, host(at('2001:db8::7')), 'deny', 'deny', same],
  ['a range that is no range', { allowed: ['10.0.0.0/99'] }, host(at('10.0.0.5')), 'deny', 'deny', same],
  [
    'the address dialled is inside, another of the name is not',
    { allowed: ['10.0.0.0/8'] },
    host(at('10.0.0.5', '203.0.113.9')),
    'allow',
    'deny',
    'Serles judges the connection it happened to make; clients may get any address of the name',
  ],
  [
    'the look-up fails',
    { allowed: ['10.0.0.0/8'] },
    host({ state: 'failed' }),
    'deny',
    'transient',
    'a resolver that does not answer says nothing of the name: to be asked again',
  ],
  // The same with dns-01, where Serles makes no connection.
  [
    'dns-01 for a name outside',
    { allowed: ['10.0.0.0/8'] },
    host(at('203.0.113.9')),
    'allow',
    'deny',
    'the networks hold for every challenge type',
  ],
  [
    'dns-01 for an excluded name',
    { excluded: ['10.0.0.0/24'] },
    host(at('10.0.0.5')),
    'allow',
    'deny',
    'the networks hold for every challenge type',
  ],
  [
    'dns-01 for a name without address',
    { allowed: ['10.0.0.0/8'] },
    host({ state: 'unresolvable' }),
    'allow',
    'deny',
    'unresolvable: Deny is the default; Allow gives what Serles does',
  ],
  [
    'dns-01 with a PTR of another name',
    { verifyPTR: true },
    points('other.example'),
    'allow',
    'deny',
    'PTR records are verified for every challenge type',
  ],
  // PTR.
  ['PTR names the host', { verifyPTR: true, allowed: ['10.0.0.0/8'] }, points('host.example'), 'allow', 'allow', same],
  ['PTR without ranges works as well', { verifyPTR: true }, points('host.example'), 'allow', 'allow', same],
  ['PTR in upper case', { verifyPTR: true }, points('HOST.Example'), 'allow', 'allow', same],
  ['PTR with trailing dot', { verifyPTR: true }, points('host.example.'), 'allow', 'allow', same],
  ['PTR of another name', { verifyPTR: true }, points('other.example'), 'deny', 'deny', same],
  ['PTR of a name under the host', { verifyPTR: true }, points('a.host.example'), 'deny', 'deny', same],
  ['no PTR (NXDOMAIN)', { verifyPTR: true }, points(), 'deny', 'deny', same],
  [
    'two PTR records, the second names the host',
    { verifyPTR: true },
    points('other.example', 'host.example'),
    'deny',
    'allow',
    'the order of records in an answer means nothing; Serles looks at the first alone',
  ],
  ['PTR not verified', { verifyPTR: false }, points('other.example'), 'allow', 'allow', same],
  [
    'PTR of an IP identifier',
    { verifyPTR: true, ipIdentifiers: true },
    { names: ['10.0.0.5'] },
    'allow',
    'allow',
    same,
  ],
  // IP identifiers.
  ['IP identifiers switched off', {}, { names: ['10.0.0.5'] }, 'deny', 'deny', same],
  ['IP identifiers switched on', { ipIdentifiers: true }, { names: ['10.0.0.5'] }, 'allow', 'allow', same],
  [
    'IP identifier in the range',
    { ipIdentifiers: true, allowed: ['10.0.0.0/8'] },
    { names: ['10.0.0.5'] },
    'allow',
    'allow',
    same,
  ],
  [
    'IP identifier outside',
    { ipIdentifiers: true, allowed: ['10.0.0.0/8'] },
    { names: ['203.0.113.9'] },
    'deny',
    'deny',
    same,
  ],
  [
    'IPv6 identifier in the range',
    { ipIdentifiers: true, allowed: ['2001:db8::/32'] },
    { names: ['2001:db8::7'] },
    'allow',
    'allow',
    same,
  ],
  // Wildcards.
  ['wildcards switched off', {}, { names: ['*.host.example'] }, 'deny', 'deny', same],
  ['wildcards switched on', { wildcards: true }, { names: ['*.host.example'] }, 'allow', 'allow', same],
  [
    'wildcard whose base is outside',
    { wildcards: true, allowed: ['10.0.0.0/8'] },
    { names: ['*.host.example'], servers: { 'host.example': at('203.0.113.9') } },
    'allow',
    'deny',
    'wildcards are proved by dns-01, for which Serles judges no addresses',
  ],
  // Text that Serles takes for a name.
  [
    'a path as name',
    {},
    { names: { dnsNames: ['../..//x y'], ipAddresses: [], uris: [], emailAddresses: [] } },
    'allow',
    'deny',
    'Serles checks no syntax',
  ],
  [
    'a port and path as name',
    {},
    { names: { dnsNames: ['host.example:8080/x'], ipAddresses: [], uris: [], emailAddresses: [] } },
    'allow',
    'deny',
    'Serles checks no syntax',
  ],
  // The CSR.
  [
    'an e-mail address beside the names',
    {},
    { names: ['host.example', 'joe@host.example'] },
    'allow',
    'deny',
    'Serles ignores other kinds of names; here what is not listed is denied',
  ],
  [
    'an Ed25519 key',
    {},
    { publicKey: { spki: Buffer.from('x'), algorithm: 'Ed25519', size: 256 } },
    'deny',
    'allow',
    'Serles has a CA for RSA and one for EC keys only; privateKey lists what a policy allows',
  ],
];

test.each(rows)('%s', (_what, config, question, serles, ours, why) => {
  expect(decide([aPolicy('serles', policyFor(config))], question).verdict).toBe(ours);
  expect(why !== '').toBe(serles !== ours);
});

test('unresolvable: Allow gives what Serles does for dns-01', () => {
  const spec = {
    ...policyFor({}),
    constraints: { servers: { cidrs: ['10.0.0.0/8'], unresolvable: 'Allow' as const } },
  };
  expect(decide([aPolicy('p', spec)], host({ state: 'unresolvable' })).verdict).toBe('allow');
});

test('a broken range is told where it stands, not when a challenge runs into it', () => {
  expect(prepared(aPolicy('p', policyFor({ allowed: ['10.0.0.0/99'] })))).toEqual({
    name: 'p',
    broken: 'spec.constraints.servers.cidrs[0] is not an IPv4 or IPv6 network or address',
  });
});

// Serles creates the order and fails when its challenge is validated; here the order itself is refused.
test.each<[string, string]>([
  ['a wildcard', '*.host.example'],
  ['an IP identifier', '10.0.0.5'],
])('%s that is switched off is refused at newOrder', (_what, name) => {
  const input = anInput([aPolicy('p', policyFor({}))], {
    names: [name],
    stage: 'newOrder',
    publicKey: undefined,
    subject: undefined,
    usages: undefined,
  });
  expect(evaluate(input).verdict).toBe('deny');
});

// The dispatcher of challenges asks policy once the addresses of one name are known.
test.each<[string, ReturnType<typeof at>, string]>([
  ['goes on where they are inside', at('10.0.0.5'), 'unknown'],
  ['fails for good where one is outside', at('203.0.113.9'), 'deny'],
  ['tries again where the DNS did not answer', { state: 'failed' }, 'transient'],
])('validation %s', (_what, facts, verdict) => {
  const early: Question = {
    ...host(facts),
    stage: 'validation',
    publicKey: undefined,
    subject: undefined,
    usages: undefined,
  };
  const decision = decide([aPolicy('p', policyFor({ allowed: ['10.0.0.0/8'] }))], early);
  expect(decision.verdict).toBe(verdict);
});
