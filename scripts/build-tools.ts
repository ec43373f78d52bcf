// Builds the programs that the tests run: those in Go, pinned by test/tools/go.mod (Helm, CoreDNS and cert-manager by ones of their own, as they
// need other versions of the same modules), into <cache>/bin, and the double of EJBCA, in Java and pinned by its pom.xml, into <cache>/ejbca-double; copies what
// they read of other modules into folders beside it; and installs Serles from PyPI into a virtual environment of Python, <cache>/serles.
//   node scripts/build-tools.ts [name…]
// The cache folder is COUNTERSIGN_CACHE, by default ~/.cache/countersign; the Go command is GO, by default go; Maven's MVN, by default mvn;
// Python's PYTHON, by default python3. A tool whose modules, own source, flags and Go version are those of the last build is left alone.
// kube-apiserver takes some minutes.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';

const MODULE = resolve(import.meta.dirname, '../test/tools');

interface Tool {
  package: string;
  /** Folder of its go.mod below MODULE; MODULE itself when absent. */
  module?: string;
  /** Flags of `go build`; absent for none. */
  flags?: () => string[];
  /** Only a bench at full length wants it: built when it is named. */
  onlyNamed?: true;
}

/** The quick and most wanted ones first. */
const TOOLS: Readonly<Record<string, Tool>> = {
  pebble: { package: 'github.com/letsencrypt/pebble/v2/cmd/pebble' },
  xcryptoacme: { package: './cmd/xcryptoacme' },
  pause: { package: './cmd/pause', flags: () => stripped() },
  lego: { package: 'github.com/go-acme/lego/v4/cmd/lego' },
  zlint: { package: 'github.com/zmap/zlint/v3/cmd/zlint' },
  caddy: { package: 'github.com/caddyserver/caddy/v2/cmd/caddy' },
  helm: { package: 'helm.sh/helm/v4/cmd/helm', module: 'helm', flags: () => stripped() },
  etcd: { package: 'go.etcd.io/etcd/server/v3', flags: () => stripped() },
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubelet: kubernetes('kubelet'),
  'kube-proxy': kubernetes('kube-proxy'),
  kubectl: kubernetes('kubectl'),
  coredns: { package: 'github.com/coredns/coredns', module: 'coredns', flags: () => stripped() },
  'cert-manager-controller': certManager('cert-manager-controller'),
  'cert-manager-webhook': certManager('cert-manager-webhook'),
  'cert-manager-acmesolver': certManager('cert-manager-acmesolver'),
  ingress: certManager('ingress'),
  'step-ca': { package: 'github.com/smallstep/certificates/cmd/step-ca', onlyNamed: true },
};

function kubernetes(program: string): Tool {
  return { package: `k8s.io/kubernetes/cmd/${program}`, flags: () => stripped(...kubernetesVersion()) };
}

function certManager(program: string): Tool {
  return { package: `./cmd/${program}`, module: 'cert-manager', flags: () => stripped() };
}

interface Files {
  module: string;
  /** As `go mod download` says it. */
  sum: string;
  folder: string;
  /** Below it; all when absent. */
  files?: readonly string[];
}

/** Folders of the cache. */
const FOLDERS: Readonly<Record<string, Files>> = {
  'prometheus-operator-crds': {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    folder: 'example/prometheus-operator-crd',
    files: ['monitoring.coreos.com_prometheusrules.yaml', 'monitoring.coreos.com_servicemonitors.yaml'],
  },
  'cert-manager-chart': {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    sum: 'h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=',
    folder: 'deploy/charts/cert-manager',
  },
};

/** Without debugging data and paths; `more` are flags of the linker. */
function stripped(...more: readonly string[]): string[] {
  return ['-trimpath', '-ldflags', ['-s -w', ...more].join(' ')];
}

/** As a release's own build says it: without, the API server calls itself v0.0.0. */
function kubernetesVersion(): string[] {
  const version = go('', 'list', '-m', '-f', '{{.Version}}', 'k8s.io/kubernetes').trim();
  const [major, minor] = version.slice(1).split('.');
  const facts = { gitVersion: version, gitMajor: major, gitMinor: minor };
  return Object.entries(facts).map(([name, fact]) => `-X k8s.io/component-base/version.${name}=${fact}`);
}

