// What a claim wants in its Secret beside key, certificate and root: labels and annotations, further formats, PKCS#12 stores. All of it
// follows from the claim, from those three and from the password of the stores, so it is told from the Secret itself whether it is as it
// should be.
import type { CertificateClaim, OutputFormat } from '../api/certificate-claim.ts';
import { SecretKind } from '../api/core.ts';
import { isReservedKey } from '../api/secret-template-rule.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import { renderPem, sha256 } from '../domain/encoding.ts';
import { buildKeystore, buildTruststore, passwordProblem } from '../domain/pkcs12.ts';
import { parsePrivateKey } from '../domain/private-key.ts';
import type { Cluster, Random } from '../ports.ts';
import type { Marks } from './claim-secret.ts';

export const OutputAnnotation = {
  /** Names of what is in the Secret because the claim wants it, as JSON: it goes when the claim wants it no more. */
  managed: 'countersign.dev/managed',
  /** MAC over the stores and all that they were made of: while it holds they are not made again, with other salts. */
  keystores: 'countersign.dev/keystores',
} as const;

const PURPOSE = 'claim-keystores';
const [KEYSTORE, TRUSTSTORE] = ['keystore.p12', 'truststore.p12'];
/** All keys that a claim may want; no other key of a Secret is ever taken out. */
const OPTIONAL_KEYS: readonly string[] = [
  ...Object.keys({
    'tls-combined.pem': true,
    'key.der': true,
    'fullchain.pem': true,
    'chain.pem': true,
  } satisfies Record<OutputFormat, true>),
  KEYSTORE,
  TRUSTSTORE,
];

/** What a Secret is made of; values are base64. */
export interface SecretParts {
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  data: Readonly<Record<string, string>>;
}

export interface Wish {
  claim: CertificateClaim;
  marks: Marks;
  random: Random;
  /** Of the stores, where the claim wants any. */
  password: string | undefined;
}

/** The parts, which have a readable pair, as the claim wants them. What others put there stays; equal parts come back for what is well already. */
export async function withOutputs(parts: SecretParts, wish: Wish): Promise<SecretParts> {
  const had = readManaged(parts.annotations[OutputAnnotation.managed]);
  const { labels = {}, annotations = {} } = wish.claim.spec.secretTemplate ?? {};
  const stores = await storesOf(parts, wish);
  const data = { ...formatsOf(parts.data, wish.claim), ...stores.data };
  const managed = { data: Object.keys(data), labels: Object.keys(labels), annotations: Object.keys(annotations) };
  const some = Object.values(managed).some((names) => names.length > 0);
  return {
    labels: { ...without(parts.labels, had.labels), ...labels },
    annotations: {
      ...without(parts.annotations, [...had.annotations, ...Object.values(OutputAnnotation)]),
      ...annotations,
      ...(some ? { [OutputAnnotation.managed]: JSON.stringify(managed) } : {}),
      ...(stores.mac === undefined ? {} : { [OutputAnnotation.keystores]: stores.mac }),
    },
    data: { ...without(parts.data, had.data), ...data },
  };
}

function without<V>(map: Readonly<Record<string, V>>, names: readonly string[]): Record<string, V> {
  return Object.fromEntries(Object.entries(map).filter(([name]) => !names.includes(name)));
}

type Managed = Record<'data' | 'labels' | 'annotations', readonly string[]>;

/** Whoever may write the Secret may write this too: nothing follows from it that they could not do themselves, and our own marks stay. */
function readManaged(text: string | undefined): Managed {
  const names = (list: unknown, fits: (name: string) => boolean) =>
    Array.isArray(list) ? list.filter((name) => typeof name === 'string' && fits(name)) : [];
  const { data, labels, annotations } = parseObject(text);
  return {
    data: names(data, (name) => OPTIONAL_KEYS.includes(name)),
    labels: names(labels, (name) => !isReservedKey(name)),
    annotations: names(annotations, (name) => !isReservedKey(name)),
  };
}

function parseObject(text = '{}'): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const decoded = (base64: string | undefined) => Buffer.from(base64 ?? '', 'base64');
const encoded = (content: Buffer | string) => Buffer.from(content).toString('base64');

function keyOf(data: SecretParts['data']) {
  const key = parsePrivateKey(decoded(data['tls.key']));
  if (!key) throw new TypeError('the Secret has no readable key');
  return key;
}

