// No field without an effect: every field that users write is set to values that make different outcomes.
import { afterAll, describe, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { ACME_CASES, stopAcme } from './acme-cases.ts';
import { ATTRIBUTION_CASES } from './attribution-cases.ts';
import { CERTBOT_CASES, stopCertbot } from './certbot-cases.ts';
import { CLAIM_CASES } from './claim-cases.ts';
import { EJBCA_CASES, stopEjbca } from './ejbca-cases.ts';
import { ABSENT, type FieldCase, indifferent, runCase, withValue } from './field-case.ts';
import { ISSUER_CASES } from './issuer-cases.ts';
import { stopLab } from './lab.ts';
import { leavesOf } from './leaves.ts';
import { POLICY_CASES } from './policy-cases.ts';
import { stopPeers, WEBHOOK_CASES } from './webhook-cases.ts';

const CASES: readonly FieldCase[] = [
  ...POLICY_CASES,
  ...ISSUER_CASES,
  ...WEBHOOK_CASES,
  ...EJBCA_CASES,
  ...ACME_CASES,
  ...CERTBOT_CASES,
  ...CLAIM_CASES,
  ...ATTRIBUTION_CASES,
];

afterAll(stopLab);
afterAll(stopPeers);
afterAll(stopEjbca);
afterAll(stopAcme);
afterAll(stopCertbot);

for (const kind of [ClusterCAIssuerKind, CAIssuerKind, CertificateRequestPolicyKind, CertificateClaimKind]) {
  const cases = CASES.filter((each) => each.kind === kind);
  // A field that takes one word only has nothing to choose: it keeps a place for words to come.
  const leaves = leavesOf(kind).filter(({ words }) => words.length !== 1);

  describe(kind.kind, () => {
    test('every field has a case, and every case a field', () => {
      const covered = new Set(cases.map(({ path }) => path));
      expect(leaves.map(({ path }) => path).filter((path) => !covered.has(path))).toEqual([]);
      const known = new Set(leaves.map(({ path }) => path));
      expect([...covered].filter((path) => !known.has(path))).toEqual([]);
    });

    test('every word of an enumeration stands in a case', () => {
      const missing = leaves.flatMap(({ path, words }) => {
        const used = new Set(cases.filter((each) => each.path === path).flatMap((each) => each.values.flat()));
        return words.filter((word) => !used.has(word)).map((word) => `${path}: ${String(word)}`);
      });
      expect(missing).toEqual([]);
    });

    for (const each of cases) {
      test(each.path, async () => {
        expect(each.values.length).toBeGreaterThan(1);
        expect(indifferent(await runCase(each))).toEqual([]);
      });
    }
  });
}

test('the walk notices a field without effect, and refuses a value that is not valid', async () => {
  const path = 'spec.suspend';
  const base = { backend: { ca: { secretRef: { name: 'ca' } } } };
  const idle = { kind: ClusterCAIssuerKind, path, base, values: [true, false], outcome: () => 'the same' };
  expect(indifferent(await runCase(idle))).toEqual(['true and false both give "the same"']);
  await expect(runCase({ ...idle, values: ['yes'] })).rejects.toThrow('spec.suspend = "yes" is not valid');
});

test('values are put where the path says', () => {
  expect(withValue({ spec: {} }, 'spec.a[].b.c', 1)).toEqual({ spec: { a: [{ b: { c: 1 } }] } });
  expect(withValue({ spec: { a: { b: 1, c: 2 } } }, 'spec.a.b', ABSENT)).toEqual({ spec: { a: { c: 2 } } });
});
