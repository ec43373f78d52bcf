import { expect, test } from 'vitest';
import { anIssuer } from '../../test/policy/fixtures.ts';
import {
  clusterIssuer,
  issuerFields,
  issuerKey,
  issuerLabels,
  issuerPath,
  issuerRef,
  issuerTitle,
  parseIssuerName,
  referredIssuer,
} from './issuer.ts';

const ofCluster = anIssuer();
const ofTenant = anIssuer({}, 'team-a');

test('a reference means a ClusterCAIssuer, or a CAIssuer of the namespace it stands in', () => {
  expect(referredIssuer({ kind: 'ClusterCAIssuer', name: 'web' }, 'team-a')).toEqual({ name: 'web' });
  expect(referredIssuer({ kind: 'CAIssuer', name: 'web' }, 'team-a')).toEqual({ namespace: 'team-a', name: 'web' });
});

test('records name the kind, and the namespace where there is one', () => {
  expect(issuerRef(ofCluster)).toEqual({ kind: 'ClusterCAIssuer', name: 'corporate' });
  expect(issuerRef(ofTenant)).toEqual({ kind: 'CAIssuer', namespace: 'team-a', name: 'corporate' });
});

test('no two issuers have one key, title or path', () => {
  const issuers = [{ name: 'a' }, { namespace: 'a', name: 'a' }, { namespace: 'a', name: 'b' }, { name: 'b' }];
  for (const text of [issuerKey, issuerTitle]) expect(new Set(issuers.map((each) => text(each))).size).toBe(4);
  expect(issuers.map((each) => `${issuerPath(each)}/acme/${each.name}`)).toEqual([
    '/acme/a',
    '/ns/a/acme/a',
    '/ns/a/acme/b',
    '/acme/b',
  ]);
  expect(issuerTitle({ namespace: 'team-a', name: 'web' })).toBe('CAIssuer team-a/web');
});

test('logs and metrics tell the namespace', () => {
  expect(issuerFields(ofCluster)).toEqual({ issuer: 'corporate' });
  expect(issuerFields(ofTenant)).toEqual({ issuer: 'corporate', issuerNamespace: 'team-a' });
  expect(issuerLabels(ofCluster)).toEqual({ issuer: 'corporate', issuer_namespace: '' });
  expect(issuerLabels(ofTenant)).toEqual({ issuer: 'corporate', issuer_namespace: 'team-a' });
});

test('people write the namespace before a slash', () => {
  expect(parseIssuerName('web')).toEqual({ name: 'web' });
  expect(parseIssuerName('team-a/web')).toEqual({ namespace: 'team-a', name: 'web' });
});

test('what only the platform team may say is read of no other issuer', () => {
  expect(clusterIssuer(ofCluster)).toBe(ofCluster);
  expect(clusterIssuer(ofTenant)).toBeUndefined();
});
