// Flags of `countersign serve`.
import { parseArgs } from 'node:util';
import { parseAddress, renderAddress } from '../domain/address.ts';
import { UsageError } from './dev-flags.ts';

export interface ServeFlags {
  /** Undefined: defaults alone. */
  config: string | undefined;
  kubeconfig: string | undefined;
  /** Where other replicas reach this one; found out when undefined. */
  address: string | undefined;
}

export const SERVE_HELP = `Usage: countersign serve [flags]

Runs the operator on a Kubernetes cluster: one of several replicas. Where to find the cluster: --kubeconfig, else KUBECONFIG, else the
ServiceAccount of the pod, else ~/.kube/config.

  --config FILE       configuration, YAML or JSON (docs/reference/configuration.md); defaults alone without it
  --kubeconfig FILE   how to reach the cluster from outside
  --address IP        address at which other replicas reach this one (default: listen.address of the configuration, else the first
                      address of this machine outside loopback)

Prints \`ready directory=<url>\` on standard output when it serves. SIGTERM ends it in good order, a second one at once.
Exit codes: 0 ended as told, 1 could not run, 2 wrong flags or configuration.
`;

const OPTIONS = {
  config: { type: 'string' },
  kubeconfig: { type: 'string' },
  address: { type: 'string' },
} as const;

/** Throws UsageError. */
export function parseServeFlags(args: readonly string[]): ServeFlags {
  const { config, kubeconfig, address } = parse(args);
  return { config, kubeconfig, address: address === undefined ? undefined : canonical(address) };
}

function canonical(address: string): string {
  const parsed = parseAddress(address);
  if (!parsed) throw new UsageError(`--address must be an IP address, not ${JSON.stringify(address)}`);
  return renderAddress(parsed);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
