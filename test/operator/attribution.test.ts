// Attribution on the embedded store.
import { afterAll, beforeAll } from 'vitest';
import { NamespaceKind } from '../../src/api/core.ts';
import { createTransport } from '../support/acme-wire.ts';
import { attributionCases, ISSUER_ACME, prepareStage, type Stage, TEAM_POLICY, TEAMS } from './attribution-cases.ts';
import { startOperator } from './harness.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';

let operator: Awaited<ReturnType<typeof startOperator>>;
let stage: Stage;

beforeAll(async () => {
  operator = await startOperator({ issuer: { acme: ISSUER_ACME } });
  const { cluster: admin } = operator;
  for (const name of TEAMS) await admin.create(NamespaceKind, { metadata: { name } });
  await admin.create(CertificateRequestPolicyKind, { metadata: { name: 'team' }, spec: TEAM_POLICY });
  await prepareStage(admin);
  stage = { admin, transport: createTransport(operator.ca), directory: operator.directory };
});
afterAll(async () => {
  stage?.transport.close();
  await operator?.stop();
});

attributionCases(() => stage);
