import { expect, test } from 'vitest';
import { anIssuer } from '../../test/policy/fixtures.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import { parseCsr } from '../domain/csr.ts';
import { judgedRequest, matchRequest } from './match.ts';
import { buildModel, wantedValidity } from './model.ts';
import type { IssuanceRequest } from './types.ts';

const now = new Date('2030-01-01T00:00:00Z');

/** Attributes of the subject to be, and whether policy is to leave them alone. */
function subject(spec: Partial<CAIssuerSpec>, namespace?: string): string[] {
  const csr = parseCsr(buildCsr({ names: ['a.test'] }).der);
  const request: IssuanceRequest = {
    id: 'r',
    door: 'ACME',
    issuer: anIssuer(spec, namespace),
    requester: { account: 'a' },
    identifiers: [{ type: 'dns', value: 'a.test' }],
    csr: Buffer.alloc(0),
    wanted: {},
  };
  const validity = wantedValidity(request, now);
  const names = matchRequest(request, csr);
  const model = buildModel(request, { csr, names, validity, now, notAfterLimit: undefined, maxDurationMs: undefined });
  const judged = judgedRequest(request, { csr, model, validity }).subject?.flat() ?? [];
  return judged.map(({ value, imposed }) => `${value} ${imposed ? 'imposed' : 'judged'}`);
}

const template = { subject: { template: 'CN={dnsNames[0]},O=Example' } };

test('what the template of the platform team puts into the subject is exempt from policy, that of a tenant is not', () => {
  expect(subject(template)).toEqual(['Example imposed', 'a.test imposed']);
  expect(subject(template, 'team-a')).toEqual(['Example judged', 'a.test judged']);
});

test('the common name that every certificate gets is exempt whoever issues', () => {
  expect(subject({})).toEqual(['a.test imposed']);
  expect(subject({}, 'team-a')).toEqual(['a.test imposed']);
});
