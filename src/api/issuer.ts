// CAIssuer: the issuer of one namespace, written by its tenants. What a ClusterCAIssuer may say and a CAIssuer may not would give
// tenants power over others; docs/tenants.md has the reason for each.
import { type Static, Type } from 'typebox';
import { AcmeBackend } from './acme-backend.ts';
import { TenantExternalAccountBinding } from './acme-offer.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind, ClusterIssuerSpec, IssuerStatus } from './ca-issuer.ts';
import { TENANT_ISSUER_RULES, tenantIssuerRules } from './ca-issuer-rules.ts';
import { Closed, GROUP, type Kind, type KubeObject, VERSION } from './kind.ts';
import { TenantPublishTrust } from './publish-trust.ts';

const {
  allowedNamespaces: _namespaces,
  recordGrace: _grace,
  publishTrust: _trust,
  backend,
  acme,
  ...common
} = ClusterIssuerSpec.properties;
const { ejbca: _ejbca, certbot: _certbot, acme: _upstream, ...backends } = backend.properties;
const { challenges: _challenges, dns01: _dns01, ...upstream } = AcmeBackend.properties;
const {
  validation: _validation,
  finalizeTimeout: _timeout,
  proof: _proof,
  externalAccountBinding: _binding,
  ...others
} = acme.properties;
const offered = { ...others, externalAccountBinding: Type.Optional(TenantExternalAccountBinding) };

const UPSTREAM =
  'Have requests signed by an ACME CA elsewhere (docs/backends/acme.md). Its Secrets are in the namespace of the issuer. Names are proved by http-01.';

const Schema = Closed({
  spec: Closed({
    backend: Closed({ acme: Type.Optional(Closed(upstream, UPSTREAM)), ...backends }, 'What signs. Exactly one.'),
    ...common,
    acme: Type.Optional(Closed(offered, 'How the issuer is offered over ACME.')),
    publishTrust: Type.Optional(TenantPublishTrust),
  }),
  status: Type.Optional(IssuerStatus),
});
export type CAIssuer = KubeObject & Static<typeof Schema>;

/** Of a namespace where its metadata has one, of the whole cluster where not. */
export type Issuer = ClusterCAIssuer | CAIssuer;

export const CAIssuerKind: Kind<CAIssuer> = {
  group: GROUP,
  version: VERSION,
  kind: 'CAIssuer',
  plural: 'caissuers',
  singular: 'caissuer',
  shortNames: ['cai'],
  namespaced: true,
  statusSubresource: true,
  schema: Schema,
  columns: ClusterCAIssuerKind.columns,
  description:
    'A certificate authority of one namespace: one ACME directory, and claims of that namespace alone. Its Secrets live in that namespace. It issues what policies for the kind CAIssuer allow.',
  rules: tenantIssuerRules,
  cel: TENANT_ISSUER_RULES,
};

export function issuerKind({ metadata }: { metadata: { namespace?: string } }): Kind<Issuer> {
  return metadata.namespace === undefined ? ClusterCAIssuerKind : CAIssuerKind;
}
