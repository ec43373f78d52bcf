// `countersign ca-bundle`: puts what signed the certificate of the ACME server into caBundle of ClusterIssuers of cert-manager.
import { parseArgs } from 'node:util';
import { SecretKind } from '../api/core.ts';
import { CertManagerClusterIssuerKind } from '../api/foreign.ts';
import { type Config, ConfigError } from '../config.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { oneLine } from '../domain/remote-text.ts';
import { trustBundle } from '../domain/trust-anchors.ts';
import type { Clock, Cluster } from '../ports.ts';
import { createClock } from '../runtime/clock.ts';
import { createRandom } from '../runtime/random.ts';
import type { CheckIO } from './check.ts';
import { readConfig } from './config-file.ts';
import { connectCluster } from './connection.ts';
import { UsageError } from './dev-flags.ts';
import { SERVING_SECRET } from './serving-tls.ts';

const HELP = `Usage: countersign ca-bundle --cluster-issuers NAME,… [flags]

Puts what signed the certificate of the ACME server into spec.acme.caBundle of ClusterIssuers of cert-manager that ask this operator. Waits
for them, and for the certificate, and ends when all of them have it.

  --cluster-issuers NAME,…  the ClusterIssuers
  --config FILE             configuration of \`countersign serve\`
  --kubeconfig FILE         how to reach the cluster from outside
  --timeout SECONDS         how long it waits (default 300)

Exit codes: 0 all of them have it, 1 some do not, 2 wrong flags or configuration.
`;

const OPTIONS = {
  'cluster-issuers': { type: 'string' },
  config: { type: 'string' },
  kubeconfig: { type: 'string' },
  timeout: { type: 'string', default: '300' },
} as const;

export async function runCaBundle(args: readonly string[], io: CheckIO): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(HELP);
    return 0;
  }
  try {
    const flags = flagsOf(args);
    const [clock, random] = [createClock(), createRandom()];
    const { cluster } = await connectCluster(flags.kubeconfig, { clock, random });
    // A clock's sleep alone does not keep the process alive.
    const alive = setInterval(() => undefined, 2 ** 30);
    try {
      const { issuers, timeoutMs } = flags;
      const wanting = await setCaBundles({ cluster, clock, config: readConfig(flags.config), issuers, timeoutMs });
      for (const line of wanting) io.err(`countersign: ${oneLine(line)}\n`);
      return wanting.length === 0 ? 0 : 1;
    } finally {
      clearInterval(alive);
      cluster.close();
    }
  } catch (error) {
    io.err(`countersign: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
    return error instanceof UsageError || error instanceof ConfigError ? 2 : 1;
  }
}

function flagsOf(args: readonly string[]) {
  const { 'cluster-issuers': list = '', config, kubeconfig, timeout } = parsed(args);
  const issuers = list.split(',').filter((name) => name !== '');
  const seconds = Number(timeout);
  if (issuers.length === 0) throw new UsageError('--cluster-issuers must name at least one');
  if (!(seconds >= 0)) throw new UsageError('--timeout must be a number of seconds');
  return { issuers, config, kubeconfig, timeoutMs: seconds * 1000 };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

export interface CaBundlesDeps {
  cluster: Pick<Cluster, 'get' | 'replace'>;
  clock: Clock;
  config: Pick<Config, 'namespace' | 'tlsSecretName' | 'externalURLs'>;
  issuers: readonly string[];
  timeoutMs: number;
}

const PAUSE_MS = 2000;

/** What is still wanting when the time is up, a line each; empty where all have it. */
export async function setCaBundles(deps: CaBundlesDeps): Promise<string[]> {
  const { clock, issuers, timeoutMs } = deps;
  const end = clock.monotonic() + timeoutMs;
  for (;;) {
    const wanting = (await Promise.all(issuers.map((name) => setOne(deps, name)))).filter((line) => line !== undefined);
    if (wanting.length === 0 || clock.monotonic() >= end) return wanting;
    await clock.sleep(PAUSE_MS);
  }
}

/** Why the ClusterIssuer does not have it. */
async function setOne(deps: CaBundlesDeps, name: string): Promise<string | undefined> {
  try {
    const caBundle = await servingCA(deps);
    if (caBundle === undefined) return 'there is no certificate of the ACME server with a ca.crt yet';
    const issuer = await deps.cluster.get(CertManagerClusterIssuerKind, { name });
    const { acme } = issuer?.spec ?? {};
    if (!issuer || !acme) return `there is no ClusterIssuer ${name} for ACME`;
    const origin = URL.canParse(acme.server ?? '') ? new URL(acme.server ?? '').origin : '';
    if (!deps.config.externalURLs.includes(origin)) return `ClusterIssuer ${name} does not ask this operator`;
    if (acme.caBundle === caBundle) return undefined;
    const spec = { ...issuer.spec, acme: { ...acme, caBundle } };
    await deps.cluster.replace(CertManagerClusterIssuerKind, { ...issuer, spec });
    return undefined;
  } catch (error) {
    if (isClusterError(error)) return `ClusterIssuer ${name}: ${error.message}`;
    throw error;
  }
}

/** Base64 of PEM, as cert-manager has it. */
async function servingCA({ cluster, clock, config }: CaBundlesDeps): Promise<string | undefined> {
  const name = config.tlsSecretName ?? SERVING_SECRET;
  const secret = await cluster.get(SecretKind, { namespace: config.namespace, name });
  const pem = trustBundle(Buffer.from(secret?.data?.['ca.crt'] ?? '', 'base64').toString('latin1'), clock.now());
  return pem === '' ? undefined : Buffer.from(pem).toString('base64');
}
