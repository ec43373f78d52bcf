// Effects of the fields that say who asks, what proves a name, and where trust is published.
import { ClusterCAIssuerKind, type CAIssuerSpec } from '../../src/api/ca-issuer.ts';
import { ConfigMapKind, NamespaceKind, SecretKind } from '../../src/api/core.ts';
import { clusterTrustBundleKind, HTTPRouteKind, IngressKind, PodKind, ServiceKind } from '../../src/api/foreign.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import { findCondition } from '../../src/domain/conditions.ts';
import { issuerPath } from '../../src/domain/issuer.ts';
import { binding, EAB_KEYS } from '../conformance/external-account-keys.ts';
import { createFakeStore, startWorld } from '../fakes/world.ts';
import { register } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { certManager, orderFrom } from '../support/cert-manager.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey } from '../support/jws.ts';
import { ABSENT, type FieldCase } from './field-case.ts';
import { anIssuer, aSecret, CLUSTER_DOMAIN, clientOf, inNamespace, lab, uniqueName } from './lab.ts';

type Outcome = (spec: CAIssuerSpec) => Promise<unknown>;

const [HOME, AWAY] = ['walk-a', 'walk-b'];
/** What is in the first of them. */
const SERVICE = `web.${HOME}.svc.${CLUSTER_DOMAIN}`;
const BY_INGRESS = 'ingress.walk.test';
const BY_ROUTE = 'route.walk.test';

const prepared: { done?: Promise<void> } = {};

/** Namespaces and what is in them, once. */
function stage(): Promise<void> {
  prepared.done ??= prepare();
  return prepared.done;
}

async function prepare(): Promise<void> {
  const { cluster } = (await lab()).operator;
  const make = (kind: Kind, object: object) => cluster.create(kind, object as Parameters<typeof cluster.create>[1]);
  for (const name of [HOME, AWAY]) await make(NamespaceKind, { metadata: { name, labels: { walk: name } } });
  const at = { namespace: HOME, name: 'web' };
  await make(ServiceKind, { metadata: at, spec: {} });
  await make(IngressKind, {
    metadata: at,
    spec: { ingressClassName: 'public', rules: [{ host: BY_INGRESS }] },
  });
  const parentRef = { namespace: HOME, name: 'front' };
  const route = await cluster.create(HTTPRouteKind, {
    metadata: at,
    spec: { hostnames: [BY_ROUTE], parentRefs: [parentRef] },
  });
  const conditions = [{ type: 'Accepted', status: 'True', observedGeneration: route.metadata.generation }];
  await cluster.replaceStatus(HTTPRouteKind, { ...route, status: { parents: [{ parentRef, conditions }] } });
  const pod = await cluster.create(PodKind, { metadata: at, spec: { serviceAccountName: 'web' } });
  // From where the clients of the walk ask.
  const status = { phase: 'Running', podIPs: [{ ip: '127.0.0.1' }] };
  await cluster.replaceStatus(PodKind, { ...pod, status });
}

function issuer(path: string, values: readonly unknown[], outcome: Outcome, base: object = {}): FieldCase {
  const ca = { secretRef: { name: 'walk-attribution-ca' }, selfSigned: { commonName: 'Walk CA' } };
  return { kind: ClusterCAIssuerKind, path, base: { backend: { ca }, ...base }, values, outcome };
}

/** What becomes of an order for the name: its status, or that of a refusal. */
async function ordered(acme: AcmeWire, name: string): Promise<string | number> {
  const identifiers = [{ type: 'dns', value: name }];
  return eventually('the server knows what there is', async () => {
    const reply = await acme.post(acme.directory.newOrder, { identifiers });
    if (reply.status === 503) return undefined;
    return reply.status === 201 ? reply.json.status : reply.status;
  });
}

/** By a client with a key, if any. */
const orderOf =
  (name: string, kid?: string): Outcome =>
  async (spec) => {
    await stage();
    await aSecret('walk-eab', { mac: EAB_KEYS['kid-1'] });
    const acme = await clientOf(await anIssuer(spec));
    const key = createSigningKey();
    const bound = kid === undefined ? {} : { externalAccountBinding: binding(acme, key, { kid }) };
    await register(acme, key, bound);
    return ordered(acme, name);
  };

