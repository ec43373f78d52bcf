// What an issuer refuses whatever policies say, judged before any of them.
import { parseAddress } from '../address.ts';
import { quote } from '../identifier.ts';
import { type Context, type Findings, type JudgedName, refuse } from './context.ts';
import { commonNames } from './name-rules.ts';
import { inAny } from './network-range.ts';
import { nameSegments, touches } from './pattern.ts';
import { MAX_NAMES } from './prepare.ts';
import { refuseLonger } from './request-rules.ts';
import { hasLabels } from './selector.ts';
import { denyNetworks } from './server-rules.ts';

export function judgeIssuer(context: Context, findings: Findings): void {
  if (context.names.length === 0) return refuse(findings, 'names', 'it has no name');
  if (context.names.length > MAX_NAMES) return refuse(findings, 'names', `it has more than ${MAX_NAMES} names`);
  for (const name of context.names) judgeForm(name, findings);
  denyNames(context, findings);
  denyNetworks(context, findings);
  denyCommonName(context, findings);
  judgeNamespace(context, findings);
  judgeOfferedProfile(context, findings);
}

function judgeForm(name: JudgedName, findings: Findings): void {
  if (name.kind === 'dns' && !name.segments) refuse(findings, 'name', 'is not a DNS name in normal form', name);
  if (name.kind === 'ip' && !name.address) refuse(findings, 'name', 'is not an IP address', name);
}

function denyNames(context: Context, findings: Findings): void {
  for (const name of context.names) {
    const pattern = name.kind === 'dns' && name.segments ? deniedBy(context, name.segments) : undefined;
    if (pattern !== undefined) refuse(findings, 'name', `is never issued (${quote(pattern)})`, name);
  }
}

function deniedBy(context: Context, segments: readonly string[]): string | undefined {
  return context.input.issuer.deny.dnsNames.find((pattern) => touches(pattern, segments, undefined) !== 'no')?.source;
}

/** Software still reads common names as host names, so what is denied is denied there too. */
function denyCommonName(context: Context, findings: Findings): void {
  for (const { value } of commonNames(context) ?? []) {
    const segments = nameSegments(value, 'dns');
    const address = parseAddress(value);
    if ((segments && deniedBy(context, segments)) ?? (address && inAny(context.input.issuer.deny.networks, address)))
      refuse(findings, 'csr', `the common name ${quote(value)} is never issued`);
  }
}

function judgeNamespace(context: Context, findings: Findings): void {
  const { allowedNamespaces: wanted, namespace: home } = context.input.issuer;
  const { namespace, namespaceLabels } = context.input.request.requester;
  if (home !== undefined && namespace !== undefined && namespace !== home)
    refuse(findings, 'requester', `the issuer serves its own namespace only, not ${quote(namespace)}`);
  if (!wanted) return;
  if (namespace === undefined) {
    if (context.open.namespace) findings.facts.push('namespace');
    else
      refuse(findings, 'requester', 'the issuer serves named namespaces only, and that of the requester is not known');
  } else if (!hasLabels(namespaceLabels, wanted)) {
    refuse(findings, 'requester', `the issuer does not serve the namespace ${quote(namespace)}`);
  }
}

function judgeOfferedProfile(context: Context, findings: Findings): void {
  const { profile } = context;
  if (profile === undefined) return;
  const offered = context.input.issuer.profiles.get(profile);
  if (offered) refuseLonger(context, offered.maxDurationMs, findings);
  else refuse(findings, 'profile', `the issuer offers no profile ${quote(profile)}`);
}
