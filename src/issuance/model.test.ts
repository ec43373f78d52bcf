// The lifetime of the certificate to be, where the requester leaves its end open.
import { expect, test } from 'vitest';
import { buildCsr } from '../../test/support/csr-builder.ts';
import type { CAIssuerSpec, ClusterCAIssuer } from '../api/ca-issuer.ts';
import { parseCsr } from '../domain/csr.ts';
import { buildModel, requireHeeded, wantedValidity } from './model.ts';
import type { IssuanceRequest } from './types.ts';

const DAY = 24 * 3600_000;
const now = new Date('2026-01-01T00:00:00Z');
const { der } = buildCsr({ names: ['www.example.test'] });

/** Days from now until the end of the certificate, to the nearest hundredth. */
function lastsDays(limits: { policyDays?: number; profileMax?: string }, startsInDays?: number): number {
  const duration = { default: '720h', ...(limits.profileMax === undefined ? {} : { max: limits.profileMax }) };
  const profiles: CAIssuerSpec['profiles'] = [{ name: 'server', default: true, description: '', duration }];
  const request: IssuanceRequest = {
    id: 'order',
    door: 'ACME',
    issuer: { spec: { backend: { ca: { secretRef: { name: 'ca' } } }, profiles } } as ClusterCAIssuer,
    requester: {},
    identifiers: [{ type: 'dns', value: 'www.example.test' }],
    csr: der,
    wanted: startsInDays === undefined ? {} : { notBefore: new Date(now.getTime() + startsInDays * DAY) },
  };
  const { notAfter } = buildModel(request, {
    csr: parseCsr(der),
    names: { dnsNames: ['www.example.test'], ipAddresses: [], uris: [], emailAddresses: [] },
    validity: wantedValidity(request, now),
    now,
    controls: { subject: true, validity: true, extensions: true },
    notAfterLimit: undefined,
    maxDurationMs: limits.policyDays === undefined ? undefined : limits.policyDays * DAY,
  });
  return Math.round(((notAfter.getTime() - now.getTime()) / DAY) * 100) / 100;
}

test.each([
  ['without limits it starts when asked to', {}, 10, 40],
  ['the limit of the policy counts from now', { policyDays: 30 }, 10, 30],
  ['the limit of the profile counts from now', { profileMax: '960h' }, 20, 40],
  ['a limit further off changes nothing', { policyDays: 90 }, 10, 40],
  ['a start asked for in the past counts', { policyDays: 30 }, -1 / 48, 29.98],
  ['no start asked for', { policyDays: 7 }, undefined, 7],
])('%s', (_title, limits, startsInDays, days) => {
  expect(lastsDays(limits, startsInDays)).toBe(days);
});

test('a start beyond the limit is refused, for a certificate in years is not what the policy allows', () => {
  expect(() => lastsDays({ policyDays: 30 }, 5 * 365)).toThrow(
    'malformed: notBefore is later than the longest lifetime',
  );
});

test.each([true, 'length', false] as const)('a requester names validity only where the CA heeds it: %s', (validity) => {
  const controls = { subject: true, validity, extensions: true };
  const now = new Date();
  expect(() => requireHeeded(controls, {})).not.toThrow();
  for (const wanted of [{ notBefore: now }, { notAfter: now }]) {
    const asked = () => requireHeeded(controls, wanted);
    if (validity === true) expect(asked).not.toThrow();
    else expect(asked).toThrow('malformed: the CA of this issuer decides when validity begins and ends');
  }
});