const keys = (key: object): object => ({
  mode: 'Optional',
  keys: [{ keyID: 'one', secretRef: { name: 'walk-eab', key: 'mac' }, ...key }],
});

const services = { services: true };

/** Namespaces with a Secret that was minted, and its name. */
const minted: Outcome = async (spec) => {
  await stage();
  const { cluster } = (await lab()).operator;
  const { metadata } = await anIssuer(spec);
  const own = async (): Promise<string[]> => {
    const { items } = await cluster.list(SecretKind);
    return items
      .filter(({ metadata: each }) => each.annotations?.['countersign.dev/kept-for'] === metadata.uid)
      .map(({ metadata: each }) => `${each.namespace}/${each.name.replace(/-[0-9a-f]{10}$/, '')}`);
  };
  const found = await eventually('keys are minted', async () => {
    const names = await own();
    return names.length > 0 ? names : undefined;
  });
  await cluster.delete(ClusterCAIssuerKind, { name: metadata.name });
  await eventually('they are withdrawn', async () => ((await own()).length === 0 ? true : undefined));
  return found;
};

const minting = (mint: object): object => ({
  acme: {
    externalAccountBinding: {
      mode: 'Optional',
      mint: { namespaceSelector: { matchNames: [HOME] }, secretName: 'minted', ...mint },
    },
  },
});

/** Whether the key is another after two days. */
const afterTwoDays: Outcome = async (spec) => {
  const world = await startWorld(createFakeStore('2026-01-01T00:00:00Z'));
  const { cluster } = world.store;
  await cluster.create(NamespaceKind, { metadata: { name: HOME } });
  await cluster.create(ClusterCAIssuerKind, { metadata: { name: 'minting' }, spec });
  const key = async () => (await cluster.get(SecretKind, { namespace: HOME, name: 'minted' }))?.data?.['secret'];
  await world.quiet();
  const first = await key();
  await world.pass(2 * 86_400_000, 4);
  const second = await key();
  await world.stop();
  return first !== undefined && first === second;
};

const managed: Outcome = async (spec) => {
  await stage();
  const { operator, transport } = await lab();
  const { metadata } = await anIssuer(spec);
  const directory = `${operator.origin}${issuerPath(metadata)}/acme/${metadata.name}/directory`;
  const manager = await certManager(operator.cluster, { transport, directory }, { solvers: [{ http01: {} }] });
  return eventually('the authorization is shown', async () => {
    const { order } = await orderFrom(operator.cluster, manager, { namespace: HOME, names: [SERVICE] });
    const reply = await manager.acme.get(order.object.authorizations[0] ?? '');
    return reply.status === 200 ? reply.json.status : undefined;
  });
};

const attributionCases = [
  issuer('spec.acme.externalAccountBinding.keys[].scope', ['Namespace', 'ByOrder'], orderOf(SERVICE, 'one'), {
    acme: { proof: services, externalAccountBinding: keys({ namespace: HOME }) },
  }),
  issuer('spec.acme.externalAccountBinding.keys[].namespace', [HOME, AWAY], orderOf(SERVICE, 'one'), {
    acme: { proof: services, externalAccountBinding: keys({ scope: 'Namespace' }) },
  }),
  issuer(
    'spec.acme.externalAccountBinding.mint.namespaceSelector.matchNames',
    [[HOME], [AWAY]],
    minted,
    minting({ namespaceSelector: {} }),
  ),
  issuer(
    'spec.acme.externalAccountBinding.mint.namespaceSelector.matchLabels',
    [{ walk: HOME }, { walk: AWAY }],
    minted,
    minting({ namespaceSelector: {} }),
  ),
  issuer('spec.acme.externalAccountBinding.mint.secretName', ['minted', 'other'], minted, minting({})),
  issuer('spec.acme.externalAccountBinding.mint.rotateAfter', ['24h', '2400h'], afterTwoDays, minting({})),
  issuer('spec.acme.proof.certManagerOrders', [true, false], managed, { acme: { proof: services } }),
  issuer('spec.acme.proof.services', [true, false], orderOf(SERVICE, 'one'), {
    acme: { externalAccountBinding: keys({ scope: 'Namespace', namespace: HOME }) },
  }),
  issuer('spec.acme.proof.ingressClasses', [['public'], ['private']], orderOf(BY_INGRESS, 'one'), {
    acme: { externalAccountBinding: keys({ scope: 'Namespace', namespace: HOME }) },
  }),
  issuer('spec.acme.proof.gateways', [[`${HOME}/front`], [`${HOME}/back`]], orderOf(BY_ROUTE, 'one'), {
    acme: { externalAccountBinding: keys({ scope: 'Namespace', namespace: HOME }) },
  }),
  issuer('spec.acme.proof.podAddress.enabled', [true, false], orderOf(SERVICE), { acme: { proof: services } }),
  issuer('spec.acme.proof.podAddress.relayNamespaces', [['elsewhere'], [HOME]], orderOf(SERVICE), {
    acme: { proof: { ...services, podAddress: { enabled: true } } },
  }),
];

