// Trust: what clients must trust, published where issuers say so. One pass looks after all issuers at once.
import type { CAIssuerSpec } from '../api/ca-issuer.ts';
import { type ConfigMap, ConfigMapKind, type Namespace } from '../api/core.ts';
import { clusterTrustBundleKind } from '../api/foreign.ts';
import { type Issuer, issuerKind } from '../api/issuer.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { findCondition, type NewCondition, setCondition } from '../domain/conditions.ts';
import { selectsNamespace } from '../domain/namespace-selector.ts';
import { trustAnchors, trustBundle } from '../domain/trust-anchors.ts';
import type { Cache, Clock, Cluster, ObjectRef } from '../ports.ts';
import type { Reconciler, Requeue } from '../runtime/controller.ts';
import type { Marks } from './claim-secret.ts';
import { writeStatus } from './status.ts';
import { createTrustObjects, type Wanted } from './trust-objects.ts';

const SIGNER_GROUP = 'clustercaissuers.countersign.dev';
/** Signer of the bundle with what signed the certificate of the ACME server. */
const ACME_SIGNER = 'countersign.dev/acme';

export const TRUST_RIGHTS: readonly Right[] = [
  {
    kind: ConfigMapKind,
    verbs: ['get', 'list', 'create', 'update', 'delete'],
    in: ['tenants'],
    why: 'keep what clients must trust in ConfigMaps, and delete those that nobody wants any more; none of anybody else is written or deleted',
  },
];

export const TRUST_BUNDLE_RIGHTS: readonly Right[] = [
  {
    kind: clusterTrustBundleKind('v1'),
    verbs: ['get', 'list', 'create', 'update', 'delete'],
    in: ['cluster'],
    why: 'keep what clients must trust in ClusterTrustBundles',
  },
  {
    kind: { group: 'certificates.k8s.io', plural: 'signers', kind: 'Signer' },
    verbs: ['attest'],
    in: ['cluster'],
    names: [`${SIGNER_GROUP}/*`, ACME_SIGNER],
    why: 'publish them under the names of issuers',
  },
];

export interface TrustDeps {
  cluster: Pick<Cluster, 'get' | 'list' | 'create' | 'replace' | 'replaceStatus' | 'delete'>;
  issuers: Cache<Issuer>;
  namespaces: Cache<Namespace>;
  tenants?: readonly string[];
  marks: Marks;
  /** PEM of what signed the certificate of the ACME server, and of what did or will; undefined where that is not known. */
  servingCA: () => Promise<string | undefined>;
  /** Where that stands, if it is in a Secret; what it says now is published when it changes. */
  servingSecret?: ObjectRef;
  /** Metadata is enough. */
  secrets: Cache<KubeObject>;
  clock: Clock;
}

/** What others change is mended, and what expired is left out, this often. */
const LOOK_MS = 600_000;
const CONDITION = 'TrustPublished';
/** Rights may have been granted meanwhile. */
const RETRY_MS = 30_000;
/** All issuers together are one piece of work. */
const ALL = { name: 'all' };

type Publish = NonNullable<CAIssuerSpec['publishTrust']>;

const publishOf = (issuer: Issuer): Publish | undefined => issuer.spec.publishTrust;
const isConcerned = (issuer: Issuer): boolean =>
  publishOf(issuer) !== undefined || findCondition(issuer.status?.conditions, CONDITION) !== undefined;

/** What one issuer publishes. */
interface Publication {
  issuer: Issuer;
  roots: string;
  serving: string;
  configMaps: readonly Wanted[];
  bundles: readonly Wanted[];
}

