// Helm, as scripts/build-tools.ts builds it, and the chart as it renders it.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { cacheFolder, isExecutable } from './kubernetes-programs.ts';

export const CHART = join(import.meta.dirname, '../../charts/countersign');
export const RELEASE = 'countersign';
export const NAMESPACE = 'countersign-system';
/** The release that test/tools/go.mod pins, so that nothing depends on which Helm was built last. */
const KUBE_VERSION = '1.36.0';

export interface Rendered {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  [member: string]: unknown;
}

export type Values = Readonly<Record<string, unknown>>;

/** Without Helm the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWithHelm(title: string, tests: () => void): void {
  describe(title, () => {
    if (isExecutable(helmProgram())) return tests();
    const missing = 'helm missing (node scripts/build-tools.ts helm)';
    test.skipIf(process.env['COUNTERSIGN_REQUIRE'] !== 'all')(missing, () => {
      throw new Error(missing);
    });
  });
}

export function helmProgram(): string {
  return join(cacheFolder(), 'helm');
}

/** What Helm prints on standard output. Throws with what it says on standard error. */
export function helm(args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(helmProgram(), args, {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** What the chart gives for these values. Throws with what Helm says. */
export function template(values: Values = {}, names: { namespace?: string } = {}): Rendered[] {
  return parsed(templateText(values, names));
}

/** The same as text. */
export function templateText(values: Values = {}, { release = RELEASE, namespace = NAMESPACE } = {}): string {
  const args = ['template', release, CHART, '--namespace', namespace, '--kube-version', KUBE_VERSION, '--values', '-'];
  return helm(args, JSON.stringify(values));
}

export function parsed(text: string): Rendered[] {
  const documents = parseAllDocuments(text);
  const broken = documents.flatMap(({ errors }) => errors);
  if (broken[0]) throw broken[0];
  return documents.flatMap((document) => (document.toJS() as Rendered | null) ?? []);
}

/** Kind, namespace and name. */
export function idOf({ kind, metadata: { namespace, name } }: Rendered): string {
  return [kind, namespace, name].filter(Boolean).join(' ');
}

/** The one object of this kind (and name). */
export function the(objects: readonly Rendered[], kind: string, name?: string): Rendered {
  const found = objects.filter((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
  const [first] = found;
  if (!first || found.length > 1) throw new Error(`${found.length} objects ${kind} ${name ?? ''}`);
  return first;
}

/** The chart as it is at a commit, unpacked into `folder`; undefined where that commit has none. */
export function chartAt(commit: string, folder: string): string | undefined {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: CHART, encoding: 'utf8' });
  if (git('cat-file', '-e', `${commit}:charts/countersign/Chart.yaml`).status !== 0) return undefined;
  const archive = execFileSync('git', ['archive', commit, 'charts/countersign'], {
    cwd: join(CHART, '../..'),
    maxBuffer: 2 ** 26,
  });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  return join(folder, 'charts/countersign');
}
