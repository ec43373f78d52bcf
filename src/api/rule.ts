// Rules that hold at one place of an object and that the Kubernetes API server can judge too: each is one function, one CEL
// expression and one message, so that both refuse the same things in the same words.
import type { FieldError } from './kind.ts';

/** As the CRD carries it. */
export interface CelRule {
  /** Place in the schema: `spec.profiles[].duration`; '' is the whole object. */
  at: string;
  /** CEL over `self`, and `oldSelf` in a transition rule; true when the rule holds. */
  cel: string;
  message: string;
}

/** A rule over values of type S. */
export interface PlaceRule<S = unknown> extends CelRule {
  /**
   * The same statement as `cel`. `old` is undefined where the place did not exist before; a rule that names `oldSelf` is asked only
   * when it did. A method, so that rules over different types stand in one list.
   */
  holds(self: S, old: S): boolean;
  /** What is wrong where it does not hold, in more words than `message`; paths below the place. */
  faults?(self: S): readonly FieldError[];
}

/** States the type of the place of a rule. */
export function placeRule<S>(rule: PlaceRule<S>): PlaceRule {
  return rule;
}

/** A rule that holds where `faults` finds none. */
export function explainedRule<S>(
  rule: Omit<PlaceRule<S>, 'holds'> & Required<Pick<PlaceRule<S>, 'faults'>>,
): PlaceRule {
  return placeRule<S>({ ...rule, holds: (self) => rule.faults(self).length === 0 });
}

/** Errors of all rules at all their places, in the order of the rules. */
export function placeErrors(rules: readonly PlaceRule[], object: unknown, old?: unknown): FieldError[] {
  return rules.flatMap((rule) => {
    const isTransition = rule.cel.includes('oldSelf');
    if (isTransition && old === undefined) return [];
    return placesOf(rule.at, object, old)
      .filter((place) => !isTransition || place.old !== undefined)
      .filter((place) => !rule.holds(place.self, place.old))
      .flatMap(({ path, self }) => (rule.faults ? below(path, rule.faults(self)) : [{ path, message: rule.message }]));
  });
}

function below(place: string, faults: readonly FieldError[]): FieldError[] {
  return faults.map(({ path, message }) => {
    const dot = place === '' || path === '' || path.startsWith('[') ? '' : '.';
    return { path: `${place}${dot}${path}`, message };
  });
}

interface Place {
  path: string;
  self: unknown;
  old: unknown;
}

/** The values that exist at a place. Entries of lists have no former self: nothing says which was which. */
function placesOf(at: string, object: unknown, old: unknown): Place[] {
  let places: Place[] = [{ path: '', self: object, old }];
  for (const step of at === '' ? [] : at.split('.')) {
    const name = step.replace(/\[\]$/, '');
    places = places.flatMap((place) => member(place, name));
    if (name !== step) places = places.flatMap(entries);
  }
  return places;
}

function member({ path, self, old }: Place, name: string): Place[] {
  const value = (self as Record<string, unknown>)[name];
  const former = (old as Record<string, unknown> | undefined)?.[name];
  return value === undefined ? [] : [{ path: path === '' ? name : `${path}.${name}`, self: value, old: former }];
}

function entries({ path, self }: Place): Place[] {
  return (self as unknown[]).map((entry, i) => ({ path: `${path}[${i}]`, self: entry, old: undefined }));
}
