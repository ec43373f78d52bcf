// Reads a folder of YAML manifests: every object that is fit to be applied, and every mistake with its file, document and path.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Document, parseAllDocuments } from 'yaml';
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CertificateClaimKind } from '../api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { ConfigMapKind, NamespaceKind, SecretKind } from '../api/core.ts';
import { OWN_KINDS } from '../api/index.ts';
import { CAIssuerKind } from '../api/issuer.ts';
import { apiVersion, type FieldError, type Kind, type KubeObject, type NewObject } from '../api/kind.ts';
import { nearest } from '../api/schema-errors.ts';
import { validateObject } from '../api/validate.ts';

/** What manifests may hold, in the order in which it is applied. */
export const MANIFEST_KINDS: readonly Kind[] = [
  NamespaceKind,
  SecretKind,
  ConfigMapKind,
  ClusterCAIssuerKind,
  CAIssuerKind,
  CertificateRequestPolicyKind,
  CertificateClaimKind,
];

/** Bytes of one file. */
const FILE_LIMIT = 4 * 1024 * 1024;
/** Uses of aliases in one document: a few thousand bytes of YAML can otherwise unfold to gigabytes. */
const ALIAS_LIMIT = 100;
/** What `kubectl get -o yaml` writes into metadata and nobody needs to give. */
const IGNORED_METADATA = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'managedFields',
  'selfLink',
];
const GIVEN_METADATA = ['name', 'namespace', 'labels', 'annotations'];

export interface Manifest {
  kind: Kind;
  object: NewObject<KubeObject>;
  file: string;
  /** Counted from 1. */
  document: number;
}

export interface ManifestError extends FieldError {
  file: string;
  /** Undefined for a mistake of the whole file. */
  document?: number;
}

export interface Manifests {
  /** In the order in which to apply them. */
  manifests: Manifest[];
  errors: ManifestError[];
  /** Names, as of manifestName, of objects whose documents are wrong. */
  broken: string[];
}

