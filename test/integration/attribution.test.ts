// Attribution on a real API server, under the roles of deploy/: those of the optional features are granted, or not, or come late.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { FOREIGN_KINDS, ServiceKind } from '../../src/api/foreign.ts';
import { OPTIONAL_FEATURES } from '../../src/commands/optional-features.ts';
import {
  attributionCases,
  ISSUER_ACME,
  prepareStage,
  type Stage,
  STAGE_NAMESPACES,
  TEAM_POLICY,
} from '../operator/attribution-cases.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import { newOrder, register } from '../support/acme-flow.ts';
import { connect } from '../support/acme-wire.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import { certManager, orderFrom } from '../support/cert-manager.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey } from '../support/jws.ts';
import { installForeign } from '../support/foreign-crds.ts';
import { apply, deployed } from '../support/manifests.ts';
import { type RoledOperator, startUnderRoles } from '../support/operator-under-roles.ts';

const THEIRS = FOREIGN_KINDS.filter(({ group }) => /cert-manager|gateway/.test(group));

describeOnApiServer('attribution', (plane) => {
  let stage: RoledOperator & Stage;

  beforeAll(async () => {
    const namespaces = STAGE_NAMESPACES;
    stage = await startUnderRoles(plane(), { issuer: { acme: ISSUER_ACME }, namespaces });
    await stage.admin.create(CertificateRequestPolicyKind, { metadata: { name: 'team' }, spec: TEAM_POLICY });
    await prepareStage(stage.admin);
  }, 300_000);
  afterAll(() => stage?.stop());

  /** What the log says last of each optional kind. */
  const states = (): Record<string, string> => {
    const entries = stage.lines
      .map((line) => JSON.parse(line) as { msg: string; kind: string; state: string })
      .filter(({ msg }) => msg === 'an optional kind');
    return Object.fromEntries(entries.map(({ kind, state }) => [kind, state]));
  };
  const until = (wanted: Record<string, string>) =>
    eventually(`kinds are ${JSON.stringify(wanted)}`, async () => {
      const now = states();
      return Object.entries(wanted).every(([kind, state]) => now[kind] === state) ? true : undefined;
    });

  test('without rights and without cert-manager it serves, and looks for both', async () => {
    await until({ Order: 'refused', ClusterIssuer: 'refused', Issuer: 'refused', Service: 'refused' });
    const acme = await connect(stage.transport, stage.directory);
    const key = createSigningKey();
    const externalAccountBinding = binding(acme, key, { kid: 'payments', macKey: EAB_KEYS['kid-1'] });
    await register(acme, key, { externalAccountBinding });
    expect((await newOrder(acme, ['web.payments.svc'])).object.status).toBe('pending');
    for (const { name } of OPTIONAL_FEATURES) await apply(plane().api, deployed(`optional-${name}`));
    await until({ Order: 'absent', ClusterIssuer: 'absent', Issuer: 'absent', Service: 'watching' });
    await installForeign(plane(), THEIRS);
    await until({ Order: 'watching', ClusterIssuer: 'watching', Issuer: 'watching' });
  });

  describe('with both', () => {
    attributionCases(() => stage);

    test('what a namespace editor may write makes no Order of cert-manager believed', async () => {
      const { admin } = stage;
      await admin.create(ServiceKind, {
        metadata: { namespace: 'hr', name: 'wanted' },
        spec: { ports: [{ port: 443 }] },
      } as never);
      const manager = await certManager(admin, stage);
      const { order, object } = await orderFrom(admin, manager, { namespace: 'hr', names: ['wanted.hr.svc'] });
      // With a status in the body of its create: the API server drops that.
      const { api } = plane();
      const path = '/apis/acme.cert-manager.io/v1/namespaces/payments/orders';
      const { spec, status } = object;
      await api.expect('POST', path, {
        apiVersion: object.apiVersion,
        kind: 'Order',
        metadata: { name: 'forged' },
        spec,
        status,
      });
      const { json } = await manager.acme.get(order.object.authorizations[0] ?? '');
      expect(json.status).toBe('valid');
    });
  });
});
