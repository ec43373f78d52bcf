// Flags of `countersign check`.
import { parseArgs } from 'node:util';
import { UsageError } from './dev-flags.ts';

export interface CheckFlags {
  config: string | undefined;
  kubeconfig: string | undefined;
  /** Files and folders of manifests. */
  manifests: readonly string[];
}

export const CHECK_HELP = `Usage: countersign check [flags] [manifests…]

Says every mistake in a configuration and in manifests (files or folders), each with its place, without a cluster. With --kubeconfig,
also whether that cluster serves the kinds, whether that user has the rights of the operator, and whether the Secrets that issuers and
configuration name exist.

  --config FILE       configuration of \`countersign serve\`; where it names no namespace, countersign-system is meant
  --kubeconfig FILE   a cluster, as the user that is to be checked

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong flags.
`;

const OPTIONS = { config: { type: 'string' }, kubeconfig: { type: 'string' } } as const;

/** Throws UsageError. */
export function parseCheckFlags(args: readonly string[]): CheckFlags {
  const { values, positionals } = parse(args);
  const flags = { config: values.config, kubeconfig: values.kubeconfig, manifests: positionals };
  if (flags.config === undefined && flags.kubeconfig === undefined && positionals.length === 0)
    throw new UsageError('nothing to check: give --config, --kubeconfig or manifests');
  return flags;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