const [FIRST, SECOND] = ['First next root', 'Second next root'].map((name) =>
  pemOf('CERTIFICATE', buildCaCertificate(name, createKeyPair())),
);

/** Where and what the issuer publishes, once its condition says that it does. */
const published: Outcome = async (spec) => {
  await stage();
  const { cluster } = (await lab()).operator;
  const { metadata } = await anIssuer({ ...spec, backend: { ca: ownCA() } });
  const ref = { name: metadata.name, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) };
  const kind = metadata.namespace === undefined ? ClusterCAIssuerKind : CAIssuerKind;
  await eventually('the issuer says that it publishes', async () => {
    const found = await cluster.get(kind, ref);
    return findCondition(found?.status?.conditions, 'TrustPublished')?.status === 'True' ? true : undefined;
  });
  const ours = ({ metadata: each }: KubeObject): boolean =>
    each.annotations?.['countersign.dev/kept-for'] === metadata.uid;
  const maps = (await cluster.list(ConfigMapKind)).items.filter(ours);
  const bundles = (await cluster.list(clusterTrustBundleKind('v1'))).items.filter(ours);
  await cluster.delete(kind, ref);
  return {
    maps: maps.map((each) => `${each.metadata.namespace}/${each.metadata.name}`),
    extra: [FIRST, SECOND].map((pem) => maps.some(({ data }) => data?.['ca.crt']?.includes(pem ?? ''))),
    bundles: bundles.length,
  };
};

const ownCA = () => ({ secretRef: { name: uniqueName('trust-ca') }, selfSigned: { commonName: 'Trust CA' } });
const map = (more: object = {}): object => ({ configMap: { name: 'walk-trust', ...more } });

const trustCases = [
  issuer('spec.publishTrust.configMap.name', ['walk-one', 'walk-two'], published, {
    publishTrust: { configMap: {} },
  }),
  issuer('spec.publishTrust.configMap.namespaceSelector.matchNames', [[HOME], [AWAY]], published, {
    publishTrust: map(),
  }),
  issuer('spec.publishTrust.configMap.namespaceSelector.matchLabels', [{ walk: HOME }, { walk: AWAY }], published, {
    publishTrust: map(),
  }),
  issuer('spec.publishTrust.clusterTrustBundle', [true, false], published, {
    publishTrust: map({ namespaceSelector: { matchNames: [HOME] } }),
  }),
  issuer('spec.publishTrust.additional', [FIRST, SECOND, ABSENT], published, { publishTrust: map() }),
];

const SHARED = ['spec.publishTrust.configMap.name', 'spec.publishTrust.additional'];

export const ATTRIBUTION_CASES: readonly FieldCase[] = [
  ...attributionCases,
  ...trustCases,
  ...trustCases
    .filter(({ path }) => SHARED.includes(path))
    .map((each) => ({
      ...each,
      kind: CAIssuerKind,
      outcome: inNamespace(async (spec: never) => each.outcome(spec)),
    })),
];
