// The bill of materials of the bundle, as CycloneDX: the packages that went into it, by what package-lock.json says of them.
import { createHash } from 'node:crypto';

export interface Lock {
  name: string;
  version: string;
  packages: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  version?: string;
  license?: string;
  /** `<algorithm>-<base64>`. */
  integrity?: string;
  dependencies?: Readonly<Record<string, string>>;
  peerDependencies?: Readonly<Record<string, string>>;
  optionalDependencies?: Readonly<Record<string, string>>;
}

/** `node_modules/a/node_modules/@b/c/d.js` → `node_modules/a/node_modules/@b/c`, its key in the lock; undefined for a file of ours. */
export function packageOf(file: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0];
}

export function nameOf(key: string): string {
  return key.slice(key.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** `packages` are keys of the lock. Throws where the lock does not know one. */
export function renderSbom(lock: Lock, packages: readonly string[]): string {
  const own = lock.packages[''] ?? {};
  const self = {
    type: 'application',
    'bom-ref': purl(lock.name, lock.version),
    name: lock.name,
    version: lock.version,
    ...licences(own),
    purl: purl(lock.name, lock.version),
  };
  const components = packages.map((key) => component(lock, key));
  const dependencies = [
    { ref: self['bom-ref'], dependsOn: dependsOn(lock, '', packages) },
    ...packages.map((key) => ({ ref: refOf(lock, key), dependsOn: dependsOn(lock, key, packages) })),
  ];
  const body = { metadata: { component: self }, components, dependencies };
  return `${JSON.stringify(
    { bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: serialNumber(body), version: 1, ...body },
    undefined,
    2,
  )}\n`;
}

function lockedPackage(lock: Lock, key: string): LockedPackage & { version: string } {
  const { version, ...rest } = lock.packages[key] ?? {};
  if (version === undefined) throw new Error(`package-lock.json does not know ${key}`);
  return { version, ...rest };
}

function component(lock: Lock, key: string): object {
  const locked = lockedPackage(lock, key);
  const [name = '', group] = nameOf(key).split('/').toReversed();
  return {
    type: 'library',
    'bom-ref': refOf(lock, key),
    ...(group === undefined ? {} : { group }),
    name,
    version: locked.version,
    scope: 'required',
    ...hashes(locked),
    ...licences(locked),
    purl: purl(nameOf(key), locked.version),
  };
}

/** Two copies of one version are one component twice, so their places tell them apart. */
function refOf(lock: Lock, key: string): string {
  const { version } = lockedPackage(lock, key);
  const nested = key.split('node_modules/').length > 2;
  return `${purl(nameOf(key), version)}${nested ? `#${key}` : ''}`;
}

/** As Node resolves: in the nearest node_modules upwards. */
function dependsOn(lock: Lock, key: string, packages: readonly string[]): string[] {
  const { dependencies, peerDependencies, optionalDependencies } = lock.packages[key] ?? {};
  const wanted = Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
  const found = wanted.flatMap((name) => {
    for (let at = key; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
      const candidate = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
      if (packages.includes(candidate)) return [refOf(lock, candidate)];
      if (at === '' || candidate in lock.packages) return [];
    }
  });
  return [...new Set(found)].sort();
}

/** https://github.com/package-url/purl-spec: the scope's @ is escaped. */
function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace(/^@/, '%40')}@${version}`;
}

function hashes({ integrity }: LockedPackage): object {
  const [, algorithm, base64] = /^(sha\d+)-(\S+)$/.exec(integrity ?? '') ?? [];
  if (algorithm === undefined || base64 === undefined) return {};
  const content = Buffer.from(base64, 'base64').toString('hex');
  return { hashes: [{ alg: algorithm.toUpperCase().replace('SHA', 'SHA-'), content }] };
}

function licences({ license }: LockedPackage): object {
  if (license === undefined) return {};
  return /^[A-Za-z0-9.+-]+$/.test(license)
    ? { licenses: [{ license: { id: license } }] }
    : { licenses: [{ expression: license }] };
}

/** Of the content alone, so that the same sources give the same bytes (RFC 9562 section 5.8). */
function serialNumber(body: object): string {
  const bytes = createHash('sha256').update(JSON.stringify(body)).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')}`;
}
