import { expect, test } from 'vitest';
import { createAuthority, subjectKeyIdentifier, type TestAuthority } from '../../test/contract/authorities.ts';
import { createKey } from '../../test/contract/models.ts';
import { basicConstraints, keyUsage } from '../../test/support/certificate-builder.ts';
import * as der from '../../test/support/der-writer.ts';
import {
  chainFaults,
  chainFingerprint,
  isRoot,
  linkChain,
  linkFault,
  parsePemCertificates,
  preferredChain,
  trimRoot,
} from './chain.ts';
import { type CertificateFacts, parseCertificate } from './certificate.ts';
import { sha256 } from './encoding.ts';

const facts = ({ der: bytes }: TestAuthority): CertificateFacts => parseCertificate(bytes);
const pathLength = (n: number) => [
  { oid: '2.5.29.19', critical: true, value: der.sequence(der.boolean(true), der.integer(n)) },
  keyUsage(5, 6),
];

const rootA = createAuthority({ subject: 'Root A' });
const rootB = createAuthority({ subject: 'Root B' });
/** Root A's key, signed by root B. */
const crossed = createAuthority({ subject: 'Root A', keys: rootA.keys, parent: rootB });
const issuing = createAuthority({ subject: 'Issuing', parent: rootA });
const leaf = createAuthority({ subject: 'leaf', parent: issuing, basics: [] });
const direct = createAuthority({ subject: 'leaf', parent: rootA, basics: [] });

const all = { rootA, rootB, crossed, issuing, leaf, direct };
type Name = keyof typeof all;
const chainOf = (...names: Name[]) => names.map((name) => facts(all[name]));
const namesOf = (chain: readonly CertificateFacts[]) =>
  chain.map(
    ({ fingerprint }) => Object.entries(all).find(([, authority]) => facts(authority).fingerprint === fingerprint)?.[0],
  );

// The seed's matrix of root trimming (Serles), whole chains, against ours: as configured by default, and with trimRoot: true.
interface Trimming {
  chain: Name[];
  seed: Name[] | undefined;
  ours: Name[];
  asked?: Name[];
  why: string;
}

test.each<Trimming>([
  { chain: ['rootA'], seed: ['rootA'], ours: ['rootA'], why: 'same: a root alone stays' },
  { chain: ['crossed'], seed: ['crossed'], ours: ['crossed'], why: 'same: another CA signed it' },
  {
    chain: ['direct', 'crossed'],
    seed: ['direct', 'crossed'],
    ours: ['direct', 'crossed'],
    why: 'same: clients need the cross certificate',
  },
  {
    chain: ['direct', 'rootA'],
    seed: ['direct'],
    ours: ['direct', 'rootA'],
    asked: ['direct'],
    why: 'certbot refuses a leaf alone',
  },
  {
    chain: ['leaf', 'issuing', 'rootA'],
    seed: undefined,
    ours: ['leaf', 'issuing'],
    why: 'not in the matrix: clients have the root',
  },
  {
    chain: ['leaf', 'issuing', 'crossed', 'rootB'],
    seed: undefined,
    ours: ['leaf', 'issuing', 'crossed'],
    why: 'not in the matrix',
  },
  { chain: ['leaf', 'issuing'], seed: undefined, ours: ['leaf', 'issuing'], why: 'not in the matrix: nothing to cut' },
])('trimming $chain gives $ours ($why)', ({ chain, seed, ours, asked, why }) => {
  const [first, ...above] = chainOf(...chain);
  const trimmed = (wanted: boolean | undefined) => namesOf([...(first ? [first] : []), ...trimRoot(above, wanted)]);
  expect(trimmed(undefined)).toEqual(ours);
  expect(trimmed(true)).toEqual(asked ?? ours);
  expect(trimmed(false)).toEqual(chain);
  expect(why.startsWith('same')).toBe(JSON.stringify(seed) === JSON.stringify(ours));
});

test('a certificate of its own name that an older key signed is no root and stays', () => {
  const older = createAuthority({ subject: 'Root A' });
  const rollover = facts(createAuthority({ subject: 'Root A', parent: older }));
  expect([isRoot(facts(older)), isRoot(rollover)]).toEqual([true, false]);
  expect(trimRoot([facts(issuing), rollover], true)).toHaveLength(2);
});

test.each<[Name, Name[], Name[]]>([
  ['leaf', ['rootA', 'issuing'], ['leaf', 'issuing', 'rootA']],
  ['leaf', ['crossed', 'issuing', 'rootB', 'rootA'], ['leaf', 'issuing', 'crossed', 'rootB']],
  ['leaf', ['issuing', 'rootA', 'crossed', 'rootB'], ['leaf', 'issuing', 'rootA']],
  ['leaf', ['rootB', 'issuing'], ['leaf', 'issuing']],
  ['leaf', ['leaf', 'issuing', 'issuing'], ['leaf', 'issuing']],
  ['leaf', [], ['leaf']],
  ['rootA', ['crossed', 'rootB'], ['rootA']],
])('%s through %j is %j', (first, pool, expected) => {
  expect(namesOf(linkChain(facts(all[first]), chainOf(...pool)))).toEqual(expected);
  expect(chainFaults(linkChain(facts(all[first]), chainOf(...pool)))).toEqual([]);
});

test('two CAs that signed each other end the chain', () => {
  const [one, two] = [createKey('P-256'), createKey('P-256')];
  const self = (keys: typeof one, subject: string) => createAuthority({ keys, subject });
  const oneByTwo = facts(createAuthority({ keys: one, subject: 'One', parent: self(two, 'Two') }));
  const twoByOne = facts(createAuthority({ keys: two, subject: 'Two', parent: self(one, 'One') }));
  expect(linkChain(oneByTwo, [twoByOne, oneByTwo])).toHaveLength(2);
});

