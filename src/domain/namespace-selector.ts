// Namespaces selected by their names and labels.
import { type Glob, matchesGlob, parseGlob } from './policy/glob.ts';

/** Both must hold; an absent member holds for all. */
export interface NamespaceSelector {
  matchNames?: readonly string[];
  matchLabels?: Readonly<Record<string, string>>;
}

export function selectsNamespace(
  { matchNames, matchLabels = {} }: NamespaceSelector,
  { name, labels = {} }: { name: string; labels?: Readonly<Record<string, string>> },
): boolean {
  const globs = matchNames?.map((text): Glob => parseGlob(text));
  if (globs && !globs.some((glob) => matchesGlob(glob, name))) return false;
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
}
