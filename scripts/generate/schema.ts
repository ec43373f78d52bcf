// The part of JSON Schema that the kinds use, and what the generators ask of it.

export interface SchemaNode {
  type?: string;
  description?: string;
  properties?: Record<string, SchemaNode>;
  patternProperties?: Record<string, SchemaNode>;
  required?: string[];
  items?: SchemaNode;
  enum?: (string | number)[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  minimum?: number;
  maximum?: number;
  accepts?: string;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: 'atomic';
}

/** Everything a node may hold; a keyword that is not here would be lost in the CRD, so it is an error. */
const KNOWN = new Set(
  (
    'type description properties patternProperties additionalProperties required items enum pattern accepts ' +
    'minLength maxLength minItems maxItems maxProperties minimum maximum x-kubernetes-list-type x-kubernetes-list-map-keys x-kubernetes-map-type'
  ).split(' '),
);

/** The schema without what TypeBox keeps beside it. Throws for a keyword the generators do not know. */
export function plainSchema(schema: object): SchemaNode {
  const node = JSON.parse(JSON.stringify(schema)) as SchemaNode;
  checkKeywords(node, '');
  return node;
}

function checkKeywords(node: SchemaNode, path: string): void {
  for (const keyword of Object.keys(node)) {
    if (!KNOWN.has(keyword))
      throw new Error(`the generator does not know ${keyword} at ${path === '' ? 'the root' : path}`);
  }
  for (const [name, child] of Object.entries(node.properties ?? {}))
    checkKeywords(child, path === '' ? name : `${path}.${name}`);
  for (const child of Object.values(node.patternProperties ?? {})) checkKeywords(child, `${path}[key]`);
  if (node.items) checkKeywords(node.items, `${path}[]`);
}

/** Type of the values of an enumeration. */
export function enumType(values: readonly (string | number)[]): 'string' | 'integer' {
  return values.every((value) => typeof value === 'string') ? 'string' : 'integer';
}

/** The node at a place such as `spec.profiles[].duration`; '' is the root. Throws where there is none. */
export function nodeAt(root: SchemaNode, at: string): SchemaNode {
  let node: SchemaNode | undefined = root;
  for (const step of at === '' ? [] : at.split('.')) {
    node = node?.properties?.[step.replace(/\[\]$/, '')];
    if (step.endsWith('[]')) node = node?.items;
  }
  if (!node) throw new Error(`a rule stands at ${at}, which the schema does not have`);
  return node;
}
