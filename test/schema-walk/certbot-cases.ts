// Effects of the fields of the certbot backend: on the runs that it begins, and on what it asks of an ACME server itself.
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { CertbotBackendSpec } from '../../src/api/certbot-backend.ts';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { certbotBackend } from '../../src/backends/certbot/index.ts';
import { podSpecOf } from '../../src/backends/certbot/pod.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { anIssuer, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { createFakeRuns, MARKER } from '../fakes/certbot-runner.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { type AcmeDouble, startAcmeDouble } from '../support/acme-double.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { ABSENT, type FieldCase } from './field-case.ts';

/** What stands in the cases for what is known only once the server runs. */
const [ROOT, BUNDLE, OTHER] = ['root', 'bundle', 'other'].map((name) =>
  pemOf('CERTIFICATE', buildCaCertificate(name, createKeyPair())),
);
const DIRECTORY = 'https://certbot-ca.test/dir';
const CONFIG = `server = ${DIRECTORY}\n`;
const TERMS = 'https://certbot-ca.test/terms';

const running: { double?: Promise<AcmeDouble> } = {};

export async function stopCertbot(): Promise<void> {
  await (await running.double)?.server.stop();
}

const key = () =>
  JSON.stringify(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }));

const MACS = [randomBytes(32), randomBytes(32)].map((mac) => mac.toString('base64url'));
const SECRETS: Record<string, Record<string, string>> = {
  'key-a': { 'private_key.json': key() },
  'key-b': { 'private_key.json': key() },
  eab: { one: MACS[0] ?? '', two: MACS[1] ?? '' },
  'eab-2': { one: MACS[1] ?? '' },
  dns: { ini: 'a = 1', other: 'b = 2' },
  'dns-2': { ini: 'b = 2' },
};

const none = new AbortController().signal;

/** What comes of a spec, and what was begun for one request. */
async function make({ backend }: CAIssuerSpec) {
  running.double ??= startAcmeDouble();
  const double = await running.double;
  const real = (value: unknown): unknown => {
    if (typeof value === 'string') {
      const text = value.replace(DIRECTORY, double.directory);
      return text === ROOT ? double.root : text === BUNDLE ? double.caBundle : text;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, real(member)]));
  };
  const certbot = real(backend.certbot) as CertbotBackendSpec;
  const bundles = { 'ca.crt': double.caBundle, 'other.crt': OTHER ?? '' };
  const secrets = createMemorySecrets({ ...SECRETS, bundle: bundles });
  const config = `server = ${double.directory}\n`;
  const maps: Record<string, Record<string, string>> = {
    certbot: { ini: config, verbose: `${config}verbose\n` },
    'certbot-2': { ini: `${config}issuance-timeout = 5\n` },
  };
  const runs = createFakeRuns(async () => ({ kind: 'running', marker: MARKER, log: '' }));
  const made = certbotBackend.create(
    {
      secrets,
      configMaps: { read: (name) => Promise.resolve(maps[name]) },
      clock: createClock(),
      random: createFakeRandom(),
      urls: undefined,
      certbot: runs,
    },
    anIssuer({ certbot }),
    { certbot },
  );
  const request = aSigningRequest();
  const begin = async () => {
    const outcome = await made.sign(request, none).catch((error: Error) => error);
    const [run] = runs.begun;
    return run ?? (outcome instanceof Error ? outcome.message : 'nothing was begun');
  };
  return { double, made, begin };
}

type Begun = Exclude<Awaited<ReturnType<Awaited<ReturnType<typeof make>>['begin']>>, string>;

const ofRun =
  (what: (run: Begun) => unknown) =>
  async (spec: CAIssuerSpec): Promise<unknown> => {
    const run = await (await make(spec)).begin();
    return typeof run === 'string' ? run : what(run);
  };

/** Without what is random. */
const words = ofRun((run) => run.arguments.filter((word) => !/^[0-9a-f]{32}$/.test(word)));
const secretsOf = ofRun((run) => Object.values(run.secrets));
const inPod = (member: string) =>
  ofRun((run) => {
    const spec = podSpecOf(run, '', []);
    const [container] = spec['containers'] as Record<string, unknown>[];
    return spec[member] ?? container?.[member] ?? 'none';
  });

const health = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { ready, reason } = await (await make(spec)).made.check(none);
  return { ready, reason };
};

const registered = (member: string) => async (spec: CAIssuerSpec) => {
  const { double, begin } = await make(spec);
  const run = await begin();
  return typeof run === 'string' ? run : (double.accounts.at(-1)?.body[member] ?? 'none');
};

