// `countersign get`: shows what the embedded store holds, as kubectl would, also while `countersign dev` runs.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ALL_KINDS } from '../api/index.ts';
import type { Kind, KubeObject } from '../api/kind.ts';
import { nearest } from '../api/schema-errors.ts';
import { plural } from '../cluster/object-store.ts';
import { readStore, storeFile } from '../cluster/sqlite-storage.ts';
import { oneLine } from '../domain/remote-text.ts';
import { renderJson, renderYaml } from './safe-output.ts';
import { renderTable } from './table.ts';

export interface GetIO {
  out(text: string): void;
  err(text: string): void;
  now(): Date;
}

interface GetFlags {
  kinds: Kind[];
  names: string[];
  /** Undefined: all of them. */
  namespace: string | undefined;
  output: 'table' | 'wide' | 'yaml' | 'json';
  data: string;
}

const GET_HELP = `Usage: countersign get KIND[,KIND…] [NAME…] [flags]

Shows objects of the embedded store of countersign dev, also while it runs.

  -n, --namespace NS    only this namespace (default: all)
  -A, --all-namespaces  all namespaces
  -o wide|yaml|json     more columns, or whole objects
  --data DIR            data folder of countersign dev (default ./countersign-data)

Kinds: ${ALL_KINDS.map((kind) => [kind.plural, ...kind.shortNames].join(' or ')).join(', ')}
`;

const OPTIONS = {
  namespace: { type: 'string', short: 'n' },
  'all-namespaces': { type: 'boolean', short: 'A' },
  output: { type: 'string', short: 'o' },
  data: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

class UsageError extends Error {}

/** Exit codes: 0 shown, 1 no such object or store, 2 wrong arguments. */
export async function runGet(args: readonly string[], io: GetIO): Promise<number> {
  try {
    const flags = parseGetFlags(args);
    if (!flags) {
      io.out(GET_HELP);
      return 0;
    }
    return show(flags, io);
  } catch (error) {
    io.err(`countersign: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Undefined when help is asked for. */
function parseGetFlags(args: readonly string[]): GetFlags | undefined {
  const { values, positionals } = parsed(args);
  if (values.help) return undefined;
  const [kinds, ...names] = positionals;
  if (kinds === undefined) throw new UsageError(`which kind? ${kindList()}`);
  if (values.namespace !== undefined && values['all-namespaces']) throw new UsageError('-n and -A do not go together');
  const output = values.output ?? 'table';
  if (output !== 'table' && output !== 'wide' && output !== 'yaml' && output !== 'json')
    throw new UsageError(`-o must be wide, yaml or json, not ${JSON.stringify(output)}`);
  const data = values.data ?? 'countersign-data';
  return { kinds: kinds.split(',').map(kindNamed), names, namespace: values.namespace, output, data };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function kindNamed(text: string): Kind {
  const word = text.toLowerCase();
  const found = ALL_KINDS.find((kind) =>
    [kind.kind.toLowerCase(), kind.plural, kind.singular, plural(kind), ...kind.shortNames].includes(word),
  );
  if (found) return found;
  const close = nearest(
    word,
    ALL_KINDS.flatMap((kind) => [kind.plural, kind.singular]),
  );
  const hint = close === undefined ? '' : `, did you mean ${close}?`;
  throw new UsageError(`there is no kind ${JSON.stringify(text)}${hint} ${kindList()}`);
}

function kindList(): string {
  return `Kinds are ${ALL_KINDS.map((kind) => [kind.singular, ...kind.shortNames].join(' or ')).join(', ')}.`;
}

function show(flags: GetFlags, io: GetIO): number {
  const folder = resolve(flags.data);
  const file = storeFile(folder);
  if (!existsSync(file))
    throw new Error(
      `there is no store in ${folder}: run countersign dev there first, or name its data folder with --data`,
    );
  const groups = flags.kinds.map((kind) => ({
    kind,
    objects: readStore(file, plural(kind)).filter((object) => isWanted(flags, object)),
  }));
  const missing = missingNames(flags, groups);
  for (const message of missing) io.err(`countersign: ${oneLine(message)}\n`);
  if (flags.output === 'yaml' || flags.output === 'json')
    printObjects(
      flags,
      groups.flatMap(({ objects }) => objects),
      io,
    );
  else printTables(flags, groups, io);
  return missing.length > 0 ? 1 : 0;
}

interface Group {
  kind: Kind;
  objects: KubeObject[];
}

function isWanted({ names, namespace }: GetFlags, { metadata }: KubeObject): boolean {
  if (names.length > 0 && !names.includes(metadata.name)) return false;
  return namespace === undefined || metadata.namespace === undefined || metadata.namespace === namespace;
}

function missingNames({ names, namespace }: GetFlags, groups: readonly Group[]): string[] {
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  return groups.flatMap(({ kind, objects }) =>
    names
      .filter((name) => !objects.some(({ metadata }) => metadata.name === name))
      .map((name) => `${plural(kind)} ${JSON.stringify(name)} not found${where}`),
  );
}

function printObjects({ output, names, kinds }: GetFlags, objects: readonly KubeObject[], io: GetIO): void {
  const single = names.length === 1 && kinds.length === 1 && objects.length === 1;
  const value = single ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
  if (names.length > 0 && objects.length === 0) return;
  io.out(output === 'json' ? renderJson(value) : renderYaml(value));
}

function printTables({ output, names, namespace, kinds }: GetFlags, groups: readonly Group[], io: GetIO): void {
  const filled = groups.filter(({ objects }) => objects.length > 0);
  if (filled.length === 0 && names.length === 0)
    io.err(`No resources found${namespace === undefined ? '' : ` in ${namespace} namespace`}.\n`);
  const tables = filled.map(({ kind, objects }) =>
    renderTable(kind, objects, {
      wide: output === 'wide',
      namespaces: kind.namespaced && namespace === undefined,
      prefix: kinds.length > 1,
      now: io.now(),
    }),
  );
  io.out(tables.join('\n'));
}
