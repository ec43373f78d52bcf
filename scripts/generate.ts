// Writes crds/ and docs/reference/ from the kinds in src/api, deploy/ from the rights that features declare, and what of the chart
// follows from either or from its values.yaml. With --check writes nothing and exits 1 where they differ.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OWN_KINDS } from '../src/api/index.ts';
import { FEATURES } from '../src/commands/rights.ts';
import { renderRunbooks, RUNBOOKS_FILE } from './generate/alerts.ts';
import { CHART_FOLDERS, chartFiles } from './generate/chart.ts';
import { crdFile, renderCrd } from './generate/crd.ts';
import { deployFiles } from './generate/deploy.ts';
import { referenceFile, renderConfiguration, renderIndex, renderReference } from './generate/reference.ts';
import { renderRights, RIGHTS_FILE } from './generate/rights.ts';

const ROOT = join(import.meta.dirname, '..');
/** Folders that hold nothing but what is generated here. */
const FOLDERS = ['crds', 'deploy', 'docs/reference', ...CHART_FOLDERS];

/** Content by path in the repository. */
function generated(): Map<string, string> {
  return new Map([
    ...OWN_KINDS.map((kind) => [crdFile(kind), renderCrd(kind)] as const),
    ...OWN_KINDS.map((kind) => [referenceFile(kind), renderReference(kind)] as const),
    ['docs/reference/configuration.md', renderConfiguration()],
    ['docs/reference/README.md', renderIndex(OWN_KINDS)],
    [RIGHTS_FILE, renderRights(FEATURES, OWN_KINDS)],
    ...deployFiles(),
    [RUNBOOKS_FILE, renderRunbooks()],
    ...chartFiles(),
  ]);
}

function current(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

function existing(): string[] {
  return FOLDERS.flatMap((folder) => {
    mkdirSync(join(ROOT, folder), { recursive: true });
    return readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`);
  });
}

const wanted = generated();
const drifted = [...wanted].filter(([path, content]) => current(path) !== content).map(([path]) => path);
const stray = existing().filter((path) => !wanted.has(path));

if (process.argv.includes('--check')) {
  for (const path of drifted) console.error(`${path} is not what src says`);
  for (const path of stray) console.error(`${path} is generated from nothing`);
  if (drifted.length + stray.length > 0) {
    console.error('run npm run generate and commit the result');
    process.exitCode = 1;
  }
} else {
  for (const path of drifted) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), wanted.get(path) ?? '');
  }
  for (const path of stray) rmSync(join(ROOT, path), { recursive: true });
  console.log(`${drifted.length} written, ${stray.length} removed, ${wanted.size - drifted.length} unchanged`);
}
