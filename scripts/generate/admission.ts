// The ValidatingAdmissionPolicy that keeps records, accounts and authorizations the operator's own, whatever RBAC grants to others.
import { AccountKind, AuthorizationKind } from '../../src/api/acme.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { type Installation, labelled, type Manifest, usernameOf } from './manifest.ts';
import { plainSchema } from './schema.ts';

/** They delete what is in a namespace that goes, and what nobody owns any more; without own identities, as the last of them. */
const CLEANERS = [
  'system:serviceaccount:kube-system:namespace-controller',
  'system:serviceaccount:kube-system:generic-garbage-collector',
  'system:kube-controller-manager',
];

export function policyName({ name }: Installation): string {
  return `${name}-records`;
}

export function admissionPolicy(installation: Installation): Manifest[] {
  const metadata = labelled({ name: policyName(installation) });
  const username = usernameOf(installation);
  const kinds = [IssuedCertificateKind, AccountKind, AuthorizationKind];
  const groups = [...new Set(kinds.map(({ group }) => group))];
  const apiVersion = 'admissionregistration.k8s.io/v1';
  return [
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          matchPolicy: 'Equivalent',
          resourceRules: groups.map((group) => ({
            apiGroups: [group],
            apiVersions: ['*'],
            operations: ['CREATE', 'UPDATE', 'DELETE'],
            resources: kinds.flatMap((kind) => (kind.group === group ? [kind.plural, `${kind.plural}/*`] : [])),
          })),
        },
        matchConditions: [
          { name: 'not-the-operator', expression: `request.userInfo.username != '${username}'` },
          {
            name: 'not-cleaning-up',
            expression: `request.operation != 'DELETE' || !(request.userInfo.username in ${list(CLEANERS)})`,
          },
        ],
        // Untyped: a field that one of the three kinds lacks is no mistake of the policy.
        variables: [
          { name: 'before', expression: 'dyn(oldObject)' },
          { name: 'after', expression: 'dyn(object)' },
          { name: 'revokes', expression: REVOKES },
        ],
        validations: [
          {
            expression: 'variables.revokes',
            message: `only ${username} writes IssuedCertificates, Accounts and Authorizations; others may only add spec.revocation to an IssuedCertificate that has none`,
            reason: 'Forbidden',
          },
          {
            expression: `!variables.revokes || (${nothingElse()})`,
            message:
              'a revocation sets spec.revocation and changes nothing else: no other field, label, annotation, finalizer or owner',
            reason: 'Forbidden',
          },
        ],
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: metadata.name, validationActions: ['Deny'] },
    },
  ];
}

/** One way: CRD rules keep a revocation that is there as it is, for the operator too. */
const REVOKES = [
  "request.operation == 'UPDATE'",
  `request.resource.resource == '${IssuedCertificateKind.plural}'`,
  'has(variables.after.spec.revocation)',
  '!has(variables.before.spec.revocation)',
].join(' && ');

function nothingElse(): string {
  const spec = Object.keys(plainSchema(IssuedCertificateKind.schema ?? {}).properties?.['spec']?.properties ?? {});
  const fields = [
    ...spec.filter((field) => field !== 'revocation').map((field) => `spec.?${field}`),
    '?status',
    ...['labels', 'annotations', 'finalizers', 'ownerReferences'].map((field) => `metadata.?${field}`),
  ];
  return fields.map((field) => `variables.after.${field} == variables.before.${field}`).join(' && ');
}

function list(values: readonly string[]): string {
  return `[${values.map((value) => `'${value}'`).join(', ')}]`;
}
