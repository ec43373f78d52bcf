// Who put an attribute into the subject: what the issuer puts there is none of the policy's business, whatever the CSR asks for.
import { expect, test } from 'vitest';
import { buildCsr } from '../../test/support/csr-builder.ts';
import type { CAIssuerSpec, ClusterCAIssuer } from '../api/ca-issuer.ts';
import { parseCsr } from '../domain/csr.ts';
import { OID } from '../domain/oid.ts';
import { judgedRequest } from './match.ts';
import { buildModel, wantedValidity } from './model.ts';
import type { IssuanceRequest } from './types.ts';

const now = new Date('2026-01-01T00:00:00Z');

/** Attributes of the subject that the issuer is said to impose, and those that policy must allow. */
function judged(organization: string | undefined, subject: CAIssuerSpec['subject']) {
  const attributes = organization === undefined ? [] : [[OID.organizationName, organization] as const];
  const csr = parseCsr(buildCsr({ names: ['www.example.test'], subject: attributes }).der);
  const request: IssuanceRequest = {
    id: 'order',
    door: 'ACME',
    issuer: {
      spec: { backend: { ca: { secretRef: { name: 'ca' } } }, ...(subject ? { subject } : {}) },
    } as ClusterCAIssuer,
    requester: {},
    identifiers: [{ type: 'dns', value: 'www.example.test' }],
    csr: csr.der,
    wanted: {},
  };
  const names = { dnsNames: ['www.example.test'], ipAddresses: [], uris: [], emailAddresses: [] };
  const validity = wantedValidity(request, now);
  const limits = { notAfterLimit: undefined, maxDurationMs: undefined };
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