function go(module: string, ...args: string[]): string {
  return execFileSync(process.env['GO'] ?? 'go', args, {
    cwd: join(MODULE, module),
    encoding: 'utf8',
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Path and version of every module that goes into a program. */
const MODULES = '{{with .Module}}{{.Path}} {{.Version}}{{with .Replace}} => {{.Path}} {{.Version}}{{end}}{{end}}';

/** What a build depends on: another program's pins do not count, though one module resolves them together. */
function inputs(name: string, tool: Tool, goVersion: string): string {
  const modules = new Set(go(tool.module ?? '', 'list', '-deps', '-f', MODULES, tool.package).split('\n'));
  const facts = [goVersion, tool.package, tool.flags?.(), [...modules].sort()];
  const hash = createHash('sha256').update(JSON.stringify(facts));
  const folder = join(MODULE, tool.module ?? '');
  for (const file of globSync(`cmd/${name}/**/*.go`, { cwd: folder }).sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(folder, file)));
  }
  return hash.digest('hex');
}

function build(name: string, tool: Tool, bin: string, goVersion: string): void {
  const [target, stamp] = [join(bin, name), join(bin, `.${name}.inputs`)];
  const wanted = inputs(name, tool, goVersion);
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    console.log(`${name}: up to date`);
    return;
  }
  const started = performance.now();
  // Built beside its place and moved there, so that a program in use is never half written.
  const fresh = join(bin, `.${name}.${process.pid}`);
  try {
    go(tool.module ?? '', 'build', ...(tool.flags?.() ?? []), '-o', fresh, tool.package);
    renameSync(fresh, target);
    writeFileSync(stamp, wanted);
  } finally {
    rmSync(fresh, { force: true });
  }
  console.log(`${name}: built in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

function copy(name: string, { module, sum, folder, files }: Files, cache: string): void {
  const [target, stamp] = [join(cache, name), join(cache, name, '.sum')];
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === sum) {
    console.log(`${name}: up to date`);
    return;
  }
  const { Dir: from, Sum: found } = JSON.parse(go('', 'mod', 'download', '-json', module)) as Record<string, string>;
  if (from === undefined || found !== sum) throw new Error(`${module} has the sum ${found}, not ${sum}`);
  mkdirSync(target, { recursive: true });
  for (const file of files ?? globSync('**/*.*', { cwd: join(from, folder) })) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    writeFileSync(join(target, file), readFileSync(join(from, folder, file)));
  }
  writeFileSync(stamp, sum);
  console.log(`${name}: copied`);
}

const EJBCA_DOUBLE = 'ejbca-double';
const EJBCA_SOURCE = resolve(import.meta.dirname, '../test/support/ejbca');

/** Without Maven, and not asked for by name, it is left out: the tests that need it say so. */
function buildEjbcaDouble(cache: string, isAskedFor: boolean): void {
  const maven = process.env['MVN'] ?? 'mvn';
  if (spawnSync(maven, ['-v']).status !== 0) {
    if (isAskedFor) throw new Error('Maven and a JDK of Java 17 or newer are needed and `mvn -v` does not run');
    console.log(`${EJBCA_DOUBLE}: left out, there is no Maven`);
    return;
  }
  const target = join(cache, EJBCA_DOUBLE);
  const hash = createHash('sha256');
  for (const file of globSync('{pom.xml,src/**/*.java}', { cwd: EJBCA_SOURCE }).sort())
    hash.update(`${file}\n`).update(readFileSync(join(EJBCA_SOURCE, file)));
  const [stamp, wanted] = [join(target, '.inputs'), hash.digest('hex')];
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    console.log(`${EJBCA_DOUBLE}: up to date`);
    return;
  }
  const fresh = `${target}.${process.pid}`;
  try {
    const options = ['-q', '-B', '-f', join(EJBCA_SOURCE, 'pom.xml'), `-DbuildDirectory=${fresh}`, 'package'];
    execFileSync(maven, options, { stdio: ['ignore', 'inherit', 'inherit'] });
    writeFileSync(join(fresh, '.inputs'), wanted);
    rmSync(target, { recursive: true, force: true });
    renameSync(fresh, target);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  console.log(`${EJBCA_DOUBLE}: built`);
}

/** By name: what it needs beside Go, and how it is made. Left out where that is missing, unless it was asked for by name. */
const OTHERS: Readonly<Record<string, (cache: string, isAskedFor: boolean) => void>> = {
  [EJBCA_DOUBLE]: buildEjbcaDouble,
  serles: installSerles,
};

const SERLES = ['serles-acme==1.3.0', 'zeep==4.3.3', 'lxml==6.1.3'];

function installSerles(cache: string, isAskedFor: boolean): void {
  const python = process.env['PYTHON'] ?? 'python3';
  if (spawnSync(python, ['-c', 'import venv, ensurepip']).status !== 0) {
    if (isAskedFor)
      throw new Error('Python 3 with venv is needed and `python3 -c "import venv, ensurepip"` does not run');
    console.log('serles: left out, there is no Python 3 with venv');
    return;
  }
  const [target, wanted] = [join(cache, 'serles'), SERLES.join('\n')];
  const stamp = join(target, '.inputs');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    console.log('serles: up to date');
    return;
  }
  execFileSync(python, ['-m', 'venv', '--clear', target], { stdio: ['ignore', 'ignore', 'inherit'] });
  const options = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...SERLES];
  execFileSync(join(target, 'bin', 'python'), options, { stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, wanted);
  console.log('serles: installed');
}

function main(names: readonly string[]): void {
  const known = [...Object.keys(TOOLS), ...Object.keys(FOLDERS), ...Object.keys(OTHERS)];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`no tool ${unknown.join(', ')}; there are ${known.join(', ')}`);
  const cache = process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign');
  const bin = join(cache, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const [name, build] of Object.entries(OTHERS))
    if (names.length === 0 || names.includes(name)) build(cache, names.includes(name));
  if (names.length > 0 && names.every((name) => name in OTHERS)) return;
  let version: string;
  try {
    version = go('', 'version');
  } catch {
    throw new Error('Go is needed (the version in test/tools/go.mod or newer) and `go version` does not run');
  }
  for (const [name, tool] of Object.entries(TOOLS)) {
    if (names.includes(name) || (names.length === 0 && !tool.onlyNamed)) build(name, tool, bin, version);
  }
  for (const [name, files] of Object.entries(FOLDERS)) {
    if (names.length === 0 || names.includes(name)) copy(name, files, cache);
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`build-tools: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
