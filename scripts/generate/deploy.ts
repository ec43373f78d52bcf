// The manifests of deploy/.
import { OWN_KINDS } from '../../src/api/index.ts';
import { OPTIONAL_FEATURES } from '../../src/commands/optional-features.ts';
import { FEATURES } from '../../src/commands/rights.ts';
import { admissionPolicy } from './admission.ts';
import { identity, INSTALLATION, type Installation, type Manifest, renderManifests } from './manifest.ts';
import { operatorRoles, tenantClusterRoles, tenantRoles, userManifests } from './roles.ts';

/** Content by path in the repository. */
export function deployFiles(): (readonly [string, string])[] {
  const files: Record<string, [string[], Manifest[]]> = {
    namespace: [['Where the operator lives and who it is.'], identity(INSTALLATION)],
    roles: [['What the operator may do, whichever namespaces it serves.'], operatorRoles(INSTALLATION, FEATURES)],
    everywhere: [
      ['What the operator may do in the namespaces it serves, where those are all; else see per-namespace.yaml.'],
      tenantClusterRoles(INSTALLATION, FEATURES),
    ],
    'per-namespace': [
      [
        'What the operator may do in a namespace it serves; instead of everywhere.yaml, once for each:',
        '  kubectl apply -n <namespace> -f per-namespace.yaml',
      ],
      tenantRoles(INSTALLATION, FEATURES),
    ],
    admission: [['Only the operator writes records, accounts and authorizations.'], admissionPolicy(INSTALLATION)],
    users: [['Roles for people.'], userManifests(INSTALLATION, OWN_KINDS)],
  };
  for (const feature of OPTIONAL_FEATURES) {
    files[`optional-${feature.name}`] = [
      [
        `${feature.does} Only for issuers with ${feature.setting.replaceAll('`', '')}.`,
        'Where namespaces are served one by one: node scripts/deploy.ts --optional.',
      ],
      [...operatorRoles(INSTALLATION, [feature]), ...tenantClusterRoles(INSTALLATION, [feature])],
    ];
  }
  return Object.entries(files).map(([name, [about, manifests]]) => [
    `deploy/${name}.yaml`,
    renderManifests(about, manifests),
  ]);
}

/** All of an installation; serves every namespace where `tenants` is absent. `optional`: names of optional features. */
export function installationManifests(
  installation: Installation,
  tenants?: readonly string[],
  optional: readonly string[] = [],
): Manifest[] {
  const features = [...FEATURES, ...OPTIONAL_FEATURES.filter(({ name }) => optional.includes(name))];
  return [
    ...identity(installation),
    ...operatorRoles(installation, features),
    ...(tenants?.flatMap((at) => tenantRoles(installation, features, at)) ??
      tenantClusterRoles(installation, features)),
    ...admissionPolicy(installation),
    ...userManifests(installation, OWN_KINDS),
  ];
}
