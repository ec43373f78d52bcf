// Flags of `countersign dev`.
import { parseArgs } from 'node:util';

export interface DevFlags {
  /** Folder of store, certificates and Secrets; undefined with --memory. */
  data: string | undefined;
  manifests: string;
  port: number;
  httpPort: number;
  /** Issuer of the ready line, as of parseIssuerName; the first by name when absent. */
  issuer: string | undefined;
  /** Name server asked instead of the system's. */
  resolver: string | undefined;
  http01Port: number;
  tlsAlpn01Port: number;
}

/** What the user typed cannot be meant: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const DEV_HELP = `Usage: countersign dev [flags]

Runs the ACME server on this machine, on an embedded store, with the manifests of a folder.

  --data DIR             store, certificates and Secrets (default ./countersign-data)
  --memory               keep nothing beyond the process
  --manifests DIR        YAML files of issuers, policies, claims, Secrets, Namespaces (default ./manifests)
  --port N               ACME server, HTTPS (default 8443)
  --http-port N          CRLs, issuer certificates, health, metrics, plain HTTP (default 8080)
  --issuer NAME          issuer whose directory the ready line names (default: the first ClusterCAIssuer
                         by name); NAMESPACE/NAME for a CAIssuer
  --resolver HOST:PORT   name server for validation (default: the system's)
  --http01-port N        port asked for http-01 challenges (default 5080)
  --tls-alpn01-port N    port asked for tls-alpn-01 challenges (default 5443)
`;

const OPTIONS = {
  data: { type: 'string' },
  memory: { type: 'boolean' },
  manifests: { type: 'string' },
  port: { type: 'string' },
  'http-port': { type: 'string' },
  issuer: { type: 'string' },
  resolver: { type: 'string' },
  'http01-port': { type: 'string' },
  'tls-alpn01-port': { type: 'string' },
} as const;

/** Throws UsageError naming every mistake. */
export function parseDevFlags(args: readonly string[]): DevFlags {
  const values = parse(args);
  const mistakes: string[] = [];
  const port = (flag: 'port' | 'http-port' | 'http01-port' | 'tls-alpn01-port', fallback: number): number => {
    const text = values[flag];
    if (text === undefined) return fallback;
    const number = Number(text);
    if (/^\d{1,5}$/.test(text) && number >= 1 && number <= 65_535) return number;
    mistakes.push(`--${flag} must be a port from 1 to 65535, not ${JSON.stringify(text)}`);
    return fallback;
  };
  const flags: DevFlags = {
    data: values.memory ? undefined : (values.data ?? 'countersign-data'),
    manifests: values.manifests ?? 'manifests',
    port: port('port', 8443),
    httpPort: port('http-port', 8080),
    issuer: values.issuer,
    resolver: values.resolver,
    http01Port: port('http01-port', 5080),
    tlsAlpn01Port: port('tls-alpn01-port', 5443),
  };
  if (values.memory && values.data !== undefined)
    mistakes.push('--memory keeps nothing, so it does not go with --data');
  if (flags.port === flags.httpPort) mistakes.push('--port and --http-port must differ');
  if (mistakes.length > 0) throw new UsageError(mistakes.join('\n'));
  return flags;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
