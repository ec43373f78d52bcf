#!/usr/bin/env node
// The program: one command each, wired in commands/.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const HELP = `Usage: countersign <command> [flags]

  serve      run the operator on a Kubernetes cluster, one of several replicas
  dev        run the ACME server here, on an embedded store and a folder of manifests
  check      say what is wrong with a configuration, with manifests, with a cluster
  get        list what a dev store holds: countersign get icert -o wide
  ca-bundle  tell ClusterIssuers of cert-manager what signed the certificate of the server

countersign <command> --help says more. countersign --version prints the version.
`;

const io = {
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
};

/** Node below this decodes Brotli unsafely (CVE-2026-111497); this program never decodes, but says so. */
const SAFE_NODE = [24, 22, 1] as const;

/** After a start there is time. */
const FLUSH_MS = 5000;

/**
 * Keeps what the modules compile to, which is most of the work of a start. In a folder of the user's own: whoever can write there
 * decides what runs here. Where there is none, every start compiles anew.
 */
function keepCompiled(): void {
  try {
    enableCompileCache(join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'countersign', 'compiled'));
    setTimeout(flushCompileCache, FLUSH_MS).unref();
  } catch {
    // No home.
  }
}

async function main([command, ...args]: readonly string[]): Promise<number> {
  checkNode(command);
  keepCompiled();
  if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
    process.stdout.write(HELP);
    return command === undefined ? 2 : 0;
  }
  if (command === '--version') {
    const { default: project } = await import('../package.json', { with: { type: 'json' } });
    process.stdout.write(`${project.version}\n`);
    return 0;
  }
  if (command === 'serve') return (await import('./commands/serve.ts')).runServe(args);
  if (command === 'dev') return (await import('./commands/dev.ts')).runDev(args);
  if (command === 'get') return (await import('./commands/get.ts')).runGet(args, { ...io, now: () => new Date() });
  if (command === 'check') return (await import('./commands/check.ts')).runCheck(args, io);
  if (command === 'ca-bundle') return (await import('./commands/ca-bundle.ts')).runCaBundle(args, io);
  process.stderr.write(`countersign: there is no command ${JSON.stringify(command)}\n\n${HELP}`);
  return 2;
}

function checkNode(command: string | undefined): void {
  const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number);
  const [safeMajor, safeMinor, safePatch] = SAFE_NODE;
  if (major < safeMajor) {
    process.stderr.write(`countersign: needs Node ${safeMajor} or newer; this is ${process.versions.node}\n`);
    process.exit(1);
  }
  const safe = major > safeMajor || minor > safeMinor || (minor === safeMinor && patch >= safePatch);
  if (safe || (command !== 'dev' && command !== 'serve')) return;
  process.stderr.write(
    `countersign: Node ${process.versions.node} has CVE-2026-111497; use ${SAFE_NODE.join('.')} or newer\n`,
  );
}

process.exitCode = await main(process.argv.slice(2));
