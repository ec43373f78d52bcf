// Builds the Go programs that the tests run, pinned by test/tools/go.mod, into <cache>/bin.
//   node scripts/build-tools.ts [name…]
// The cache folder is COUNTERSIGN_CACHE, by default ~/.cache/countersign; the Go command is GO, by default go. A tool whose
// pins, own source and Go version are those of the last build is left alone.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';

const MODULE = resolve(import.meta.dirname, '../test/tools');

/** The quick and most wanted ones first. */
const TOOLS: Readonly<Record<string, string>> = {
  pebble: 'github.com/letsencrypt/pebble/v2/cmd/pebble',
  xcryptoacme: './cmd/xcryptoacme',
  lego: 'github.com/go-acme/lego/v4/cmd/lego',
  zlint: 'github.com/zmap/zlint/v3/cmd/zlint',
  caddy: 'github.com/caddyserver/caddy/v2/cmd/caddy',
};

function go(...args: string[]): string {
  return execFileSync(process.env['GO'] ?? 'go', args, {
    cwd: MODULE,
    encoding: 'utf8',
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** What a build depends on; another program's pins count too, since one module resolves them together. */
function inputs(name: string, goVersion: string): string {
  const hash = createHash('sha256').update(`${goVersion}\n${TOOLS[name]}\n`);
  for (const file of ['go.mod', 'go.sum', ...globSync(`cmd/${name}/**/*.go`, { cwd: MODULE }).sort()]) {
    hash.update(`${file}\n`).update(readFileSync(join(MODULE, file)));
  }
  return hash.digest('hex');
}

function build(name: string, bin: string, goVersion: string): void {
  const [target, stamp] = [join(bin, name), join(bin, `.${name}.inputs`)];
  const wanted = inputs(name, goVersion);
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    console.log(`${name}: up to date`);
    return;
  }
  const started = performance.now();
  // Built beside its place and moved there, so that a program in use is never half written.
  const fresh = join(bin, `.${name}.${process.pid}`);
  try {
    go('build', '-o', fresh, TOOLS[name] ?? '');
    renameSync(fresh, target);
    writeFileSync(stamp, wanted);
  } finally {
    rmSync(fresh, { force: true });
  }
  console.log(`${name}: built in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

function main(names: readonly string[]): void {
  const unknown = names.filter((name) => !(name in TOOLS));
  if (unknown.length > 0) throw new Error(`no tool ${unknown.join(', ')}; there are ${Object.keys(TOOLS).join(', ')}`);
  const bin = join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'bin');
  mkdirSync(bin, { recursive: true });
  let version: string;
  try {
    version = go('version');
  } catch {
    throw new Error('Go is needed (the version in test/tools/go.mod or newer) and `go version` does not run');
  }
  for (const name of names.length > 0 ? names : Object.keys(TOOLS)) build(name, bin, version);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`build-tools: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