const binding = async (spec: CAIssuerSpec): Promise<unknown> => {
  const bound = (await registered('externalAccountBinding')(spec)) as Record<string, string> | string;
  if (typeof bound === 'string') return bound;
  const { kid } = JSON.parse(Buffer.from(bound['protected'] ?? '', 'base64url').toString()) as { kid: string };
  // Of the same key over the same text the same.
  const sameKey = MACS.map((mac) =>
    createHmac('sha256', Buffer.from(mac, 'base64url'))
      .update(`${bound['protected']}.${bound['payload']}`)
      .digest('base64url'),
  ).indexOf(bound['signature'] ?? '');
  return { kid, sameKey };
};

const withTerms = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { double, made } = await make(spec);
  double.behaviour.meta = { termsOfService: TERMS };
  try {
    return (await made.check(none)).reason;
  } finally {
    double.reset();
  }
};

const base = (certbot: object = {}) => ({
  backend: {
    certbot: {
      config: CONFIG,
      trustAnchors: ROOT,
      caBundle: BUNDLE,
      account: { keySecretRef: { name: 'new' } },
      ...certbot,
    },
  },
});

function field(
  path: string,
  values: readonly unknown[],
  outcome: (spec: CAIssuerSpec) => Promise<unknown>,
  given = base(),
): FieldCase {
  return { kind: ClusterCAIssuerKind, path: `spec.backend.certbot.${path}`, base: given, values, outcome };
}

const byMap = base({ config: undefined, configRef: { name: 'certbot', key: 'ini' } });
const bundleRef = base({ caBundle: undefined, caBundleRef: { name: 'bundle', key: 'ca.crt' } });
const dns01 = base({ dns01: { plugin: 'rfc2136', credentialsSecretRef: { name: 'dns', key: 'ini' } } });
const account = (more: object) => base({ account: { keySecretRef: { name: 'new' }, ...more } });
const eab = account({ externalAccountBinding: { keyID: 'k', secretRef: { name: 'eab', key: 'one' } } });

export const CERTBOT_CASES: readonly FieldCase[] = [
  field('config', [CONFIG, `${CONFIG}verbose\n`, `${CONFIG}pre-hook = x\n`], words),
  field('configRef.name', ['certbot', 'certbot-2', 'nowhere'], words, byMap),
  field('configRef.key', ['ini', 'verbose', 'none'], words, byMap),
  field('trustAnchors', [ROOT, OTHER], async (spec) =>
    (await (await make(spec)).made.trustAnchors?.())?.map((each) => each.toString('hex')),
  ),
  field('caBundle', [BUNDLE, OTHER], health),
  field('caBundleRef.kind', ['Secret', 'ConfigMap'], health, bundleRef),
  field('caBundleRef.name', ['bundle', 'nowhere'], health, bundleRef),
  field('caBundleRef.key', ['ca.crt', 'other.crt', 'none.crt'], health, bundleRef),
  field('account.keySecretRef.name', ['key-a', 'key-b', 'eab'], secretsOf),
  field('account.contacts', [['a@example.test'], ['b@example.test'], ABSENT], registered('contact')),
  field('account.termsOfService', [TERMS, `${TERMS}/old`], withTerms, account({ termsOfService: TERMS })),
  field('account.externalAccountBinding.keyID', ['k', 'l'], binding, eab),
  field('account.externalAccountBinding.secretRef.name', ['eab', 'eab-2', 'nowhere'], binding, eab),
  field('account.externalAccountBinding.secretRef.key', ['one', 'two', 'none'], binding, eab),
  field('dns01.plugin', ['rfc2136', 'cloudflare'], words, dns01),
  field('dns01.credentialsSecretRef.name', ['dns', 'dns-2'], secretsOf, dns01),
  field('dns01.credentialsSecretRef.key', ['ini', 'other'], secretsOf, dns01),
  field('dns01.propagation', ['10s', '2m', ABSENT], words, dns01),
  field('image', ['registry.test/certbot:1', 'registry.test/certbot:2', ABSENT], inPod('image')),
  field('imagePullSecrets[].name', ['one', 'two'], inPod('imagePullSecrets')),
  field('resources.requests.cpu', ['10m', '1', ABSENT], inPod('resources')),
  field('resources.requests.memory', ['64Mi', '1Gi', ABSENT], inPod('resources')),
  field('resources.limits.cpu', ['10m', '1', ABSENT], inPod('resources')),
  field('resources.limits.memory', ['64Mi', '1Gi', ABSENT], inPod('resources')),
  field('nodeSelector', [{ pool: 'pki' }, { pool: 'edge' }, ABSENT], inPod('nodeSelector')),
  field(
    'deadline',
    ['1m', '2m', ABSENT],
    ofRun(({ deadlineMs }) => deadlineMs),
  ),
  field('concurrency', [1, 8, ABSENT], async (spec) => (await make(spec)).made.concurrency),
];
