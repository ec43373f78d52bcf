// The configuration of `countersign serve`: one schema, from a YAML or JSON file to a frozen Config, every mistake at once.
import { type Static, Type } from 'typebox';
import { parseDocument } from 'yaml';
import { Namespace, Origin, Port } from './api/config-fields.ts';
import { Cidr, Closed, Duration, type FieldError, List, Name, SetOf } from './api/kind.ts';
import { isDnsLabel } from './api/metadata.ts';
import { schemaFaults } from './api/validate.ts';
import { LEADER_LEASE } from './commands/rights.ts';
import { parseNetwork, renderAddress, parseAddress } from './domain/address.ts';
import { parseDuration } from './domain/duration.ts';

/** Backends that reach out. */
const REMOTE_BACKENDS = ['acme', 'webhook'] as const;

/** Descriptions end in `; X when absent.`, from which the reference is made. */
export const ConfigSchema = Closed({
  externalURLs: Type.Optional(
    List(
      Origin('https', 'An origin.'),
      'Origins under which clients reach the ACME server; the first is the canonical one, which all URLs handed out begin with; https://SERVICE.NAMESPACE.svc when absent.',
      16,
    ),
  ),
  distributionURL: Type.Optional(
    Origin(
      'http',
      'Origin of the plain HTTP listener, as written into certificates for their CRL and issuer certificate; http://SERVICE.NAMESPACE.svc:PORT when absent.',
    ),
  ),
  namespace: Type.Optional(
    Namespace(
      'Namespace of the operator: its records, accounts, keys, and the Secrets of cluster issuers; the namespace of the ServiceAccount when absent.',
    ),
  ),
  watchNamespaces: Type.Optional(
    SetOf(
      Namespace('Name of a namespace.'),
      'Namespaces that are served, with the roles of deploy/per-namespace.yaml in each; all when absent.',
      64,
    ),
  ),
  clusterDomain: Type.Optional(
    Name('Domain in which the DNS of the cluster has its Services; cluster.local when absent.'),
  ),
  service: Type.Optional(
    Closed(
      {
        name: Type.Optional(
          Name(
            'Name of the Service in the namespace of the operator whose EndpointSlices list the replicas; countersign when absent.',
          ),
        ),
      },
      'The Service in front of the replicas.',
    ),
  ),
  listen: Type.Optional(
    Closed(
      {
        address: Type.Optional(
          Type.String({
            minLength: 2,
            maxLength: 45,
            accepts: 'an IP address',
            description: 'Address of this machine to listen on; all of them when absent.',
          }),
        ),
        acme: Type.Optional(Port('Port of the ACME server, HTTPS; 8443 when absent.')),
        distribution: Type.Optional(
          Port('Port of CRLs, issuer certificates, health and metrics, plain HTTP; 8080 when absent.'),
        ),
        peers: Type.Optional(Port('Port on which replicas ask each other, the same on all of them; 8444 when absent.')),
      },
      'Where the process listens.',
    ),
  ),
  trustProxy: Type.Optional(
    List(
      Cidr,
      'Proxies whose X-Forwarded-For header is believed as to where a request comes from; none when absent.',
      64,
    ),
  ),
  tls: Type.Optional(
    Closed(
      {
        secretName: Type.Optional(
          Name(
            'A Secret of type kubernetes.io/tls in the namespace of the operator, kept by somebody else; a certificate that the operator makes and renews when absent.',
          ),
        ),
      },
      'The certificate of the ACME server.',
    ),
  ),
  sealingKeys: Type.Optional(
    Closed(
      {
        rotateAfter: Type.Optional(
          Duration('How long a key seals URLs and signs objects before the next one does; 2160h when absent.'),
        ),
      },
      'The keys all replicas share.',
    ),
  ),
  leaderElection: Type.Optional(
    Closed(
      {
        leaseName: Type.Optional(
          Name(
            'Name of the Lease whose holder runs the controllers, to which the roles of deploy/ are held; countersign-leader when absent.',
          ),
        ),
      },
      'Which replica runs the controllers.',
    ),
  ),
  tenantBackends: Type.Optional(
    SetOf(
      Type.Enum(REMOTE_BACKENDS),
      'Backends that CAIssuers, the issuers of tenants, may have besides ca. They go where tenants say, with the network of the operator, but not to what validation never dials; none when absent.',
      REMOTE_BACKENDS.length,
    ),
  ),
  validation: Type.Optional(
    Closed(
      {
        deniedNetworks: Type.Optional(
          List(
            Cidr,
            'Networks that validation never dials, besides those it never dials anyway, such as the networks of nodes; none when absent.',
            256,
          ),
        ),
      },
      'Validation of challenges.',
    ),
  ),
  logging: Type.Optional(
    Closed(
      {
        level: Type.Optional(
          Type.Enum(['debug', 'info', 'warn', 'error'], {
            description: 'Least level of what is logged; info when absent.',
          }),
        ),
      },
      'The log, on standard error.',
    ),
  ),
});

