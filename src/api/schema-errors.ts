// Says what is wrong with a value that breaks its schema: every mistake, each at its path as written in YAML, with what would
// be accepted. The checker compiled from the same schema decides whether a value is valid; this only explains.
import type { FieldError } from './kind.ts';

/** The part of JSON Schema that the kinds use. `accepts` is ours: what a place takes, as the end of "must be …". */
export interface SchemaNode {
  type?: string;
  properties?: Record<string, SchemaNode>;
  patternProperties?: Record<string, SchemaNode>;
  required?: readonly string[];
  items?: SchemaNode;
  enum?: readonly unknown[];
  accepts?: string;
  description?: string;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  minimum?: number;
  maximum?: number;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: readonly string[];
}

/** One error for each broken place, in the order of the value's members. Empty for a value this explanation finds no fault with. */
export function schemaErrors(node: SchemaNode, value: unknown, path = ''): FieldError[] {
  if (!fits(node, value)) return [{ path, message: `must be ${accepted(node)}, not ${show(value)}` }];
  if (Array.isArray(value))
    return value.flatMap((item, i) => (node.items ? schemaErrors(node.items, item, `${path}[${i}]`) : []));
  if (typeof value !== 'object' || value === null) return [];
  return node.patternProperties ? recordErrors(node, value, path) : memberErrors(node, value, path);
}

function memberErrors(node: SchemaNode, value: object, path: string): FieldError[] {
  const properties = node.properties ?? {};
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  const missing = (node.required ?? []).filter((name) => !Object.hasOwn(value, name));
  return [
    ...missing.map((name) => ({ path: at(name), message: `is required: ${accepted(properties[name] ?? {})}` })),
    ...Object.entries(value).flatMap(([name, member]) => {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
      return known
        ? schemaErrors(known, member, at(name))
        : [{ path: at(name), message: unknownField(name, Object.keys(properties)) }];
    }),
  ];
}

function recordErrors(node: SchemaNode, value: object, path: string): FieldError[] {
  const [[pattern, member] = ['', {}]] = Object.entries(node.patternProperties ?? {});
  return Object.entries(value).flatMap(([key, item]) =>
    new RegExp(pattern).test(key)
      ? schemaErrors(member, item, `${path}[${key}]`)
      : [{ path: `${path}[${key}]`, message: `is no valid key: keys match ${pattern}` }],
  );
}

/** Whether a schema has a list whose entries must differ. */
export function hasUnlikeEntries(node: SchemaNode): boolean {
  if (node['x-kubernetes-list-map-keys'] || node['x-kubernetes-list-type'] === 'set') return true;
  const children = [...Object.values(node.properties ?? {}), ...(node.items ? [node.items] : [])];
  return children.some(hasUnlikeEntries);
}

/** Entries that stand twice in a list of unlike ones, as the API server refuses them. The value must follow the schema. */
export function repeatErrors(node: SchemaNode, value: unknown, path = ''): FieldError[] {
  if (Array.isArray(value)) {
    const { items = {} } = node;
    return [...repeatsIn(node, value, path), ...value.flatMap((item, i) => repeatErrors(items, item, `${path}[${i}]`))];
  }
  const { properties } = node;
  if (!properties || typeof value !== 'object' || value === null) return [];
  const errors: FieldError[] = [];
  for (const name in properties) {
    const member = (value as Record<string, unknown>)[name];
    if (typeof member !== 'object') continue;
    errors.push(...repeatErrors(properties[name] ?? {}, member, path === '' ? name : `${path}.${name}`));
  }
  return errors;
}

function repeatsIn(node: SchemaNode, list: readonly unknown[], path: string): FieldError[] {
  const [key] = node['x-kubernetes-list-map-keys'] ?? [];
  if (key === undefined && node['x-kubernetes-list-type'] !== 'set') return [];
  const words = list.map((item) => (key === undefined ? item : (item as Record<string, unknown>)[key]));
  return words.flatMap((word, i) =>
    words.indexOf(word) === i
      ? []
      : [{ path: `${path}[${i}]`, message: `repeats ${key === undefined ? '' : `${key} `}${show(word)}` }],
  );
}