const chainOf = (data: SecretParts['data']) => parsePemCertificates(decoded(data['tls.crt']).toString('latin1'));

const RENDER: Record<OutputFormat, (data: SecretParts['data']) => string> = {
  'tls-combined.pem': (data) => encoded(Buffer.concat([decoded(data['tls.key']), decoded(data['tls.crt'])])),
  'key.der': (data) => encoded(keyOf(data).export({ type: 'pkcs8', format: 'der' })),
  'fullchain.pem': (data) => data['tls.crt'] ?? '',
  'chain.pem': (data) =>
    encoded(
      chainOf(data)
        .slice(1)
        .map((der) => renderPem('CERTIFICATE', der))
        .join(''),
    ),
};

function formatsOf(data: SecretParts['data'], { spec }: CertificateClaim): Record<string, string> {
  return Object.fromEntries((spec.additionalOutputFormats ?? []).map((format) => [format, RENDER[format](data)]));
}

interface Stores {
  data: Record<string, string>;
  mac?: string;
}

async function storesOf({ annotations, data }: SecretParts, wish: Wish): Promise<Stores> {
  const { claim, marks, random, password } = wish;
  const wanted = claim.spec.keystores?.pkcs12;
  if (!wanted?.create || password === undefined) return { data: {} };
  const hash = (text = '') => sha256(text).toString('hex');
  const { friendlyName, profile = 'Modern2023' } = wanted;
  const sources = [data['tls.key'], data['tls.crt'], data['ca.crt'], password, friendlyName, profile].map(hash);
  const partsOf = (stores: Record<string, string>) => [
    claim.metadata.namespace ?? '',
    claim.spec.secretName,
    ...sources,
    ...[stores[KEYSTORE], stores[TRUSTSTORE]].map(hash),
  ];
  const mac = annotations[OutputAnnotation.keystores];
  const present = Object.fromEntries(Object.entries(data).filter(([name]) => name === KEYSTORE || name === TRUSTSTORE));
  if (mac !== undefined && marks.verifyMac(PURPOSE, partsOf(present), mac)) return { data: present, mac };
  const protection = { password, random };
  const anchors = anchorsOf(data['ca.crt']);
  const made = {
    [KEYSTORE]: encoded(await buildKeystore({ key: keyOf(data), chain: chainOf(data), friendlyName }, protection)),
    ...(anchors.length > 0 ? { [TRUSTSTORE]: encoded(await buildTruststore(anchors, protection)) } : {}),
  };
  return { data: made, mac: marks.mac(PURPOSE, partsOf(made)) };
}

/** The root is told to readers, and never read back but here: what somebody else made of it is no reason for another certificate. */
function anchorsOf(root: string | undefined): Buffer[] {
  try {
    return parsePemCertificates(decoded(root).toString('latin1'));
  } catch {
    return [];
  }
}

/** Types of Secret that hold passwords; all others (tokens, keys) must not be put to this use by who may write a claim. */
const PASSWORD_TYPES = ['Opaque', 'kubernetes.io/basic-auth'];

export interface PasswordFault {
  reason: 'PasswordUnusable';
  message: string;
}

/** The password of the claim's stores, read live from the claim's own namespace; undefined where it wants no store. */
export async function readPassword(
  cluster: Pick<Cluster, 'get'>,
  { metadata, spec }: CertificateClaim,
): Promise<{ password: string | undefined } | PasswordFault> {
  const wanted = spec.keystores?.pkcs12;
  if (!wanted?.create) return { password: undefined };
  const { name, key } = wanted.passwordSecretRef;
  const fault = (message: string): PasswordFault => ({ reason: 'PasswordUnusable', message });
  const secret = await cluster.get(SecretKind, { namespace: metadata.namespace ?? '', name });
  if (!secret) return fault(`there is no Secret ${name} with the password of the stores`);
  const { type = 'Opaque', data = {} } = secret;
  if (!PASSWORD_TYPES.includes(type)) return fault(`Secret ${name} is not of a type that passwords are taken from`);
  const value = Object.hasOwn(data, key) ? data[key] : undefined;
  if (value === undefined) return fault(`Secret ${name} has no key of the name given for the password of the stores`);
  const password = decoded(value).toString('utf8');
  const problem = passwordProblem(password);
  return problem === undefined ? { password } : fault(`the password of the stores in Secret ${name} ${problem}`);
}
