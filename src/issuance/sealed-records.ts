// Records that the operator wrote, told from those that somebody else did: each carries a MAC over what it grants. A cluster seen through
// this has no others, so that a record made or changed by hand, where nothing kept its writer from it, gives nobody a certificate, a
// signature or a revocation (docs/adr/0011).
import {
  type CertificateRecord,
  IssuedCertificateKind,
  RecordAnnotation,
  RecordLabel,
} from '../api/issued-certificate.ts';
import type { Kind, KubeObject, NewObject } from '../api/kind.ts';
import type { Cluster, WatchEvent } from '../ports.ts';

/** The operator's MAC keys. */
export interface RecordMarks {
  mac(purpose: string, parts: readonly string[]): string;
  verifyMac(purpose: string, parts: readonly string[], mac: string): boolean;
  /** Whether the key that a MAC names is here; where it is not, `reload` may bring it. */
  knowsKeyOf(mac: string): boolean;
  reload(): Promise<void>;
}

export interface SealedRecordsDeps {
  marks: RecordMarks;
  /** Called each time a watch or a read comes upon a record that the operator did not write as it is. */
  onForged: (record: CertificateRecord) => void;
}

const PURPOSE = 'record';
const OWN_PREFIX = 'countersign.dev/';

type Sealable = Pick<NewObject<CertificateRecord>, 'metadata' | 'spec' | 'status'>;

/** The record with its MAC, as it is to be stored. */
export function sealRecord<R extends Sealable>(marks: Pick<RecordMarks, 'mac'>, record: R): R {
  const mac = marks.mac(PURPOSE, sealedParts(record));
  const annotations = { ...record.metadata.annotations, [RecordAnnotation.mac]: mac };
  return { ...record, metadata: { ...record.metadata, annotations } };
}

/** The same cluster; its records are sealed when they are written, and those without a good MAC are not there. */
export function sealRecords(cluster: Cluster, { marks, onForged }: SealedRecordsDeps): Cluster {
  const { stream } = cluster;

  async function genuine<T extends KubeObject>(kind: Kind<T>, object: T | undefined): Promise<T | undefined> {
    if (!object || !isSealed(kind)) return object;
    const record = object as unknown as CertificateRecord;
    if (await isGenuine(marks, record)) return object;
    onForged(record);
    return undefined;
  }

  const sealed = <T extends KubeObject, O>(kind: Kind<T>, object: O): O =>
    isSealed(kind) ? (sealRecord(marks, object as O & Sealable) as O) : object;

  /** What is no record of ours any more is gone. */
  async function told<T extends KubeObject>(kind: Kind<T>, event: WatchEvent<T>): Promise<WatchEvent<T>> {
    const isKnown = event.type === 'BOOKMARK' || (await genuine(kind, event.object)) !== undefined;
    return isKnown ? event : { ...event, type: 'DELETED' };
  }

  async function* streamed<T extends KubeObject>(
    kind: Kind<T>,
    portions: AsyncIterable<readonly WatchEvent<T>[]>,
  ): AsyncIterable<readonly WatchEvent<T>[]> {
    for await (const events of portions) yield await Promise.all(events.map((event) => told(kind, event)));
  }

  async function* watch<T extends KubeObject>(
    kind: Kind<T>,
    options: Parameters<Cluster['watch']>[1],
  ): AsyncIterable<WatchEvent<T>> {
    for await (const event of cluster.watch(kind, options)) yield told(kind, event);
  }

  return {
    get: async (kind, ref) => genuine(kind, await cluster.get(kind, ref)),
    list: async (kind, options) => {
      const page = await cluster.list(kind, options);
      if (!isSealed(kind)) return page;
      const items = await Promise.all(page.items.map((item) => genuine(kind, item)));
      return { ...page, items: items.filter((item) => item !== undefined) };
    },
    ...(stream
      ? {
          stream: (kind, options) => (isSealed(kind) ? streamed(kind, stream(kind, options)) : stream(kind, options)),
        }
      : {}),
    watch: (kind, options) => (isSealed(kind) ? watch(kind, options) : cluster.watch(kind, options)),
    create: (kind, object) => cluster.create(kind, sealed(kind, object)),
    replace: (kind, object) => cluster.replace(kind, sealed(kind, object)),
    replaceStatus: (kind, object) => cluster.replaceStatus(kind, object),
    delete: (kind, ref, precondition) => cluster.delete(kind, ref, precondition),
    apply: (kind, object, options) => cluster.apply(kind, object, options),
  };
}

/** Metadata alone cannot be told. */
function isSealed({ kind, group, metadataOnly }: Pick<Kind, 'kind' | 'group' | 'metadataOnly'>): boolean {
  return kind === IssuedCertificateKind.kind && group === IssuedCertificateKind.group && !metadataOnly;
}

async function isGenuine(marks: RecordMarks, record: CertificateRecord): Promise<boolean> {
  const mac = record.metadata.annotations?.[RecordAnnotation.mac];
  if (mac === undefined) return false;
  // Where the keys cannot be read, what one of them made is not known to be ours.
  if (!marks.knowsKeyOf(mac)) await marks.reload().catch(() => undefined);
  return marks.verifyMac(PURPOSE, sealedParts(record), mac);
}

/**
 * All that the operator writes, in an order of its own: the API server sorts members. Not the revocation, which others may add
 * (docs/revocation.md), nor labels and annotations of others.
 */
function sealedParts({ metadata, spec, status }: Sealable): string[] {
  const { csr, ...request } = { ...spec, revocation: undefined };
  const { certificate = '', ...outcome } = status ?? {};
  const labels = own(metadata.labels, RecordLabel.revoked);
  const annotations = own(metadata.annotations, RecordAnnotation.mac);
  return [metadata.name, csr, certificate, canonical([labels, annotations, request, status ? outcome : null])];
}

function own(members: Readonly<Record<string, string>> | undefined, but: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(members ?? {}).filter(([name]) => name.startsWith(OWN_PREFIX) && name !== but),
  );
}

/** JSON with members in order. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  let text = '';
  for (const [name, quoted] of membersInOrder(value)) {
    const member = (value as Record<string, unknown>)[name];
    if (member !== undefined) text += `${text === '' ? '' : ','}${quoted}:${canonical(member)}`;
  }
  return `{${text}}`;
}

type Members = readonly (readonly [name: string, quoted: string])[];

/** By the names as they come: records have few shapes, and a start reads every record there is. */
const membersByShape = new Map<string, Members>();
const MAX_SHAPES = 256;

function membersInOrder(value: object): Members {
  const names = Object.keys(value);
  const shape = names.join('\n');
  const known = membersByShape.get(shape);
  // No name in there has a line end, so one that has makes for fewer.
  if (known?.length === names.length) return known;
  const members = names.sort().map((name) => [name, JSON.stringify(name)] as const);
  if (membersByShape.size < MAX_SHAPES && !names.some((name) => name.includes('\n')))
    membersByShape.set(shape, members);
  return members;
}
