// What every kind of object has in common: its Kubernetes metadata, its schema, and the rules across fields.
import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox';
import type { CelRule } from './rule.ts';

/** Kubernetes object metadata, the part this program reads or writes. */
export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  /** Advances when the spec changes, never for metadata or status. */
  generation: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** An object before the API server has seen it: metadata may lack what the server fills in. */
export type NewObject<T extends KubeObject> = Omit<T, 'metadata' | 'apiVersion' | 'kind'> & {
  metadata: Partial<ObjectMeta> & { name: string };
};

/** One broken field: `path` as users write it (`spec.backend.ca.secretRef.name`), `message` says what would be accepted. */
export interface FieldError {
  path: string;
  message: string;
}

/** A column of `kubectl get` / `countersign get`; `wide` columns show with `-o wide` (priority 1). */
export interface PrinterColumn {
  name: string;
  /** JSONPath without `$`, for example `.status.serial`. */
  jsonPath: string;
  type: 'string' | 'integer' | 'date' | 'boolean';
  wide?: boolean;
}

/** A kind: how it is named on the wire, its schema, and its rules. `T` is the object's type. */
export interface Kind<T extends KubeObject = KubeObject> {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  shortNames: readonly string[];
  namespaced: boolean;
  /** With a status subresource, `replace` leaves status alone and `replaceStatus` leaves all else alone. */
  statusSubresource: boolean;
  /** Schema of everything but apiVersion, kind and metadata; `undefined` for core kinds, which are stored as given. */
  schema: TObject | undefined;
  columns: readonly PrinterColumn[];
  /** What `kubectl explain` and the reference say of the kind. */
  description: string;
  /**
   * Rules across fields; `old` is given on updates. Pure. CEL in the CRD mirrors them. A method, so that each kind is also a
   * Kind of any object: the stores only ever hand it objects of its own.
   */
  rules(object: T, old?: T): FieldError[];
  /** The rules that the API server judges too, for the CRD. */
  cel?: readonly CelRule[];
  /** Set by `metadataOf`. */
  metadataOnly?: true;
}

/**
 * The kind seen through its metadata alone: get, list and watch give apiVersion, kind and metadata, and nothing else leaves the
 * server; kubectl's last-applied annotation, which repeats the object, is left out too. Its objects can be deleted, not written.
 */
export function metadataOf(kind: Kind): Kind {
  return { ...kind, schema: undefined, statusSubresource: false, rules: () => [], metadataOnly: true };
}

export function apiVersion(kind: Pick<Kind, 'group' | 'version'>): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

export const GROUP = 'countersign.dev';
export const ACME_GROUP = 'acme.countersign.dev';
export const VERSION = 'v1alpha1';

/** An object schema that refuses unknown fields. */
export function Closed<P extends TProperties>(properties: P, description?: string): TObject<P> {
  return Type.Object(properties, closed(description));
}

/**
 * As Closed, for what has one writer and is written whole: the API server then keeps no account of who owns which of its members,
 * which is a tenth of its work for such an object (docs/adr/0021).
 */
export function Whole<P extends TProperties>(properties: P, description?: string): TObject<P> {
  return Type.Object(properties, { ...closed(description), 'x-kubernetes-map-type': 'atomic' });
}

const closed = (description: string | undefined) => ({
  additionalProperties: false,
  ...(description ? { description } : {}),
});

// `accepts` ends the sentence "must be …" in messages about a broken field; it is no part of the published schema.

/** A Go-style duration of hours, minutes and seconds: `2160h`, `90m`, `1h30m`. */
export const Duration = (description: string) =>
  Type.String({
    pattern: '^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$',
    minLength: 2,
    maxLength: 24,
    accepts: 'a duration such as 2160h, 90m or 1h30m',
    description,
  });

const LEAP_YEAR = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)';
const DAY = '((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))';

/**
 * An RFC 3339 date-time of a day that exists. By a pattern alone: with `format: date-time` the API server takes a list where it
 * wants text, whatever `type` says.
 */
export const Instant = (description: string) =>
  Type.String({
    pattern: `^([0-9]{4}-${DAY}|${LEAP_YEAR}-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`,
    maxLength: 35,
    accepts: 'an instant such as 2030-01-31T12:00:00Z',
    description,
  });

export const Name = (description: string) =>
  Type.String({
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
    minLength: 1,
    maxLength: 253,
    accepts: 'the name of an object: lower-case letters, digits, inner hyphens and dots',
    description,
  });

export const Text = (description: string, maxLength = 1024) => Type.String({ minLength: 1, maxLength, description });

/** A list of at least one entry: an absent member means "no limit", an empty list is a mistake. */
export const List = <S extends TSchema>(item: S, description: string, maxItems = 256) =>
  Type.Array(item, { minItems: 1, maxItems, description });

/** A list whose entries are told apart by a text member of theirs; two with the same are refused. */
export const KeyedList = <S extends TObject>(
  item: S,
  key: string & keyof Static<S>,
  description: string,
  maxItems: number,
) =>
  Type.Array(item, {
    minItems: 1,
    maxItems,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': [key],
    description,
  });

/** A list of words, none of them twice. */
export const SetOf = <S extends TSchema>(item: S, description: string, maxItems: number) =>
  Type.Array(item, { minItems: 1, maxItems, 'x-kubernetes-list-type': 'set', description });

export const Cidr = Type.String({
  minLength: 2,
  maxLength: 49,
  pattern: '^[0-9a-fA-F:.]+(/(0|[1-9][0-9]{0,2}))?$',
  accepts: 'a network such as 10.0.0.0/8 or one address',
  description: 'An IPv4 or IPv6 network such as 10.0.0.0/8, or one address.',
});

/** Labels that a thing must have, all of them. */
export const MatchLabels = (description: string) =>
  Type.Record(Type.String(), Type.String({ maxLength: 63 }), { maxProperties: 32, description });

export const SecretRef = Closed(
  { name: Name('Name of the Secret.') },
  'A Secret in the namespace the kind prescribes.',
);

export const SecretKeyRef = Closed({
  name: Name('Name of the Secret.'),
  key: Text('Key in the Secret.', 253),
});

export const IssuerRef = Closed(
  {
    kind: Type.Enum(['ClusterCAIssuer', 'CAIssuer'], {
      description: 'Kind of the issuer; a CAIssuer is one of the same namespace.',
    }),
    name: Name('Name of the issuer.'),
  },
  'The issuer that signs.',
);
export type IssuerRef = Static<typeof IssuerRef>;

/** metav1.Condition. */
export const Condition = Closed({
  type: Text('Name of the condition, an adjective or past participle.', 316),
  status: Type.Enum(['True', 'False', 'Unknown'], { description: 'Whether the condition holds.' }),
  reason: Text('CamelCase word for programs.', 1024),
  message: Type.String({ maxLength: 32_768, description: 'Sentence for people.' }),
  lastTransitionTime: Instant('When status last changed.'),
  observedGeneration: Type.Optional(Type.Integer({ minimum: 0, description: 'metadata.generation judged.' })),
});
export type Condition = Static<typeof Condition>;

export const Conditions = Type.Array(Condition, {
  maxItems: 16,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  description: 'Conditions, one a type.',
});

export const Usage = Type.Enum(['server auth', 'client auth'], { description: 'An extended key usage.' });
export type Usage = Static<typeof Usage>;
