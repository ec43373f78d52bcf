// External account binding keys for namespaces: a Secret in each namespace that an issuer selects, with the key of the present period in
// the encoding that cert-manager takes. It goes when the namespace is selected no more; what somebody else made is never touched.
import type { Issuer } from '../api/issuer.ts';
import { type Namespace, type Secret, SecretKind } from '../api/core.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Right } from '../api/right.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import { type Mint, mintedKeyID, periodsOf } from '../domain/minted-key.ts';
import { selectsNamespace } from '../domain/namespace-selector.ts';
import { type KeySource, mintedKeys, mintKey } from '../issuance/minted-keys.ts';
import type { Cache, Clock, Cluster, EventRecorder, Log, ObjectRef } from '../ports.ts';
import type { Enqueue, Reconciler, Requeue } from '../runtime/controller.ts';
import type { Marks } from './claim-secret.ts';
import { KEPT_FOR, keptFor, ownMark } from './own-mark.ts';

export const MINTED_KEY_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['get', 'create', 'update', 'delete'],
    in: ['tenants'],
    why: 'keep the key of a namespace in a Secret there, and delete that Secret once the namespace is selected no more; no Secret of anybody else is written or deleted',
  },
];

/** Index of the Secrets that somebody says we keep for an issuer, by their namespace. */
export const KEPT_INDEX = 'kept';
export const keptIndex = ({ metadata }: KubeObject): string[] =>
  metadata.annotations?.[KEPT_FOR] === undefined ? [] : [metadata.namespace ?? ''];

const PURPOSE = 'minted-key-secret';

export interface MintedKeysDeps {
  cluster: Pick<Cluster, 'get' | 'create' | 'replace' | 'delete'>;
  issuers: Cache<Issuer>;
  namespaces: Cache<Namespace>;
  /** With KEPT_INDEX; metadata is enough. */
  secrets: Cache<KubeObject>;
  /** The namespaces that are served; all when absent. */
  tenants?: readonly string[];
  marks: Marks & KeySource;
  directoryURL: (issuer: Issuer) => string;
  events: EventRecorder;
  clock: Clock;
}

interface Minting {
  issuer: Issuer;
  mint: Mint;
}