export function createTrustReconciler(deps: TrustDeps): Reconciler {
  const objects = createTrustObjects(deps);
  /** Whether objects of the kind may be there from before. */
  let leftovers = { configMaps: false, bundles: false };

  async function reconcile(): Promise<Requeue | undefined> {
    const concerned = deps.issuers.list().filter(isConcerned);
    const serving = concerned.some(publishOf) ? trustBundle((await deps.servingCA()) ?? '', deps.clock.now()) : '';
    const publications = concerned.map((issuer) => publicationOf(deps, issuer, serving));
    const configMaps = publications.flatMap((each) => each.configMaps);
    const bundles = unique(publications.flatMap((each) => each.bundles));
    const outcome = await unlessForbidden(async () => {
      const inMaps =
        configMaps.length > 0 || leftovers.configMaps ? await objects.bring(ConfigMapKind, configMaps) : [];
      const kind = bundles.length > 0 || leftovers.bundles ? await objects.bundleKind() : undefined;
      const inBundles = kind ? await objects.bring(kind, bundles) : [];
      leftovers = { configMaps: configMaps.length > 0, bundles: bundles.length > 0 && kind !== undefined };
      return { foreign: [...inMaps, ...inBundles], served: bundles.length === 0 || kind !== undefined };
    });
    for (const publication of publications) await tell(deps, publication, outcome);
    if (publications.length === 0) return undefined;
    return { requeueAfterMs: outcome.forbidden === undefined ? LOOK_MS : RETRY_MS };
  }

  const isAnythingPublished = () => deps.issuers.list().some((issuer) => publishOf(issuer));

  return {
    reconcile,
    watch(enqueue) {
      const due = (issuer: Issuer): void => {
        leftovers = { configMaps: true, bundles: leftovers.bundles || issuer.spec.publishTrust !== undefined };
        enqueue(ALL);
      };
      for (const issuer of deps.issuers.list()) if (isConcerned(issuer)) due(issuer);
      const stops = [
        deps.issuers.onChange((issuer, type, before) => {
          if (isConcerned(issuer) && (type === 'DELETED' || isNews(issuer, before))) due(issuer);
        }),
        deps.namespaces.onChange((namespace, _type, before) => {
          const same = JSON.stringify(before?.metadata.labels) === JSON.stringify(namespace.metadata.labels);
          if (!(before && same) && isAnythingPublished()) enqueue(ALL);
        }),
        deps.secrets.onChange(({ metadata }) => {
          const { namespace, name } = deps.servingSecret ?? {};
          if (metadata.namespace === namespace && metadata.name === name && isAnythingPublished()) enqueue(ALL);
        }),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

/** Its spec, or the chains of its certificates, are others. */
function isNews(issuer: Issuer, before: Issuer | undefined): boolean {
  const chainsOf = (each: Issuer | undefined) => each?.status?.chains?.map(({ fingerprint }) => fingerprint).join();
  return before?.metadata.generation !== issuer.metadata.generation || chainsOf(before) !== chainsOf(issuer);
}

function publicationOf(deps: TrustDeps, issuer: Issuer, serving: string): Publication {
  const publish = publishOf(issuer);
  const chains = issuer.status?.chains?.map(({ pem }) => pem) ?? [];
  const roots = publish ? trustAnchors(chains, publish.additional, deps.clock.now()) : '';
  const published = publish && roots !== '' ? publish : undefined;
  return {
    issuer,
    roots,
    serving,
    configMaps: published?.configMap ? configMapsOf(deps, issuer, { ...published.configMap, roots, serving }) : [],
    bundles: published?.clusterTrustBundle ? bundlesOf(issuer, { roots, serving }) : [],
  };
}

function configMapsOf(
  { namespaces, tenants }: TrustDeps,
  { metadata }: Issuer,
  wish: NonNullable<Publish['configMap']> & { roots: string; serving: string },
): Wanted[] {
  const { name, roots, serving, namespaceSelector = {} } = wish;
  const data: ConfigMap['data'] = { 'ca.crt': roots, ...(serving === '' ? {} : { 'acme-ca.crt': serving }) };
  const isSelected = ({ metadata: each }: Namespace): boolean =>
    metadata.namespace === undefined
      ? (!tenants || tenants.includes(each.name)) && selectsNamespace(namespaceSelector, each)
      : each.name === metadata.namespace;
  return namespaces
    .list()
    .filter((each) => each.metadata.deletionTimestamp === undefined && isSelected(each))
    .map((each) => ({ issuerUID: metadata.uid, namespace: each.metadata.name, name, content: { data } }));
}

function bundlesOf({ metadata }: Issuer, { roots, serving }: Pick<Publication, 'roots' | 'serving'>): Wanted[] {
  const signers = [
    { signerName: `${SIGNER_GROUP}/${metadata.name}`, trustBundle: roots, issuerUID: metadata.uid, word: 'roots' },
    { signerName: ACME_SIGNER, trustBundle: serving, issuerUID: 'acme', word: 'serving' },
  ];
  return signers
    .filter((signer) => signer.trustBundle !== '')
    .map(({ word, issuerUID, ...spec }) => ({
      issuerUID,
      // The API server wants the signer in front, with a colon for the slash.
      name: `${spec.signerName.replace('/', ':')}:${word}`,
      content: { spec },
    }));
}

function unique(wanted: readonly Wanted[]): Wanted[] {
  return [...new Map(wanted.map((each) => [each.name, each])).values()];
}

/** Without its rights the operator publishes nothing, and says so. */
async function unlessForbidden(work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (!isClusterError(error, 'Forbidden')) throw error;
    return { foreign: [], served: true, forbidden: error.message };
  }
}

interface Outcome {
  /** What somebody else has. */
  foreign: readonly Wanted[];
  /** Whether the API server has all the kinds that are wanted. */
  served: boolean;
  /** What the API server said where the operator lacks rights. */
  forbidden?: string;
}

async function tell(deps: TrustDeps, publication: Publication, outcome: Outcome): Promise<void> {
  const { issuer } = publication;
  const others = (issuer.status?.conditions ?? []).filter(({ type }) => type !== CONDITION);
  const conditions = publishOf(issuer)
    ? setCondition(
        issuer.status?.conditions ?? [],
        { type: CONDITION, ...verdictOf(publication, outcome), observedGeneration: issuer.metadata.generation },
        deps.clock.now(),
      )
    : others;
  await writeStatus(deps.cluster, issuerKind(issuer), issuer, { ...issuer.status, conditions: [...conditions] });
}

type Verdict = Pick<NewCondition, 'status' | 'reason' | 'message'>;

function verdictOf({ issuer, roots, configMaps, bundles }: Publication, outcome: Outcome): Verdict {
  const { foreign, served, forbidden } = outcome;
  if (roots === '')
    return { status: 'False', reason: 'NoCertificates', message: 'the issuer has no CA certificate to publish yet' };
  if (forbidden !== undefined) return { status: 'False', reason: 'Forbidden', message: forbidden };
  const own = [...configMaps, ...bundles];
  const taken = foreign.filter(({ namespace, name }) =>
    own.some((each) => each.namespace === namespace && each.name === name),
  );
  const [first] = taken;
  if (first) {
    const what = first.namespace === undefined ? `ClusterTrustBundle ${first.name}` : `ConfigMap ${first.name}`;
    const where = first.namespace === undefined ? '' : ` in namespace ${first.namespace}`;
    const more = taken.length > 1 ? `, and ${taken.length - 1} more` : '';
    return { status: 'False', reason: 'NotOurs', message: `${what}${where} was made by somebody else${more}` };
  }
  if (bundles.length > 0 && !served)
    return {
      status: 'False',
      reason: 'NoClusterTrustBundles',
      message: 'the API server has no ClusterTrustBundles (certificates.k8s.io/v1 or v1beta1)',
    };
  const places = [
    ...(configMaps.length > 0 ? [`ConfigMap ${configMaps[0]?.name} in ${count(configMaps)}`] : []),
    ...(bundles.length > 0 ? [`ClusterTrustBundles ${bundles.map(({ name }) => name).join(', ')}`] : []),
  ];
  if (places.length === 0) {
    const message = publishOf(issuer)?.configMap ? 'no namespace is selected' : 'publishTrust names no place';
    return { status: 'False', reason: 'Nowhere', message };
  }
  return { status: 'True', reason: 'Published', message: `published as ${places.join(' and ')}` };
}

const count = ({ length }: readonly Wanted[]): string => `${length} namespace${length === 1 ? '' : 's'}`;
