// Objects as a table of their kind's columns, in kubectl's manner.
import type { Kind, KubeObject, PrinterColumn } from '../api/kind.ts';
import { oneLine } from '../domain/remote-text.ts';

export interface TableOptions {
  wide: boolean;
  /** Whether to show a column of namespaces. */
  namespaces: boolean;
  /** Whether names carry their kind, as when several kinds are shown. */
  prefix: boolean;
  now: Date;
}

/** Ends with a newline. What a terminal would obey is made visible: values may come from anyone. */
export function renderTable(kind: Kind, objects: readonly KubeObject[], options: TableOptions): string {
  const columns = kind.columns.filter((column) => options.wide || !column.wide);
  const header = [
    ...(options.namespaces ? ['NAMESPACE'] : []),
    'NAME',
    ...columns.map(({ name }) => name.toUpperCase()),
  ];
  const rows = objects.map((object) => [
    ...(options.namespaces ? [object.metadata.namespace ?? ''] : []),
    options.prefix ? `${kind.singular}/${object.metadata.name}` : object.metadata.name,
    ...columns.map((column) => renderCell(column, object, options.now)),
  ]);
  return aligned([header, ...rows.map((row) => row.map(printable))]);
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('   ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

/** The first line, without characters that a terminal would obey. */
function printable(text: string): string {
  const [first = '', ...more] = text.split('\n');
  const visible = oneLine(first);
  return more.length > 0 ? `${visible}...` : visible;
}

function renderCell({ jsonPath, type }: PrinterColumn, object: KubeObject, now: Date): string {
  const values = valuesAt(object, jsonPath);
  if (type !== 'date')
    return values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(',');
  return values.map((value) => (typeof value === 'string' ? renderAge(value, now) : '')).join(',');
}

/** Values at a path of `.name`, `[*]` and `[?(@.name=="text")]` steps. */
export function valuesAt(root: unknown, path: string): unknown[] {
  let values: unknown[] = [root];
  for (const [step, name, key, text] of path.matchAll(/\.(\w+)|\[\*\]|\[\?\(@\.(\w+)=="([^"]*)"\)\]/g)) {
    if (name !== undefined) values = values.map((value) => member(value, name));
    else values = values.flatMap((value): unknown[] => (Array.isArray(value) ? value : []));
    if (key !== undefined) values = values.filter((value) => member(value, key) === text);
    if (step === '') break;
  }
  return values.filter((value) => value !== undefined && value !== null);
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** How long ago an instant was, or `in …` for one to come. */
function renderAge(instant: string, now: Date): string {
  const seconds = Math.trunc((now.getTime() - new Date(instant).getTime()) / 1000);
  if (Number.isNaN(seconds)) return instant;
  return seconds < 0 ? `in ${humanDuration(-seconds)}` : humanDuration(seconds);
}

/** Two units where that tells more, one beyond, as kubectl does: 90s, 5m30s, 47m, 3h20m, 30h, 5d3h, 89d, 2y30d, 9y. */
export function humanDuration(seconds: number): string {
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  const years = Math.floor(days / 365);
  const two = (first: string, rest: number, unit: string): string => (rest === 0 ? first : `${first}${rest}${unit}`);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return two(`${minutes}m`, seconds % 60, 's');
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return two(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return two(`${days}d`, hours % 24, 'h');
  if (years < 2) return `${days}d`;
  return years < 8 ? two(`${years}y`, days % 365, 'd') : `${years}y`;
}
