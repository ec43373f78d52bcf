// Who put an attribute into the subject: what the issuer puts there is none of the policy's business, whatever the CSR asks for.
import { expect, test } from 'vitest';
import { anIssuer } from '../../test/policy/fixtures.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import { parseCsr } from '../domain/csr.ts';
import { OID } from '../domain/oid.ts';
import { judgedRequest, matchRequest } from './match.ts';
import { buildModel, wantedValidity } from './model.ts';
import type { IssuanceRequest } from './types.ts';

const now = new Date('2026-01-01T00:00:00Z');

/** Attributes of the subject that the issuer is said to impose, and those that policy must allow. */
const ALL = { subject: true, validity: true, extensions: true };

function judged(organization: string | undefined, subject: CAIssuerSpec['subject']) {
  const attributes = organization === undefined ? [] : [[OID.organizationName, organization] as const];
  const csr = parseCsr(buildCsr({ names: ['www.example.test'], subject: attributes }).der);
  const request: IssuanceRequest = {
    id: 'order',
    door: 'ACME',
    issuer: anIssuer(subject ? { subject } : {}),
    requester: {},
    identifiers: [{ type: 'dns', value: 'www.example.test' }],
    csr: csr.der,
    wanted: {},
  };
  const names = { dnsNames: ['www.example.test'], ipAddresses: [], uris: [], emailAddresses: [] };
  const validity = wantedValidity(request, now);
  const limits = { controls: ALL, notAfterLimit: undefined, maxDurationMs: undefined };
  const model = buildModel(request, { csr, names, validity, now, ...limits });
  const shown = judgedRequest(request, { csr, model, validity }).subject?.flat() ?? [];
  const values = (imposed: boolean) => shown.filter((it) => it.imposed === imposed).map(({ value }) => value);
  return { imposed: values(true), asked: values(false) };
}

const template = 'O=Example';

test.each([
  ['of a CSR, without a template', 'Example', undefined, { imposed: [], asked: ['Example'] }],
  ['of a CSR, where the template only fills in', 'Other', { template }, { imposed: [], asked: ['Other'] }],
  ['of a template that fills in', undefined, { template }, { imposed: ['Example'], asked: [] }],
  ['of a forced template', 'Other', { template, force: true }, { imposed: ['Example'], asked: [] }],
  [
    'of a forced template, as the CSR has it',
    'Example',
    { template, force: true },
    { imposed: ['Example'], asked: [] },
  ],
  ['by default', undefined, undefined, { imposed: ['www.example.test'], asked: [] }],
])('a subject %s', (_title, organization, subject, expected) => {
  expect(judged(organization, subject)).toEqual(expected);
});

/** Attributes of the subject to be, and whether policy is to leave them alone. */
function subjectBy(spec: Partial<CAIssuerSpec>, namespace?: string): string[] {
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
  const model = buildModel(request, {
    csr,
    names,
    validity,
    now,
    controls: ALL,
    notAfterLimit: undefined,
    maxDurationMs: undefined,
  });
  const judged = judgedRequest(request, { csr, model, validity }).subject?.flat() ?? [];
  return judged.map(({ value, imposed }) => `${value} ${imposed ? 'imposed' : 'judged'}`);
}

const full = { subject: { template: 'CN={dnsNames[0]},O=Example' } };

test('what the template of the platform team puts into the subject is exempt from policy, that of a tenant is not', () => {
  expect(subjectBy(full)).toEqual(['Example imposed', 'a.test imposed']);
  expect(subjectBy(full, 'team-a')).toEqual(['Example judged', 'a.test judged']);
});

test('the common name that every certificate gets is exempt whoever issues', () => {
  expect(subjectBy({})).toEqual(['a.test imposed']);
  expect(subjectBy({}, 'team-a')).toEqual(['a.test imposed']);
});