/** Throws an Error that names the folder when it cannot be read. */
export function manifestFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /\.(ya?ml|json)$/.test(name) && !name.startsWith('.'))
      .sort();
  } catch (error) {
    throw new Error(`the manifests folder ${folder} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Throws only when the folder itself cannot be read. */
export function loadManifests(folder: string): Manifests {
  return together(manifestFiles(folder).map((file) => readManifests(file, join(folder, file))));
}

/** As loadManifests, of files and folders, named as given. Throws where one of them does not exist. */
export function loadManifestPaths(paths: readonly string[]): Manifests {
  const files = paths.flatMap((path) =>
    statSync(path).isDirectory() ? manifestFiles(path).map((file) => join(path, file)) : [path],
  );
  return together(files.map((file) => readManifests(file, file)));
}

function together(loaded: readonly Manifests[]): Manifests {
  const manifests = loaded.flatMap((each) => each.manifests);
  const errors = loaded.flatMap((each) => each.errors);
  const { unique, repeated } = withoutRepeats(manifests);
  unique.sort((a, b) => MANIFEST_KINDS.indexOf(a.kind) - MANIFEST_KINDS.indexOf(b.kind));
  return { manifests: unique, errors: [...errors, ...repeated], broken: loaded.flatMap((each) => each.broken) };
}

/** `issuer.yaml document 2: spec.profiles[0].name: is required …`. */
export function renderManifestError({ file, document, path, message }: ManifestError): string {
  const where = document === undefined ? file : `${file} document ${document}`;
  return path === '' ? `${where}: ${message}` : `${where}: ${path}: ${message}`;
}

/** Name of an object for people: `ClusterCAIssuer corporate`, `Secret default/tls`. */
export function manifestName({ kind, object: { metadata } }: Pick<Manifest, 'kind' | 'object'>): string {
  return `${kind.kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}

function readManifests(file: string, path: string): Manifests {
  try {
    const { size } = statSync(path);
    if (size > FILE_LIMIT) return fileError(file, `has ${size} bytes, at most ${FILE_LIMIT} are read`);
    return parseManifests(file, readFileSync(path, 'utf8'));
  } catch (error) {
    return fileError(file, `cannot be read: ${messageOf(error)}`);
  }
}

function fileError(file: string, message: string): Manifests {
  return { manifests: [], errors: [{ file, path: '', message }], broken: [] };
}

function parseManifests(file: string, text: string): Manifests {
  const result: Manifests = { manifests: [], errors: [], broken: [] };
  const documents = parseAllDocuments(text, { schema: 'core', uniqueKeys: true, prettyErrors: true });
  for (const [i, parsed] of (Array.isArray(documents) ? documents : []).entries()) {
    const at = { file, document: i + 1 };
    const outcome = manifestOf(parsed);
    if (outcome === undefined) continue;
    if ('errors' in outcome) {
      result.errors.push(...outcome.errors.map((error) => ({ ...at, ...error })));
      if (outcome.name !== undefined) result.broken.push(outcome.name);
    } else result.manifests.push({ ...outcome, ...at });
  }
  return result;
}

/** `name` as of manifestName, where it can be told. */
type Outcome = { kind: Kind; object: NewObject<KubeObject> } | { errors: FieldError[]; name?: string };

/** Undefined for a document with nothing in it. */
function manifestOf(parsed: Document.Parsed): Outcome | undefined {
  if (parsed.errors.length > 0)
    return {
      errors: parsed.errors.map(({ message }) => ({
        path: '',
        message: (message.split('\n')[0] ?? '').replace(/:$/, ''),
      })),
    };
  const value = unfolded(parsed);
  if ('errors' in value) return value;
  const object = value.value;
  if (object === null || object === undefined) return undefined;
  if (typeof object !== 'object' || Array.isArray(object))
    return { errors: [{ path: '', message: 'a manifest is a mapping with apiVersion, kind and metadata' }] };
  const kind = kindOf(object as Record<string, unknown>);
  return 'errors' in kind ? kind : checked(kind.kind, object);
}

function unfolded(parsed: Document.Parsed): { value: unknown } | { errors: FieldError[] } {
  try {
    return { value: parsed.toJS({ maxAliasCount: ALIAS_LIMIT }) as unknown };
  } catch (error) {
    return { errors: [{ path: '', message: messageOf(error) }] };
  }
}

function kindOf(object: Record<string, unknown>): { kind: Kind } | { errors: FieldError[] } {
  const wanted = MANIFEST_KINDS.find(({ kind }) => kind === object.kind);
  if (!wanted) return { errors: [{ path: 'kind', message: refusal(object.kind) }] };
  if (object.apiVersion === apiVersion(wanted)) return { kind: wanted };
  return { errors: [{ path: 'apiVersion', message: `must be ${apiVersion(wanted)} for a ${wanted.kind}` }] };
}

function refusal(kind: unknown): string {
  const names = MANIFEST_KINDS.map((each) => each.kind);
  if (OWN_KINDS.some((own) => own.kind === kind)) return `${String(kind)} is written by the operator only`;
  if (typeof kind !== 'string') return `is required: one of ${names.join(', ')}`;
  const close = nearest(kind, names);
  return `${JSON.stringify(kind.slice(0, 64))} is not accepted${close === undefined ? '' : `, did you mean ${close}?`}; manifests hold ${names.join(', ')}`;
}

function checked(kind: Kind, object: object): Outcome {
  const { metadata, ...rest } = object as { metadata?: unknown; status?: unknown };
  // The operator's to write; `kubectl get -o yaml` has it.
  if (kind.statusSubresource) delete rest.status;
  const members = typeof metadata === 'object' && metadata !== null ? metadata : {};
  const errors = metadataFieldErrors(members);
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(members)) {
    if (GIVEN_METADATA.includes(key) && value !== null) given[key] = value;
  }
  if (kind.namespaced) given.namespace ??= 'default';
  const complete = { ...rest, metadata: given } as unknown as KubeObject;
  errors.push(...validateObject(kind, complete));
  return errors.length > 0 ? { errors, name: manifestName({ kind, object: complete }) } : { kind, object: complete };
}

function metadataFieldErrors(metadata: object): FieldError[] {
  return Object.keys(metadata)
    .filter((key) => !GIVEN_METADATA.includes(key) && !IGNORED_METADATA.includes(key))
    .map((key) => {
      const close = nearest(key, GIVEN_METADATA);
      const known = close === undefined ? `known are ${GIVEN_METADATA.join(', ')}` : `did you mean ${close}?`;
      return { path: `metadata.${key}`, message: `unknown field, ${known}` };
    });
}

function withoutRepeats(manifests: readonly Manifest[]): { unique: Manifest[]; repeated: ManifestError[] } {
  const byName = new Map<string, Manifest>();
  const repeated: ManifestError[] = [];
  for (const manifest of manifests) {
    const name = manifestName(manifest);
    const first = byName.get(name);
    if (!first) byName.set(name, manifest);
    else
      repeated.push({
        file: manifest.file,
        document: manifest.document,
        path: 'metadata.name',
        message: `${name} is defined already in ${first.file} document ${first.document}`,
      });
  }
  return { unique: [...byName.values()], repeated };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
