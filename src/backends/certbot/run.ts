// The run of certbot for one request: its arguments, and the files it finds.
import type { CertbotBackendSpec } from '../../api/certbot-backend.ts';
import { parseDuration } from '../../domain/duration.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { renderPem } from '../../domain/encoding.ts';
import type { BackendDeps, CertbotRun, SigningRequest } from '../../ports.ts';
import { readValue } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { ACCOUNT_KEY, accountFolder, accountName } from './account-secret.ts';
import type { Opened } from './client.ts';
import { requireCredentials } from './credentials.ts';
import { HOOK_PROGRAM } from './program.ts';

const DEFAULT_DEADLINE_MS = 600_000;
const DEFAULT_REQUESTS = { cpu: '50m', memory: '96Mi' };
const DEFAULT_LIMITS = { memory: '256Mi' };

const FILES = { csr: 'csr.pem', ca: 'ca.pem', hook: 'hook.py', credentials: 'credentials.ini' } as const;

export interface RunOptions {
  /** Name of the issuer. */
  issuer: string;
  spec: CertbotBackendSpec;
  opened: Opened;
  accountURL: string;
}

/** Throws RemoteFault for what is missing. */
export async function runOf(
  deps: BackendDeps,
  request: SigningRequest,
  { issuer, spec, opened, accountURL }: RunOptions,
): Promise<CertbotRun> {
  const account = await accountOf(deps, spec);
  const folder = accountFolder(opened.configuration.server, account);
  if (spec.dns01) await requireCredentials(deps, spec.dns01.credentialsSecretRef);
  const bundle = await bundleOf(deps, spec);
  return {
    name: request.id,
    issuer,
    arguments: argumentsOf(spec, opened, account),
    files: {
      [FILES.csr]: renderPem('CERTIFICATE REQUEST', request.csr),
      [`${folder}/regr.json`]: JSON.stringify({ body: {}, uri: accountURL }),
      [`${folder}/meta.json`]: JSON.stringify({ creation_dt: '2000-01-01T00:00:00Z', creation_host: 'countersign' }),
      ...(spec.dns01 ? {} : { [FILES.hook]: HOOK_PROGRAM }),
      ...(bundle === undefined ? {} : { [FILES.ca]: bundle }),
    },
    ...(bundle === undefined ? {} : { caBundle: FILES.ca }),
    secrets: {
      [`${folder}/${ACCOUNT_KEY}`]: { name: spec.account.keySecretRef.name, key: ACCOUNT_KEY },
      ...(spec.dns01 ? { [FILES.credentials]: spec.dns01.credentialsSecretRef } : {}),
    },
    deadlineMs: spec.deadline === undefined ? DEFAULT_DEADLINE_MS : parseDuration(spec.deadline),
    pod: podOf(spec),
  };
}

export function podOf({ image, imagePullSecrets, resources, nodeSelector }: CertbotBackendSpec): CertbotRun['pod'] {
  return {
    image,
    imagePullSecrets: (imagePullSecrets ?? []).map(({ name }) => name),
    resources: resources
      ? { requests: { ...resources.requests }, limits: { ...resources.limits } }
      : { requests: DEFAULT_REQUESTS, limits: DEFAULT_LIMITS },
    nodeSelector: nodeSelector ?? {},
  };
}

async function accountOf({ secrets }: BackendDeps, { account }: CertbotBackendSpec): Promise<string> {
  const { name } = account.keySecretRef;
  const values = await secrets.read(name);
  if (values?.[ACCOUNT_KEY]) return accountName(values);
  throw new RemoteFault('SecretKeyMissing', `Secret ${name} has no key ${ACCOUNT_KEY}`);
}

/** Of what it holds the certificates alone: runs may be seen by more people than Secrets, and keys lie beside certificates at times. */
async function bundleOf(deps: BackendDeps, { caBundle, caBundleRef }: CertbotBackendSpec): Promise<string | undefined> {
  const text = caBundleRef ? (await readValue(deps, caBundleRef)).toString('latin1') : caBundle;
  if (text === undefined) return undefined;
  try {
    return parsePemCertificates(text)
      .map((certificate) => renderPem('CERTIFICATE', certificate))
      .join('');
  } catch (error) {
    throw new RemoteFault('CaBundleUnusable', 'the CA bundle is a broken PEM text', { cause: error });
  }
}

/** Paths are those of a fresh folder: certbot does not write over files, and loses the certificate where it finds one. */
function argumentsOf(spec: CertbotBackendSpec, { configuration }: Opened, account: string): string[] {
  return [
    'certonly',
    '--non-interactive',
    '--agree-tos',
    '--csr',
    FILES.csr,
    '--cert-path',
    'out/cert.pem',
    '--chain-path',
    'out/chain.pem',
    '--fullchain-path',
    'out/fullchain.pem',
    '--config-dir',
    'config',
    '--work-dir',
    'work',
    '--logs-dir',
    'logs',
    '--server',
    configuration.server,
    '--account',
    account,
    ...configuration.arguments,
    ...(spec.dns01 ? dns01Arguments(spec.dns01) : HTTP01_ARGUMENTS),
  ];
}

const HTTP01_ARGUMENTS = [
  '--authenticator',
  'manual',
  '--preferred-challenges',
  'http',
  '--manual-auth-hook',
  `python3 ${FILES.hook}`,
];

function dns01Arguments({ plugin, propagation }: NonNullable<CertbotBackendSpec['dns01']>): string[] {
  const seconds = propagation === undefined ? undefined : Math.ceil(parseDuration(propagation) / 1000);
  return [
    '--authenticator',
    `dns-${plugin}`,
    '--preferred-challenges',
    'dns',
    `--dns-${plugin}-credentials`,
    FILES.credentials,
    ...(seconds === undefined ? [] : [`--dns-${plugin}-propagation-seconds`, String(seconds)]),
  ];
}