/** Whether the value itself fits, its members aside. */
function fits(node: SchemaNode, value: unknown): boolean {
  if (node.enum && !node.enum.includes(value)) return false;
  switch (node.type) {
    case 'string':
      return typeof value === 'string' && fitsText(node, value);
    case 'array':
      return Array.isArray(value) && within(value.length, node.minItems, node.maxItems);
    case 'integer':
      return Number.isInteger(value) && within(value as number, node.minimum, node.maximum);
    case 'boolean':
      return typeof value === 'boolean';
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value) && fitsMapping(node, value);
    default:
      return true;
  }
}

function fitsMapping({ maxProperties }: SchemaNode, value: object): boolean {
  return maxProperties === undefined || Object.keys(value).length <= maxProperties;
}

function fitsText(node: SchemaNode, text: string): boolean {
  // Length in characters, not UTF-16 units, as JSON Schema and Kubernetes count it.
  if (!within(Array.from(text).length, node.minLength, node.maxLength)) return false;
  if (node.pattern !== undefined && !new RegExp(node.pattern).test(text)) return false;
  return node.format !== 'date-time' || isDayOfMonth(text);
}

/** Whether the day of a well-formed date-time exists. */
function isDayOfMonth(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split('-').map(Number);
  return new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day)).getUTCDate() === day;
}

function within(size: number, least = -Infinity, most = Infinity): boolean {
  return size >= least && size <= most;
}

/** What a place takes, as the end of "must be …". */
export function accepted(node: SchemaNode): string {
  if (node.accepts !== undefined) return node.accepts;
  if (node.enum) return oneOf(node.enum);
  switch (node.type) {
    case 'string':
      return `text${between(node.minLength, node.maxLength, ' characters')}${node.pattern === undefined ? '' : ` matching ${node.pattern}`}`;
    case 'array':
      return `a list${between(node.minItems, node.maxItems, ' entries')}`;
    case 'integer':
      return `a whole number${between(node.minimum, node.maximum, '')}`;
    case 'boolean':
      return 'true or false';
    default:
      return node.properties
        ? `a mapping with ${Object.keys(node.properties).join(', ')}`
        : `a mapping${between(undefined, node.maxProperties, ' entries')}`;
  }
}

function oneOf(values: readonly unknown[]): string {
  const texts = values.map(String);
  return texts.length < 2 ? (texts[0] ?? '') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
}

function between(least: number | undefined, most: number | undefined, unit: string): string {
  // That a text or list may be empty goes without saying.
  if (least !== undefined && (least !== 0 || unit === '') && most !== undefined)
    return ` of ${least} to ${most}${unit}`;
  if (most !== undefined) return ` of at most ${most}${unit}`;
  return least === undefined ? '' : ` of at least ${least}${unit}`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (value === null) return 'null';
  return typeof value === 'object' ? `a mapping of ${Object.keys(value).length}` : JSON.stringify(value);
}

function unknownField(name: string, known: readonly string[]): string {
  const close = nearest(name, known);
  if (close !== undefined) return `unknown field, did you mean ${close}?`;
  return `unknown field, known are ${known.join(', ')}`;
}

/** The word most like `name`, if any is near enough to be a slip of the keyboard. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  let best: { word: string; edits: number } | undefined;
  for (const word of known) {
    const edits = editDistance(lower, word.toLowerCase());
    if (!best || edits < best.edits) best = { word, edits };
  }
  return best && best.edits <= Math.max(1, Math.floor(name.length / 3)) ? best.word : undefined;
}

/** Levenshtein distance; texts beyond 64 characters count as far apart. */
function editDistance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return 64;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
