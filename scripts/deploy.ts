// Prints the manifests of deploy/ for an installation of one's own choice.
//   node scripts/deploy.ts [--name countersign] [--namespace countersign-system] [--tenants payments,web] [--optional cert-manager,services]
import { parseArgs } from 'node:util';
import { OPTIONAL_FEATURES } from '../src/commands/optional-features.ts';
import { installationManifests } from './generate/deploy.ts';
import { INSTALLATION, renderManifests } from './generate/manifest.ts';

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: INSTALLATION.name },
    namespace: { type: 'string', default: INSTALLATION.namespace },
    tenants: { type: 'string' },
    optional: { type: 'string' },
  },
});
const { name, namespace } = values;
const tenants = values.tenants?.split(',');
const optional = values.optional?.split(',') ?? [];
const unknown = optional.filter((each) => !OPTIONAL_FEATURES.some((feature) => feature.name === each));
const wrong = [name, namespace, ...(tenants ?? [])].filter((each) => !NAME.test(each));
if (wrong.length > 0) {
  console.error(`no valid name: ${wrong.map((each) => JSON.stringify(each)).join(', ')}`);
  process.exitCode = 1;
} else if (unknown.length > 0) {
  console.error(
    `no optional feature: ${unknown.join(', ')}; there are ${OPTIONAL_FEATURES.map((each) => each.name).join(', ')}`,
  );
  process.exitCode = 1;
} else {
  const served = tenants ? `It serves ${tenants.join(', ')}.` : 'It serves every namespace.';
  process.stdout.write(renderManifests([served], installationManifests({ name, namespace }, tenants, optional)));
}