type Given = Static<typeof ConfigSchema>;

/** Complete and checked. Durations are milliseconds. */
export interface Config {
  readonly externalURLs: readonly string[];
  readonly distributionURL: string;
  readonly namespace: string;
  /** Undefined: all. */
  readonly watchNamespaces: readonly string[] | undefined;
  readonly clusterDomain: string;
  readonly serviceName: string;
  readonly listen: {
    /** Undefined: all addresses. */
    readonly address: string | undefined;
    readonly acme: number;
    readonly distribution: number;
    readonly peers: number;
  };
  readonly trustProxy: readonly string[];
  /** Undefined: an own CA. */
  readonly tlsSecretName: string | undefined;
  readonly rotateAfterMs: number;
  readonly leaseName: string;
  /** Backends of CAIssuers besides `ca`. */
  readonly tenantBackends: readonly (typeof REMOTE_BACKENDS)[number][];
  readonly deniedNetworks: readonly string[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** Every mistake of a configuration. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly errors: readonly FieldError[];

  constructor(errors: readonly FieldError[]) {
    super(errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('\n'));
    this.errors = errors;
  }
}

/** Sealed URLs of a key must outlive it, so keys turn over no faster than this. */
const LEAST_ROTATION_MS = 24 * 3_600_000;
const ALIAS_LIMIT = 100;

/**
 * The configuration that `text` (YAML or JSON, perhaps empty) gives; `podNamespace` is that of the ServiceAccount, if any. Throws
 * ConfigError with every mistake.
 */
export function parseConfig(text: string, podNamespace: string | undefined): Config {
  const given = (valueOf(text) ?? {}) as Given;
  const mistakes = schemaFaults(ConfigSchema, given);
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  const config = complete(given, podNamespace);
  const wrong = ruleErrors(given, config);
  if (wrong.length > 0) throw new ConfigError(wrong);
  return frozen(config);
}

function valueOf(text: string): unknown {
  const parsed = parseDocument(text, { schema: 'core', uniqueKeys: true, prettyErrors: true });
  if (parsed.errors.length > 0)
    throw new ConfigError(
      parsed.errors.map(({ message }) => ({ path: '', message: (message.split('\n')[0] ?? '').replace(/:$/, '') })),
    );
  try {
    return parsed.toJS({ maxAliasCount: ALIAS_LIMIT });
  } catch (error) {
    throw new ConfigError([{ path: '', message: error instanceof Error ? error.message : String(error) }]);
  }
}

function complete(given: Given, podNamespace: string | undefined): Config {
  const listen = listenOf(given);
  return {
    ...namesOf(given, podNamespace, listen.distribution),
    ...secretsOf(given),
    listen,
    watchNamespaces: given.watchNamespaces,
    clusterDomain: given.clusterDomain ?? 'cluster.local',
    trustProxy: given.trustProxy ?? [],
    tenantBackends: given.tenantBackends ?? [],
    deniedNetworks: given.validation?.deniedNetworks ?? [],
    logLevel: given.logging?.level ?? 'info',
  };
}

function listenOf({ listen = {} }: Given): Config['listen'] {
  const { address, acme = 8443, distribution = 8080, peers = 8444 } = listen;
  return { address, acme, distribution, peers };
}

/** What the replicas are called, and by whom. */
function namesOf(given: Given, podNamespace: string | undefined, distributionPort: number) {
  const namespace = given.namespace ?? podNamespace ?? '';
  const serviceName = given.service?.name ?? 'countersign';
  const host = `${serviceName}.${namespace}.svc`;
  const { externalURLs = [`https://${host}`], distributionURL = `http://${host}:${distributionPort}` } = given;
  const leaseName = given.leaderElection?.leaseName ?? LEADER_LEASE;
  return { namespace, serviceName, externalURLs, distributionURL, leaseName };
}

function secretsOf({ tls, sealingKeys }: Given) {
  return { tlsSecretName: tls?.secretName, rotateAfterMs: parseDuration(sealingKeys?.rotateAfter ?? '2160h') };
}

function ruleErrors(given: Given, config: Config): FieldError[] {
  return [
    ...(isDnsLabel(config.namespace)
      ? []
      : [{ path: 'namespace', message: 'is required outside a cluster: the namespace of the operator' }]),
    ...config.externalURLs.flatMap((url, i) => originErrors(url, `externalURLs[${i}]`)),
    ...originErrors(config.distributionURL, 'distributionURL'),
    ...repeats(config.externalURLs, 'externalURLs'),
    ...addressErrors(config.listen.address),
    ...portErrors(config.listen),
    ...networkErrors(config.trustProxy, 'trustProxy'),
    ...networkErrors(config.deniedNetworks, 'validation.deniedNetworks'),
    ...rotationErrors(given, config),
  ];
}

/** As URLs are compared: lower case, no default port, no path. */
function originErrors(url: string, path: string): FieldError[] {
  const { origin } = URL.canParse(url) ? new URL(url) : { origin: '' };
  if (origin === url) return [];
  return [{ path, message: origin === '' ? 'must be a URL' : `must be written ${origin}` }];
}

function repeats(values: readonly string[], path: string): FieldError[] {
  return values.flatMap((value, i) =>
    values.indexOf(value) === i ? [] : [{ path: `${path}[${i}]`, message: `repeats ${value}` }],
  );
}

function addressErrors(address: string | undefined): FieldError[] {
  if (address === undefined) return [];
  const parsed = parseAddress(address);
  return parsed && renderAddress(parsed) === address
    ? []
    : [
        {
          path: 'listen.address',
          message: `must be an IP address${parsed ? `, written ${renderAddress(parsed)}` : ''}`,
        },
      ];
}

function portErrors({ acme, distribution, peers }: Config['listen']): FieldError[] {
  const ports = [
    ['listen.acme', acme],
    ['listen.distribution', distribution],
    ['listen.peers', peers],
  ] as const;
  return ports.flatMap(([path, port], i) => {
    const first = ports.slice(0, i).find((other) => other[1] === port);
    return first ? [{ path, message: `is ${port}, as ${first[0]} is: ports must differ` }] : [];
  });
}

function networkErrors(networks: readonly string[], path: string): FieldError[] {
  return networks.flatMap((network, i) =>
    parseNetwork(network) ? [] : [{ path: `${path}[${i}]`, message: 'must be a network such as 10.0.0.0/8' }],
  );
}

function rotationErrors({ sealingKeys }: Given, { rotateAfterMs }: Config): FieldError[] {
  return sealingKeys?.rotateAfter === undefined || rotateAfterMs >= LEAST_ROTATION_MS
    ? []
    : [{ path: 'sealingKeys.rotateAfter', message: 'must be 24h or more' }];
}

function frozen<T extends object>(value: T): T {
  for (const member of Object.values(value))
    if (typeof member === 'object' && member !== null) frozen(member as object);
  return Object.freeze(value);
}
