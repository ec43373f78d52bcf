// Which policies judge a request. What is not known is matched by nothing; before it is settled, it leaves the matter open.
import type { Context, Findings } from './context.ts';
import { matchesGlob } from './glob.ts';
import type { RequesterFacts } from './input.ts';
import { inRange } from './network-range.ts';
import type { PreparedSelector, ReadyPolicy } from './prepare.ts';

/** Whether the policy judges the request. Facts that could still tell are added to `findings`; then it is selected for now. */
export function isSelected(context: Context, policy: ReadyPolicy, findings: Findings): boolean {
  const { selector } = policy;
  return (
    matchesDoor(context, selector) &&
    matchesRequester(context.input.request.requester, selector) &&
    (!selector.sources || (context.source !== undefined && inRange(selector.sources, context.source))) &&
    matchesNamespace(context, selector, findings) &&
    matchesKey(context, selector, findings)
  );
}

function matchesDoor(context: Context, selector: PreparedSelector): boolean {
  const { issuer, request } = context.input;
  if (selector.issuerKind !== issuer.kind) return false;
  if (selector.issuerNamespace && !matchesGlob(selector.issuerNamespace, issuer.namespace ?? '')) return false;
  if (selector.issuerName && !matchesGlob(selector.issuerName, issuer.name)) return false;
  return !selector.doors || selector.doors.includes(request.door);
}

function matchesRequester(requester: RequesterFacts, selector: PreparedSelector): boolean {
  const { account, eabKeyID, serviceAccount } = requester;
  const wanted = selector.serviceAccounts;
  if (wanted && (serviceAccount === undefined || !wanted.some((glob) => matchesGlob(glob, serviceAccount))))
    return false;
  if (selector.accounts && (account === undefined || !selector.accounts.has(account))) return false;
  const keyIDs = selector.eabKeyIDs;
  return !keyIDs || (eabKeyID !== undefined && keyIDs.some((glob) => matchesGlob(glob, eabKeyID)));
}

function matchesNamespace(context: Context, selector: PreparedSelector, findings: Findings): boolean {
  const wanted = selector.namespace;
  if (!wanted) return true;
  const { namespace, namespaceLabels } = context.input.request.requester;
  if (namespace === undefined) {
    if (context.open.namespace) findings.facts.push('namespace');
    return context.open.namespace;
  }
  if (wanted.names && !wanted.names.some((glob) => matchesGlob(glob, namespace))) return false;
  return hasLabels(namespaceLabels, wanted.labels);
}

function matchesKey(context: Context, selector: PreparedSelector, findings: Findings): boolean {
  if (!selector.publicKeys) return true;
  const hash = context.keyHash();
  if (hash !== undefined) return selector.publicKeys.has(hash);
  if (context.open.later) findings.facts.push('publicKey');
  return context.open.later;
}

/** Labels that are not known are none. */
export function hasLabels(
  labels: Readonly<Record<string, string>> | undefined,
  wanted: readonly (readonly [string, string])[],
): boolean {
  return wanted.every(([key, value]) => labels?.[key] === value);
}
