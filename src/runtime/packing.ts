// Objects of a kind as short texts, for copies that hold very many of them. What objects of one kind share, the names and nesting of
// their members, is kept once; of the rest, what text spends on binary values is saved. Unpacking gives back exactly the same JSON.
import { ascii, decodeLeaf, encodeLeaf, type Leaf, SHORTEST_TRIED } from './leaf-encodings.ts';

export interface Packing<T> {
  pack(object: T): string;
  /** Frozen. */
  unpack(packed: string): T;
}

/** Where the leaves are. A leaf knows how the one before it at this place was best written, and texts that stood here already. */
type Shape =
  | { leaf: true; tag: number | undefined; common: string[]; numbers: Map<string, number> }
  | { leaf: false; items: readonly Shape[] }
  | { leaf: false; names: readonly string[]; members: readonly Shape[] };

/** Objects of ever new shapes, if there are such, are kept as plain JSON beyond these. */
const MAX_SHAPES = 1024;
/** Texts kept for each leaf. What is mostly the same, such as an issuer, is among the first; what never is costs no more than these. */
const MAX_COMMON = 128;
/** Longer ones are not looked for: that would take longer than all else that is done with them. */
const LONGEST_COMMON = 256;
/** Tag of a leaf that is one of those. */
const COMMON = 0x7f;
/** Shape numbers are two characters; this one stands for plain JSON. */
const PLAIN = 0xffff;

export function createPacking<T extends object>(): Packing<T> {
  const numbers = new Map<string, number>();
  const shapes: Shape[] = [];
  /** Mostly an object is like the one before it. */
  let last = PLAIN;

  /** The number of a shape like this object's; PLAIN where there is no room for another. */
  function numberOf(object: T): number {
    const text = skeletonOf(object);
    const known = numbers.get(text);
    if (known !== undefined) return known;
    // Of that name there is an accessor, which takes no values.
    if (shapes.length >= MAX_SHAPES || text.includes('"__proto__"')) return PLAIN;
    shapes.push(shapeOf(JSON.parse(text)));
    numbers.set(text, shapes.length - 1);
    return shapes.length - 1;
  }

  function packedAs(number: number, object: T): string | undefined {
    const shape = shapes[number];
    const pieces = [head(number)];
    return shape && write(shape, object, pieces) ? pieces.join('') : undefined;
  }

  return {
    pack(object) {
      const like = packedAs(last, object);
      if (like !== undefined) return like;
      last = numberOf(object);
      return packedAs(last, object) ?? head(PLAIN) + ascii(object);
    },
    unpack(packed) {
      const shape = shapes[(packed.charCodeAt(0) << 8) | packed.charCodeAt(1)];
      if (!shape) return frozen(JSON.parse(packed.slice(2)) as T);
      return built(shape, { packed, at: 2 }) as T;
    },
  };
}

const head = (number: number) => String.fromCharCode(number >> 8, number & 0xff);

/** The object with a 0 for each leaf, as JSON. Members without a value are left out, as JSON has it. */
function skeletonOf(object: object): string {
  return JSON.stringify(object, (_name, value: unknown) =>
    value === undefined || (typeof value === 'object' && value !== null) ? value : 0,
  );
}

function shapeOf(skeleton: unknown): Shape {
  if (typeof skeleton !== 'object' || skeleton === null)
    return { leaf: true, tag: undefined, common: [], numbers: new Map() };
  if (Array.isArray(skeleton)) return { leaf: false, items: skeleton.map(shapeOf) };
  return { leaf: false, names: Object.keys(skeleton), members: Object.values(skeleton).map(shapeOf) };
}

/** Puts the leaves of the value into `pieces`; false where it is of another shape. */
function write(shape: Shape, value: unknown, pieces: string[]): boolean {
  const nested = typeof value === 'object' && value !== null;
  if (shape.leaf) {
    if (nested || value === undefined) return false;
    pieces.push(pieceOf(shape, value as Leaf));
    return true;
  }
  if (!nested) return false;
  if ('items' in shape) {
    const { items } = shape;
    if (!Array.isArray(value) || value.length !== items.length) return false;
    return items.every((item, i) => write(item, value[i], pieces));
  }
  const { names, members } = shape;
  let n = 0;
  for (const name in value) {
    const member = members[n];
    if (name !== names[n++] || !member || !write(member, (value as Record<string, unknown>)[name], pieces))
      return false;
  }
  return n === names.length && !Array.isArray(value);
}

function pieceOf(place: Shape & { leaf: true }, leaf: Leaf): string {
  if (typeof leaf !== 'string') return encodeLeaf(leaf);
  const { common, numbers } = place;
  if (leaf.length <= LONGEST_COMMON) {
    const number = numbers.get(leaf);
    if (number !== undefined) return String.fromCharCode(COMMON, number);
    if (common.length < MAX_COMMON) numbers.set(leaf, common.push(leaf) - 1);
  }
  const piece = encodeLeaf(leaf, place.tag);
  if (leaf.length >= SHORTEST_TRIED) place.tag = piece.charCodeAt(0);
  return piece;
}

function built(shape: Shape, source: { packed: string; at: number }): unknown {
  if (shape.leaf) {
    if (source.packed.charCodeAt(source.at) === COMMON) {
      source.at += 2;
      return shape.common[source.packed.charCodeAt(source.at - 1)];
    }
    const { value, end } = decodeLeaf(source.packed, source.at);
    source.at = end;
    return value;
  }
  if ('items' in shape) return Object.freeze(shape.items.map((item) => built(item, source)));
  const object: Record<string, unknown> = {};
  for (const [i, name] of shape.names.entries()) {
    const member = shape.members[i];
    if (member) object[name] = built(member, source);
  }
  return Object.freeze(object);
}

function frozen<V>(value: V): V {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) frozen(member);
  return Object.freeze(value);
}
