// Kubernetes' own rules for metadata: names, labels, annotations, finalizers and sizes.
import type { FieldError, Kind, KubeObject, ObjectMeta } from './kind.ts';

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_PART = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Sum of keys and values of all annotations, bytes. */
const ANNOTATIONS_LIMIT = 256 * 1024;
/** What etcd takes in one request, bytes of JSON. */
export const OBJECT_LIMIT = 1_572_864;

/** RFC 1123 label: a namespace's name. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && LABEL.test(text);
}

/** RFC 1123 subdomain: the name of most objects. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && SUBDOMAIN.test(text);
}

/** `name` or `prefix/name`, as keys of labels and annotations are written. */
function isQualifiedName(text: string): boolean {
  const slash = text.indexOf('/');
  const name = text.slice(slash + 1);
  if (slash >= 0 && !isDnsSubdomain(text.slice(0, slash))) return false;
  return name.length <= 63 && QUALIFIED_PART.test(name);
}

export function metadataErrors(kind: Pick<Kind, 'namespaced' | 'kind' | 'schema'>, metadata: unknown): FieldError[] {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    return [{ path: 'metadata', message: 'must be a mapping with a name' }];
  const meta = metadata as Partial<Record<keyof ObjectMeta, unknown>>;
  return [
    ...nameErrors(kind, meta.name),
    ...namespaceErrors(kind, meta.namespace),
    ...labelErrors(meta.labels, 'metadata.labels'),
    ...annotationErrors(meta.annotations),
    ...finalizerErrors(meta.finalizers, kind.schema === undefined),
  ];
}

function nameErrors(kind: Pick<Kind, 'kind'>, name: unknown): FieldError[] {
  const path = 'metadata.name';
  if (typeof name !== 'string' || name === '') return [{ path, message: 'is required: the name of the object' }];
  if (kind.kind === 'Namespace')
    return isDnsLabel(name)
      ? []
      : [{ path, message: 'must be lower-case letters, digits and inner hyphens, at most 63 characters (RFC 1123)' }];
  // ClusterTrustBundles are named after their signer, with a colon for its slash.
  if (isDnsSubdomain(name) || (kind.kind === 'ClusterTrustBundle' && name.split(':').every(isDnsSubdomain))) return [];
  return [
    { path, message: 'must be lower-case letters, digits, inner hyphens and dots, at most 253 characters (RFC 1123)' },
  ];
}

function namespaceErrors(kind: Pick<Kind, 'namespaced' | 'kind'>, namespace: unknown): FieldError[] {
  const path = 'metadata.namespace';
  if (!kind.namespaced)
    return namespace === undefined || namespace === ''
      ? []
      : [{ path, message: `must be absent: a ${kind.kind} belongs to the whole cluster` }];
  if (typeof namespace !== 'string' || namespace === '')
    return [{ path, message: `is required: a ${kind.kind} lives in a namespace` }];
  return isDnsLabel(namespace) ? [] : [{ path, message: 'must be the name of a namespace (RFC 1123 label)' }];
}

function isMapOfText(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const KEY_RULE =
  'is no valid key: at most 63 letters, digits, "-", "_" and ".", beginning and ending with a letter or digit, perhaps after a DNS name and "/"';

/** What is wrong with labels, or with the labels of a selector, at a path. */
export function labelErrors(labels: unknown, at: string): FieldError[] {
  if (labels === undefined) return [];
  if (!isMapOfText(labels)) return [{ path: at, message: 'must be a mapping of text' }];
  const errors: FieldError[] = [];
  for (const key in labels) {
    const value = labels[key];
    const path = `${at}[${key}]`;
    if (!isQualifiedName(key)) errors.push({ path, message: KEY_RULE });
    if (typeof value !== 'string' || value.length > 63 || (value !== '' && !QUALIFIED_PART.test(value)))
      errors.push({
        path,
        message:
          'must be text of at most 63 letters, digits, "-", "_" and ".", beginning and ending with a letter or digit',
      });
  }
  return errors;
}

function annotationErrors(annotations: unknown): FieldError[] {
  if (annotations === undefined) return [];
  if (!isMapOfText(annotations)) return [{ path: 'metadata.annotations', message: 'must be a mapping of text' }];
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const key in annotations) {
    const value = annotations[key];
    const path = `metadata.annotations[${key}]`;
    // Keys of annotations may have upper-case letters in the DNS name.
    if (!isQualifiedName(key.toLowerCase())) errors.push({ path, message: KEY_RULE });
    if (typeof value !== 'string') errors.push({ path, message: 'must be text' });
    else bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > ANNOTATIONS_LIMIT)
    errors.push({ path: 'metadata.annotations', message: `must not exceed ${ANNOTATIONS_LIMIT} bytes, has ${bytes}` });
  return errors;
}

/** Kubernetes' own kinds take no finalizer without a prefix (but those of Kubernetes), custom resources do. */
function finalizerErrors(finalizers: unknown, prefixed: boolean): FieldError[] {
  if (finalizers === undefined) return [];
  if (!Array.isArray(finalizers)) return [{ path: 'metadata.finalizers', message: 'must be a list of text' }];
  return finalizers.flatMap((finalizer: unknown, i) =>
    typeof finalizer === 'string' && (finalizer.includes('/') || !prefixed) && isQualifiedName(finalizer)
      ? []
      : [{ path: `metadata.finalizers[${i}]`, message: 'must be a DNS name, "/" and a name' }],
  );
}

/** Whether the object as JSON is larger than etcd takes. Exact only near the limit, so that small objects cost little. */
export function sizeErrors(object: KubeObject): FieldError[] {
  // A character takes at most six bytes of JSON (\u0000), and every other part of the text is counted.
  if (characters(object) * 6 <= OBJECT_LIMIT) return [];
  const bytes = Buffer.byteLength(JSON.stringify(object));
  return bytes <= OBJECT_LIMIT
    ? []
    : [{ path: '', message: `the object has ${bytes} bytes of JSON, at most ${OBJECT_LIMIT} are stored` }];
}

function characters(value: unknown): number {
  if (typeof value === 'string') return value.length + 3;
  if (typeof value !== 'object' || value === null) return 24;
  let sum = 2;
  if (Array.isArray(value)) for (const item of value) sum += characters(item);
  else for (const key in value) sum += key.length + 4 + characters((value as Record<string, unknown>)[key]);
  return sum;
}
