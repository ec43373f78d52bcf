// `countersign check`: says what is wrong with a configuration, with manifests and with a cluster, before anything runs on it.
import { type Config, ConfigError } from '../config.ts';
import { oneLine } from '../domain/remote-text.ts';
import { createClock } from '../runtime/clock.ts';
import { createRandom } from '../runtime/random.ts';
import { checkCluster, closedBackends, issuersAmong } from './check-cluster.ts';
import { CHECK_HELP, type CheckFlags, parseCheckFlags } from './check-flags.ts';
import { readConfig } from './config-file.ts';
import { connectCluster } from './connection.ts';
import { UsageError } from './dev-flags.ts';
import { loadManifestPaths, type Manifest, renderManifestError } from './manifest-files.ts';

/** Where the operator is meant to run if the configuration leaves that to the Pod; as in deploy/. */
const NAMESPACE = 'countersign-system';

export interface CheckIO {
  out: (text: string) => void;
  err: (text: string) => void;
}

/** Exit codes: 0 nothing is wrong, 1 something is, 2 wrong flags. */
export async function runCheck(args: readonly string[], io: CheckIO): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(CHECK_HELP);
    return 0;
  }
  try {
    const flags = parseCheckFlags(args);
    const { lines, checked } = await check(flags);
    // Lines name what is in files and in the cluster, written by whoever.
    for (const line of lines) io.out(`${oneLine(line)}\n`);
    io.err(`countersign: ${lines.length === 0 ? 'nothing' : lines.length} wrong with ${oneLine(checked.join(', '))}\n`);
    return lines.length === 0 ? 0 : 1;
  } catch (error) {
    io.err(`countersign: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

interface Checked {
  /** Mistakes. */
  lines: string[];
  /** What was looked at, for people. */
  checked: string[];
}

async function check(flags: CheckFlags): Promise<Checked> {
  const configured = checkConfig(flags);
  const { manifests, errors } = manifestsOf(flags.manifests);
  const lines = [...configured.lines, ...errors];
  const checked = [
    ...(flags.config === undefined ? [] : [flags.config]),
    ...(flags.manifests.length === 0 ? [] : [`${manifests.length} objects`]),
  ];
  if (flags.kubeconfig === undefined) {
    if (configured.config) lines.push(...closedBackends(configured.config, issuersAmong(manifests)));
    return { lines, checked };
  }
  if (!configured.config) {
    lines.push('the cluster was not looked at: first mend the configuration');
    return { lines, checked };
  }
  const found = await overThere(flags.kubeconfig, configured.config, manifests);
  return { lines: [...lines, ...found.lines], checked: [...checked, ...found.checked] };
}

/** Without --config there is one only where a cluster is to be checked. */
function checkConfig({ config: path, kubeconfig }: CheckFlags): { config?: Config; lines: string[] } {
  if (path === undefined && kubeconfig === undefined) return { lines: [] };
  try {
    return { config: readConfig(path, NAMESPACE), lines: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const file = path ?? 'the configuration';
    return { lines: error.message.split('\n').map((line) => `${file}: ${line}`) };
  }
}

function manifestsOf(paths: readonly string[]): { manifests: readonly Manifest[]; errors: string[] } {
  try {
    const { manifests, errors } = loadManifestPaths(paths);
    return { manifests, errors: errors.map(renderManifestError) };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function overThere(kubeconfig: string, config: Config, manifests: readonly Manifest[]): Promise<Checked> {
  const deps = { clock: createClock(), random: createRandom() };
  const { cluster, server, may } = await connectCluster(kubeconfig, deps);
  // While it waits to ask again, nothing else keeps the process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    return {
      lines: await checkCluster({ ...cluster, may }, config, manifests),
      checked: [`the cluster at ${server.origin}`],
    };
  } finally {
    clearInterval(alive);
    cluster.close();
  }
}
