// Effects of the fields of the webhook backend, against a signer that runs.
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import type { WebhookBackendSpec } from '../../src/api/webhook-backend.ts';
import { webhookBackend } from '../../src/backends/webhook/index.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { anIssuer as anIssuerOf, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { ABSENT, type FieldCase } from './field-case.ts';
import { anIssuer, aSecret, inNamespace, uniqueName } from './lab.ts';

/** What stands in the cases for what is known only once the signer runs. */
const [ROOT, BUNDLE, OTHER] = ['root', 'bundle', 'other'].map((name) =>
  pemOf('CERTIFICATE', buildCaCertificate(name, createKeyPair())),
);
const URL_OF_SIGNER = 'https://signer.test/sign';
const NAMES = { key: uniqueName('walk-key'), client: uniqueName('walk-client'), bundle: uniqueName('walk-bundle') };
const HMAC = { hmac: { secretRef: { name: NAMES.key, key: 'key' } } };

const running: { peers?: Promise<Record<'hmac' | 'mtls', WebhookPeer>> } = {};

async function startPeers() {
  const [hmac, mtls] = await Promise.all([
    startWebhookPeer({ authentication: 'hmac' }),
    startWebhookPeer({ authentication: 'mtls' }),
  ]);
  return { hmac, mtls };
}

/** Where the issuer at hand has its Secrets. */
async function placeSecrets({ hmac, mtls }: Record<'hmac' | 'mtls', WebhookPeer>): Promise<void> {
  await aSecret(NAMES.key, hmac.secrets['webhook-key'] ?? {});
  await aSecret(NAMES.client, mtls.secrets['webhook-client'] ?? {});
  await aSecret(NAMES.bundle, { 'ca.crt': hmac.spec.caBundle ?? '', 'other.crt': OTHER ?? '' });
}

export async function stopPeers(): Promise<void> {
  if (running.peers) await Promise.all(Object.values(await running.peers).map((peer) => peer.close()));
}

/** The spec with what stands for the signer replaced by what it is. */
async function real({ backend }: CAIssuerSpec): Promise<{ peer: WebhookPeer; webhook: WebhookBackendSpec }> {
  running.peers ??= startPeers();
  const webhook = backend.webhook as WebhookBackendSpec;
  const peers = await running.peers;
  await placeSecrets(peers);
  const peer = peers[webhook.authentication.hmac ? 'hmac' : 'mtls'];
  const text = new Map([
    [ROOT, peer.root],
    [BUNDLE, peer.spec.caBundle ?? ''],
  ]);
  const url = webhook.url.replace(URL_OF_SIGNER, peer.spec.url);
  const given = { ...webhook, url, trustAnchors: text.get(webhook.trustAnchors) ?? webhook.trustAnchors };
  const { caBundle } = webhook;
  return { peer, webhook: caBundle === undefined ? given : { ...given, caBundle: text.get(caBundle) ?? caBundle } };
}

const ready = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { status } = await anIssuer({ ...spec, backend: { webhook: (await real(spec)).webhook } });
  const { status: state, reason } = status?.conditions?.find(({ type }) => type === 'Ready') ?? {};
  return { state, reason };
};

/** What a backend made of the spec, and its signer, say of one request. */
async function signed(spec: CAIssuerSpec) {
  const { peer, webhook } = await real(spec);
  const secrets = createMemorySecrets({ [NAMES.key]: peer.secrets['webhook-key'] ?? {} });
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined };
  const backend = webhookBackend.create(deps, anIssuerOf({ webhook }), { webhook });
  const request = aSigningRequest();
  const outcome = await backend.sign(request, new AbortController().signal).catch((error: Error) => error);
  const sent = (await peer.signed())[request.id];
  return { backend, outcome: outcome instanceof Error ? outcome.message : outcome.kind, sent };
}

const slowly = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { peer } = await real(spec);
  await peer.behave({ kind: 'slow', ms: 2_500 });
  const { outcome } = await signed(spec);
  await peer.behave({ kind: 'sign' });
  return outcome;
};

const base = (webhook: object = {}) => ({
  backend: { webhook: { url: URL_OF_SIGNER, trustAnchors: ROOT, caBundle: BUNDLE, authentication: HMAC, ...webhook } },
});

function field(
  path: string,
  values: readonly unknown[],
  outcome: (spec: CAIssuerSpec) => Promise<unknown>,
  given = base(),
): FieldCase {
  return { kind: ClusterCAIssuerKind, path: `spec.backend.webhook.${path}`, base: given, values, outcome };
}

const withRef = base({ caBundle: undefined, caBundleRef: { name: NAMES.bundle, key: 'ca.crt' } });

const CLUSTER_CASES: readonly FieldCase[] = [
  field('url', [URL_OF_SIGNER, URL_OF_SIGNER.replace('/sign', '/elsewhere')], ready),
  field('trustAnchors', [ROOT, OTHER], ready),
  field('caBundle', [BUNDLE, OTHER], ready),
  field('caBundleRef.name', [NAMES.bundle, 'nowhere'], ready, withRef),
  field('caBundleRef.key', ['ca.crt', 'other.crt', 'none.crt'], ready, withRef),
  field('authentication.clientCertificateRef.name', [NAMES.client, 'nowhere'], ready, base({ authentication: {} })),
  field(
    'authentication.hmac.keyID',
    ['first', 'second', ABSENT],
    async (spec) => (await signed(spec)).sent?.keyID ?? 'none',
  ),
  field('authentication.hmac.secretRef.name', [NAMES.key, NAMES.client], ready),
  field('authentication.hmac.secretRef.key', ['key', 'other'], ready),
  field('timeout', ['1s', '30s'], slowly),
  field('concurrency', [1, 8, ABSENT], async (spec) => (await signed(spec)).backend.concurrency),
];

/** Each for both kinds of issuer. */
export const WEBHOOK_CASES: readonly FieldCase[] = [
  ...CLUSTER_CASES,
  ...CLUSTER_CASES.map((each) => ({
    ...each,
    kind: CAIssuerKind,
    outcome: inNamespace(async (spec: never) => each.outcome(spec)),
  })),
];
