// A refusal as the problem document the requester reads.
import { quote } from '../identifier.ts';
import { Problem, type ProblemType, type Subproblem } from '../problem.ts';
import { oneLine } from '../remote-text.ts';
import type { Aspect, Denied, Reason } from './input.ts';

/**
 * Problem type by what the reasons are about, the first that occurs: names at fault → rejectedIdentifier (403) with one
 * subproblem each; too many or no names → rejectedIdentifier; the key or anything else of the CSR → badCSR (400); a profile →
 * invalidProfile (400); an explicit lifetime → malformed (400); who asks, or that no policy is for them → unauthorized (403).
 */
const TYPES: readonly (readonly [Aspect, ProblemType])[] = [
  ['name', 'rejectedIdentifier'],
  ['names', 'rejectedIdentifier'],
  ['key', 'badCSR'],
  ['csr', 'badCSR'],
  ['profile', 'invalidProfile'],
  ['duration', 'malformed'],
  ['requester', 'unauthorized'],
];

/** Clients print the detail on one line and cert-manager stores it in a condition. */
const MAX_DETAIL = 1024;

/**
 * The problem of a refusal. Its detail stands by itself: it names the policy that came nearest and the first name, then what the
 * other policies said, as far as there is room.
 */
export function renderDenial(decision: Denied): Problem {
  const nearest = decision.refusals.find(({ policy }) => policy === decision.nearest);
  if (!nearest) return new Problem('unauthorized', withBroken(`no policy is meant for ${asked(decision)}`, decision));
  const type = TYPES.find(([about]) => nearest.reasons.some((reason) => reason.about === about))?.[1] ?? 'unauthorized';
  const subproblems = type === 'rejectedIdentifier' ? subproblemsOf(decision, nearest.reasons) : [];
  return new Problem(type, oneLine(detailOf(decision, nearest)), subproblems.length > 0 ? { subproblems } : {});
}

function asked({ request }: Denied): string {
  const first =
    request.firstName === undefined ? 'a request without names' : `a request for ${quote(request.firstName)}`;
  return `${first} to the issuer ${quote(request.issuer)} through ${request.door}`;
}

function subproblemsOf(decision: Denied, reasons: readonly Reason[]): Subproblem[] {
  const byName = new Map<string, Subproblem>();
  for (const { identifier, why } of reasons) {
    if (!identifier) continue;
    const key = `${identifier.type}:${identifier.value}`;
    const known = byName.get(key);
    const said = oneLine(why);
    const detail = known ? `${known.detail}; ${said}` : `${judgeOf(decision, decision.nearest)}: ${said}`;
    byName.set(key, { type: 'rejectedIdentifier', detail, identifier });
  }
  return [...byName.values()];
}

function judgeOf(decision: Denied, policy: string | undefined): string {
  return `${decision.by === 'issuer' ? 'issuer' : 'policy'} ${quote(policy ?? '')}`;
}

type Refusal = Denied['refusals'][number];

function detailOf(decision: Denied, nearest: Refusal): string {
  const others = decision.refusals.filter((refusal) => refusal !== nearest);
  const parts = [sentence(decision, nearest)];
  if (isSplit(decision)) parts.push('each name is allowed by some policy, but one must allow them all');
  let length = withBroken(parts.join('; '), decision).length;
  let told = 0;
  for (const other of others) {
    const part = sentence(decision, other);
    length += part.length + 2;
    if (length > MAX_DETAIL) break;
    parts.push(part);
    told++;
  }
  if (told < others.length) parts.push(`${others.length - told} more policies refuse it`);
  return withBroken(parts.join('; '), decision);
}

function sentence(decision: Denied, refusal: Refusal): string {
  const first = refusal.reasons.find((reason) => reason.identifier) ?? refusal.reasons[0];
  const name = first?.identifier
    ? quote(first.identifier.value)
    : `the request for ${quote(decision.request.firstName ?? '')}`;
  const more = refusal.reasons.length - 1;
  const rest = more > 0 ? ` (and ${more} more reason${more > 1 ? 's' : ''})` : '';
  return `${judgeOf(decision, refusal.policy)} refuses ${name}: ${first?.why ?? ''}${rest}`;
}

/** Names alone are at fault, and none of them in every policy. */
function isSplit(decision: Denied): boolean {
  if (decision.refusals.length < 2) return false;
  const faults = decision.refusals.map(({ reasons }) => reasons.map((reason) => reason.identifier?.value));
  if (faults.flat().includes(undefined)) return false;
  return faults[0]?.every((name) => faults.some((names) => !names.includes(name))) ?? false;
}

function withBroken(text: string, { broken }: Denied): string {
  return broken.length > 0
    ? `${text}; skipped as broken: ${broken.slice(0, 3).map(quote).join(', ')}${broken.length > 3 ? ', …' : ''}`
    : text;
}