test.each<[string, TestAuthority, TestAuthority, RegExp]>([
  ['another CA', leaf, rootA, /^CN=leaf is not issued by CN=Root A$/],
  [
    'another key of that name',
    leaf,
    createAuthority({ subject: 'Issuing', parent: rootA }),
    /signature of CN=leaf is not by CN=Issuing/,
  ],
  ['not a CA', createAuthority({ subject: 'x', parent: leaf }), leaf, /CN=leaf is not a CA/],
  [
    'CA:FALSE',
    createAuthority({
      subject: 'x',
      parent: createAuthority({ subject: 'y', keys: rootB.keys, basics: [basicConstraints(false)] }),
    }),
    createAuthority({ subject: 'y', keys: rootB.keys, basics: [basicConstraints(false)] }),
    /not a CA/,
  ],
  [
    'keyUsage without keyCertSign',
    createAuthority({ subject: 'x', parent: { ...rootB, subject: 'y' } }),
    createAuthority({ subject: 'y', keys: rootB.keys, basics: [basicConstraints(true), keyUsage(0, 6)] }),
    /may not sign certificates/,
  ],
])('a link to %s is faulty', (_, child, parent, fault) =>
  expect(linkFault(facts(child), facts(parent))).toMatch(fault),
);

test('key identifiers tell two keys of one name apart before any signature is tried', () => {
  const parent = createAuthority({ subject: 'P', extensions: [subjectKeyIdentifier(Buffer.of(1))] });
  const authority = { oid: '2.5.29.35', value: der.sequence(der.contextPrimitive(0, Buffer.of(2))) };
  expect(linkFault(facts(createAuthority({ subject: 'c', parent, extensions: [authority] })), facts(parent))).toMatch(
    /not issued/,
  );
});

test('a changed byte breaks the chain', () => {
  const bytes = Buffer.from(leaf.der);
  bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
  expect(chainFaults([parseCertificate(bytes), ...chainOf('issuing', 'rootA')])).toEqual([
    expect.stringMatching(/signature/),
  ]);
});

test('path lengths count the CA certificates below that are not self-issued', () => {
  const root = createAuthority({ subject: 'R', basics: pathLength(1) });
  const middle = createAuthority({ subject: 'M', parent: root, basics: pathLength(0) });
  const low = createAuthority({ subject: 'L', parent: middle });
  const again = createAuthority({ subject: 'M', parent: middle });
  const end = (parent: TestAuthority) => createAuthority({ subject: 'e', parent, basics: [] });
  expect(chainFaults([end(middle), middle, root].map(facts))).toEqual([]);
  expect(chainFaults([end(low), low, middle, root].map(facts))).toEqual([
    'CN=M allows 0 CA certificates below it, not 1',
    'CN=R allows 1 CA certificates below it, not 2',
  ]);
  expect(chainFaults([end(again), again, middle, root].map(facts))).toEqual([]);
});

test('a critical extension that is not understood breaks a chain', () => {
  const odd = createAuthority({
    subject: 'odd',
    parent: rootA,
    extensions: [{ oid: '1.2.3.4', critical: true, value: der.nullValue() }],
  });
  const end = createAuthority({ subject: 'e', parent: odd, basics: [] });
  expect(chainFaults([end, odd, rootA].map(facts))).toEqual([expect.stringMatching(/critical extension 1\.2\.3\.4/)]);
});

test.each<[string[], number]>([
  [[], 0],
  [['Root A'], 0],
  [['Root B'], 1],
  [['Nowhere', 'Root B', 'Root A'], 1],
  [[facts(rootB).fingerprint], 1],
  [
    [
      facts(rootB)
        .fingerprint.toUpperCase()
        .replace(/..(?=.)/g, '$&:'),
    ],
    1,
  ],
  [['root b'], 0],
  [['Root C'], 2],
  [['Issuing'], 0],
])('preferring %j picks chain %i', (preferred, index) => {
  const short = createAuthority({ subject: 'Short', parent: createAuthority({ subject: 'Root C' }) });
  const chains = [
    chainOf('leaf', 'issuing', 'rootA'),
    chainOf('leaf', 'issuing', 'crossed', 'rootB'),
    [facts(leaf), facts(short)],
  ];
  expect(preferredChain(chains, preferred)).toBe(index);
});

test('the fingerprint of a chain is over its bytes in order', () => {
  expect(chainFingerprint([rootA.der, rootB.der])).toBe(sha256(Buffer.concat([rootA.der, rootB.der])).toString('hex'));
  expect(chainFingerprint([rootA.der, rootB.der])).not.toBe(chainFingerprint([rootB.der, rootA.der]));
});

test('PEM bundles with text around and Windows line ends', () => {
  const bundle = `# issuing\n${issuing.pem}\nsubject=/CN=Root A\n${rootA.pem.replaceAll('\n', '\r\n')}trailing text`;
  expect(parsePemCertificates(bundle)).toEqual([issuing.der, rootA.der]);
  expect(parsePemCertificates('')).toEqual([]);
  expect(parsePemCertificates(rootA.key)).toEqual([]);
});

test.each([
  ['without end', rootA.pem.slice(0, -30)],
  ['without content', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----'],
  ['with other characters', rootA.pem.replace('MII', 'M*I')],
  ['inside another', `-----BEGIN CERTIFICATE-----\n${rootA.pem}`],
  ['with spaces beyond number', `-----BEGIN CERTIFICATE-----${' '.repeat(1_000_000)}*-----END CERTIFICATE-----`],
])('a PEM block %s is refused', (_, pem) => expect(() => parsePemCertificates(pem)).toThrow(/PEM block 1 is broken/));
