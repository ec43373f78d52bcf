// values.yaml of the chart, read with its comments: from them come values.schema.json and the tables of its README.
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';
import { OPTIONAL_FEATURES } from '../../src/commands/optional-features.ts';
import { FEATURES } from '../../src/commands/rights.ts';
import { ALERTS } from './alerts.ts';
import { plainSchema, type SchemaNode } from './schema.ts';

interface Schema {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  enum?: unknown[];
  [keyword: string]: unknown;
}

export interface Value {
  path: string;
  /** As JSON. */
  fallback: string;
  meaning: string;
  schema: Schema;
}

export interface Section {
  title: string;
  values: Value[];
}

export interface ChartValues {
  sections: Section[];
  schema: Schema;
}

/** Members of the configuration that the chart sets itself. RBAC is held to the name of the Lease. */
const KEPT = ['namespace', 'watchNamespaces', 'service', 'listen', 'leaderElection'];

/** Throws for a value without a comment, and for one whose type neither its default nor a `@schema` tells. */
export function readValues(text: string): ChartValues {
  const document = parseDocument(text);
  if (!isMap(document.contents)) throw new Error('values.yaml is no mapping');
  const sections: Section[] = [];
  const schema = mapSchema(document.contents, '', sections, document.commentBefore ?? '');
  return { sections, schema: { $schema: 'http://json-schema.org/draft-07/schema#', ...schema } };
}

function mapSchema(map: YAMLMap, prefix: string, sections: Section[], before: string): Schema {
  const properties: Record<string, Schema> = {};
  for (const [index, pair] of (map.items as Pair<{ value: string; commentBefore?: string }>[]).entries()) {
    const name = pair.key.value;
    const path = prefix === '' ? name : `${prefix}.${name}`;
    // What stands before the first key belongs to the mapping, or to the file.
    const own = pair.key.commentBefore ?? '';
    const comment = readComment(index === 0 ? `${before}\n${map.commentBefore ?? ''}\n${own}` : own, sections);
    properties[name] = valueSchema(pair, path, comment, sections);
  }
  return { type: 'object', additionalProperties: false, properties };
}

interface Comment {
  meaning: string;
  given: Schema | undefined;
}

function readComment(comment: string, sections: Section[]): Comment {
  let given: Schema | undefined;
  let lines: string[] = [];
  for (const line of comment.split('\n').map((each) => each.trim())) {
    if (line.startsWith('== ')) {
      sections.push({ title: line.slice(3), values: [] });
      lines = [];
    } else if (line.startsWith('@schema ')) given = JSON.parse(line.slice(8)) as Schema;
    else if (line !== '') lines.push(line);
  }
  return { meaning: lines.join(' '), given };
}

function valueSchema(pair: Pair, path: string, { meaning, given }: Comment, sections: Section[]): Schema {
  const section = sections.at(-1);
  if (!section) throw new Error(`${path} stands in no section`);
  if (isMap(pair.value) && pair.value.items.length > 0 && !given) return mapSchema(pair.value, path, sections, '');
  if (meaning === '') throw new Error(`${path} has no comment`);
  const fallback = plain(pair.value);
  const schema: Schema = { ...inferred(fallback, path, given), description: meaning };
  section.values.push({ path, fallback: JSON.stringify(fallback), meaning, schema });
  return schema;
}

function plain(node: unknown): unknown {
  return isScalar(node) ? node.value : (node as { toJSON(): unknown }).toJSON();
}

function inferred(value: unknown, path: string, given: Schema | undefined): Schema {
  const special = given && specialSchema(given);
  if (special) return special;
  const type = given?.type ?? typeOf(value);
  if (type === undefined) throw new Error(`${path}: neither its default nor a @schema tells its type`);
  const { open, ...rest } = given ?? {};
  const closed = type === 'object' && !open && !rest.additionalProperties;
  if (closed) throw new Error(`${path}: a @schema must say what is in it`);
  if (type === 'array' && !rest.items) throw new Error(`${path}: a @schema must say what its items are`);
  return { type, ...rest };
}

/** Schemas that other parts of the program know. */
function specialSchema(given: Schema): Schema | undefined {
  if (given['$config']) return configSchema();
  const names = (all: readonly { name: string }[]): Schema => ({
    type: 'array',
    items: { enum: all.map(({ name }) => name) },
    uniqueItems: true,
  });
  if (given['$features']) return names(FEATURES);
  if (given['$optionalFeatures']) return names(OPTIONAL_FEATURES);
  return given['$alerts'] ? names(ALERTS) : undefined;
}

function typeOf(value: unknown): string | undefined {
  if (Array.isArray(value)) return 'array';
  if (value === null) return undefined;
  return typeof value === 'number' ? 'integer' : typeof value;
}

/** Unknown members are refused here as by the program. */
function configSchema(): Schema {
  const { properties = {}, ...root } = plainSchema(ConfigSchema);
  const offered = Object.entries(properties).filter(([name]) => !KEPT.includes(name));
  return jsonSchema({ ...root, type: 'object', properties: Object.fromEntries(offered) });
}

function jsonSchema(node: SchemaNode): Schema {
  const { properties, items, accepts: _accepts, patternProperties, ...rest } = node;
  if (patternProperties) throw new Error('the chart has no words for maps in the configuration');
  const plainWords = Object.entries(rest).filter(([keyword]) => !keyword.startsWith('x-kubernetes-'));
  const unique = node['x-kubernetes-list-type'] === 'set' ? { uniqueItems: true } : {};
  const members = Object.entries(properties ?? {}).map(([name, child]) => [name, jsonSchema(child)]);
  return {
    ...Object.fromEntries(plainWords),
    ...unique,
    ...(items ? { items: jsonSchema(items) } : {}),
    ...(properties
      ? { properties: Object.fromEntries(members) as Record<string, Schema>, additionalProperties: false }
      : {}),
  };
}

export function renderSchema({ schema }: ChartValues): string {
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

export function renderTables({ sections }: ChartValues): string {
  return sections
    .flatMap(({ title, values }) => [
      `### ${title}`,
      '',
      '| Value | Type | Default | Meaning |',
      '|---|---|---|---|',
      ...values.map(({ path, fallback, meaning, schema }) => {
        const cells = [`\`${path}\``, typeName(schema), `\`${fallback}\``, meaning];
        return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
      }),
      '',
    ])
    .join('\n');
}

function typeName({ type, enum: values, items, additionalProperties }: Schema): string {
  if (values) return values.map((value) => (value === '' ? 'empty' : `\`${String(value)}\``)).join(', ');
  if (type === 'array') return `list of ${items?.enum ? 'names' : typeName(items ?? {})}`;
  if (type === 'object') return typeof additionalProperties === 'object' ? 'map of text' : 'object';
  return [type ?? []]
    .flat()
    .map((each) => (each === 'string' ? 'text' : each))
    .join(' or ');
}
