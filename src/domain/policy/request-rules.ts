// Rules over the rest of a request: subject, usages, profile, number of names, lifetime and key.
import { renderDuration } from '../duration.ts';
import { quote } from '../identifier.ts';
import { OID } from '../oid.ts';
import { type Context, type Findings, refuse } from './context.ts';
import { matchesGlob } from './glob.ts';
import { type KeyRule, type ReadyPolicy, SUBJECT_OIDS } from './prepare.ts';

const ATTRIBUTE_NAMES = new Map<string, string>(
  Object.entries(SUBJECT_OIDS).map(([field, oid]) => [oid, field.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`)]),
);

/** An attribute that is not listed is denied, unless the issuer put it there. An unknown subject is the common name's matter. */
export function judgeSubject(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const attributes = context.input.request.subject?.flat();
  if (!attributes) return;
  for (const { oid, value, imposed } of attributes) {
    if (imposed || oid === OID.commonName) continue;
    const rule = policy.subject.get(oid);
    const name = ATTRIBUTE_NAMES.get(oid) ?? `attribute ${oid}`;
    if (!rule) refuse(findings, 'csr', `its subject may not have ${name}`);
    else if (!rule.values.some((glob) => matchesGlob(glob, value)))
      refuse(findings, 'csr', `${quote(value)} is not among the allowed ${name}`);
  }
  for (const [oid, rule] of policy.subject) {
    if (rule.required && !attributes.some((attribute) => attribute.oid === oid))
      refuse(findings, 'csr', `its subject needs ${ATTRIBUTE_NAMES.get(oid) ?? oid}`);
  }
}

/** No usage at all would be good for every usage (RFC 5280 section 4.2.1.12), so it is denied. */
export function judgeUsages(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const { usages } = context.input.request;
  if (!usages) {
    if (context.open.later) findings.facts.push('usages');
    else refuse(findings, 'csr', 'its usages are not known');
    return;
  }
  if (usages.length === 0) refuse(findings, 'csr', 'a certificate needs an extended key usage');
  for (const usage of usages) {
    if (!policy.usages.includes(usage)) refuse(findings, 'csr', `the usage ${quote(usage)} is not allowed`);
  }
}

export function judgeProfile(context: Context, policy: ReadyPolicy, findings: Findings): void {
  if (!policy.profiles) return;
  const { profile } = context;
  if (profile === undefined) refuse(findings, 'profile', `it needs a profile: ${policy.profiles.join(', ')}`);
  else if (!policy.profiles.includes(profile))
    refuse(findings, 'profile', `the profile ${quote(profile)} is not allowed, but ${policy.profiles.join(', ')}`);
}

export function judgeMaxNames(context: Context, policy: ReadyPolicy, findings: Findings): void {
  if (context.names.length > policy.maxNames)
    refuse(findings, 'names', `${context.names.length} names are more than the allowed ${policy.maxNames}`);
}

export function judgeDuration(context: Context, policy: ReadyPolicy, findings: Findings): void {
  refuseLonger(context, policy.maxDurationMs, findings);
}

/** An end the requester named is never shortened; other lifetimes are clamped by who issues. */
export function refuseLonger(context: Context, maxMs: number | undefined, findings: Findings): void {
  const { duration } = context.input.request;
  if (maxMs === undefined || !duration?.explicit || duration.ms <= maxMs) return;
  refuse(
    findings,
    'duration',
    `a lifetime of ${renderDuration(duration.ms)} is longer than the allowed ${renderDuration(maxMs)}`,
  );
}

const EC_SIZES = [256, 384, 521];
const MIN_RSA = 2048;

/** Whatever the policy lists: RSA of at least 2048 bits, the NIST curves of 256, 384 and 521 bits, Ed25519. */
export function judgeKey(context: Context, policy: ReadyPolicy, findings: Findings): void {
  const key = context.input.request.publicKey;
  if (!key) {
    if (context.open.later) findings.facts.push('publicKey');
    else refuse(findings, 'key', 'its public key is not known');
  } else if (key.algorithm === 'RSA' && key.size < MIN_RSA) {
    refuse(findings, 'key', `an RSA key of ${key.size} bits is too small: ${MIN_RSA} at least`);
  } else if (key.algorithm === 'ECDSA' && !EC_SIZES.includes(key.size)) {
    refuse(findings, 'key', `ECDSA keys have ${EC_SIZES.join(', ')} bits, not ${key.size}`);
  } else if (policy.privateKey && !policy.privateKey.some((rule) => fits(rule, key))) {
    refuse(
      findings,
      'key',
      `a key of type ${key.algorithm} ${key.size} is not allowed, but ${shown(policy.privateKey)}`,
    );
  }
  judgeReuse(context, policy, findings);
}

function fits(rule: KeyRule, key: { algorithm: string; size: number }): boolean {
  return rule.algorithm === key.algorithm && (rule.sizes?.includes(key.size) ?? true) && key.size >= rule.minSize;
}

function shown(rules: readonly KeyRule[]): string {
  return rules
    .map(({ algorithm, sizes, minSize }) =>
      [algorithm, sizes?.join('/'), minSize > 0 ? `of at least ${minSize} bits` : ''].filter(Boolean).join(' '),
    )
    .join(', ');
}

function judgeReuse(context: Context, policy: ReadyPolicy, findings: Findings): void {
  if (!policy.forbidKeyReuse) return;
  const { keyInUse } = context.input.facts;
  if (keyInUse) refuse(findings, 'key', 'another certificate has its key: make a new one');
  if (keyInUse !== undefined) return;
  if (context.open.later) findings.facts.push('keyInUse');
  else refuse(findings, 'key', 'whether another certificate has its key is not known');
}