/** A key of this controller is the name of a namespace. */
export function createMintedKeyReconciler(deps: MintedKeysDeps): Reconciler {
  async function reconcile({ name }: ObjectRef, _signal: AbortSignal, log: Log): Promise<Requeue | undefined> {
    const namespace = deps.namespaces.get({ name });
    const alive = namespace && namespace.metadata.deletionTimestamp === undefined ? namespace : undefined;
    const wanted = alive ? mintings(deps).filter(({ mint }) => isSelected(deps, mint, alive)) : [];
    for (const { metadata } of deps.secrets.byIndex(KEPT_INDEX, name)) {
      if (wanted.some(({ mint }) => mint.secretName === metadata.name)) continue;
      await withdraw(deps, metadata, log);
    }
    let nextAt = Number.POSITIVE_INFINITY;
    for (const { issuer, mint } of wanted) {
      const others = wanted.filter((other) => other.issuer !== issuer).map((other) => other.issuer.metadata.uid);
      nextAt = Math.min(nextAt, await keep(deps, { issuer, mint, others }, alive as Namespace));
    }
    return Number.isFinite(nextAt) ? { requeueAfterMs: nextAt - deps.clock.now().getTime() } : undefined;
  }

  return {
    reconcile,
    watch(enqueue) {
      const all = (): void => {
        for (const { metadata } of deps.namespaces.list()) enqueue(metadata, { priority: 'low' });
      };
      const concerns = ({ metadata }: KubeObject): boolean =>
        mintings(deps).length > 0 || deps.secrets.has(KEPT_INDEX, metadata.name);
      for (const namespace of deps.namespaces.list())
        if (concerns(namespace)) enqueue(namespace.metadata, { priority: 'low' });
      const stops = [
        deps.namespaces.onChange((namespace, type) => {
          if (type !== 'DELETED' && concerns(namespace)) enqueue(namespace.metadata);
        }),
        deps.issuers.onChange((issuer, _type, before) => {
          if (changed(issuer, before)) all();
        }),
        deps.secrets.onChange((secret) => followSecret(deps, secret, enqueue)),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

function mintOf(issuer: Issuer | undefined): Mint | undefined {
  return issuer && clusterIssuer(issuer)?.spec.acme?.externalAccountBinding?.mint;
}

function mintings({ issuers }: MintedKeysDeps): Minting[] {
  return issuers.list().flatMap((issuer) => {
    const mint = mintOf(issuer);
    return mint ? [{ issuer, mint }] : [];
  });
}

function isSelected({ tenants }: MintedKeysDeps, mint: Mint, { metadata }: Namespace): boolean {
  return (!tenants || tenants.includes(metadata.name)) && selectsNamespace(mint.namespaceSelector, metadata);
}

/** Whether an issuer that came, changed or went mints otherwise than before. */
function changed(issuer: Issuer, before: Issuer | undefined): boolean {
  const [now, then] = [mintOf(issuer), mintOf(before)];
  if (!before) return now !== undefined;
  return JSON.stringify(now) !== JSON.stringify(then);
}

function followSecret(deps: MintedKeysDeps, { metadata }: KubeObject, enqueue: Enqueue): void {
  const isWanted = mintings(deps).some(({ mint }) => mint.secretName === metadata.name);
  if (isWanted || metadata.annotations?.[KEPT_FOR] !== undefined) enqueue({ name: metadata.namespace ?? '' });
}

/** Deletes a Secret of ours. */
async function withdraw({ cluster, marks }: MintedKeysDeps, ref: KubeObject['metadata'], log: Log): Promise<void> {
  const { name, namespace = '' } = ref;
  const secret = await cluster.get(SecretKind, { namespace, name });
  if (!secret || keptFor(marks, PURPOSE, secret) === undefined) return;
  const { uid, resourceVersion } = secret.metadata;
  await cluster.delete(SecretKind, { namespace, name }, { uid, resourceVersion });
  log.info({ namespace, name }, 'a minted key was withdrawn');
}

/** Brings the Secret to what it should hold, unless it is kept for one of the other issuers; gives when it is due again, as milliseconds since 1970. */
async function keep(
  deps: MintedKeysDeps,
  { issuer, mint, others }: Minting & { others: readonly string[] },
  namespace: Namespace,
): Promise<number> {
  const { cluster, marks, clock } = deps;
  const { current, nextAt } = periodsOf(mint, clock.now());
  const place = { namespace: namespace.metadata.name, name: mint.secretName };
  const of = { issuer, namespace, period: current };
  const secret = await cluster.get(SecretKind, place);
  const owner = secret && keptFor(marks, PURPOSE, secret);
  // What was kept for an issuer that mints here no more is free.
  if (secret && (owner === undefined || others.includes(owner))) {
    const message = `Secret ${place.name} in namespace ${place.namespace} was made by somebody else: it gets no key`;
    deps.events.event(issuer, 'Warning', 'SecretNotOurs', message);
    return nextAt.getTime();
  }
  // A key made earlier in the period is as good, whichever of the shared keys it comes from.
  const held = Buffer.from(decoded(secret, 'secret'), 'base64url');
  const isGood = held.length > 0 && mintedKeys(marks, of).some((key) => key.equals(held));
  const stringData = {
    keyID: mintedKeyID(place.namespace),
    secret: isGood ? decoded(secret, 'secret') : mintKey(marks, of),
    directory: deps.directoryURL(issuer),
  };
  if (secret && Object.entries(stringData).every(([key, value]) => decoded(secret, key) === value))
    return nextAt.getTime();
  const annotations = { ...secret?.metadata.annotations, ...ownMark(marks, PURPOSE, place, issuer.metadata.uid) };
  const data = Object.fromEntries(Object.entries(stringData).map(([key, text]) => [key, encoded(text)]));
  if (secret) await cluster.replace(SecretKind, { ...secret, metadata: { ...secret.metadata, annotations }, data });
  else await cluster.create(SecretKind, { metadata: { ...place, annotations }, type: 'Opaque', data });
  return nextAt.getTime();
}

const encoded = (text: string): string => Buffer.from(text).toString('base64');
const decoded = (secret: Secret | undefined, key: string): string =>
  Buffer.from(secret?.data?.[key] ?? '', 'base64').toString();
