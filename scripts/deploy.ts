// Prints the manifests of deploy/ for an installation of one's own choice.
//   node scripts/deploy.ts [--name countersign] [--namespace countersign-system] [--tenants payments,web]
import { parseArgs } from 'node:util';
import { installationManifests } from './generate/deploy.ts';
import { INSTALLATION, renderManifests } from './generate/manifest.ts';

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: INSTALLATION.name },
    namespace: { type: 'string', default: INSTALLATION.namespace },
    tenants: { type: 'string' },
  },
});
const { name, namespace } = values;
const tenants = values.tenants?.split(',');
const wrong = [name, namespace, ...(tenants ?? [])].filter((each) => !NAME.test(each));
if (wrong.length > 0) {
  console.error(`no valid name: ${wrong.map((each) => JSON.stringify(each)).join(', ')}`);
  process.exitCode = 1;
} else {
  const served = tenants ? `It serves ${tenants.join(', ')}.` : 'It serves every namespace.';
  process.stdout.write(renderManifests([served], installationManifests({ name, namespace }, tenants)));
}
