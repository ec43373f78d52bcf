// The rules over labels and annotations that a claim wants at its Secret: keys as Kubernetes takes them, none that means something to
// Kubernetes or to this program.
import { explainedRule, type PlaceRule } from './rule.ts';

const WORD = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const PREFIX = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
const KEY = `^(${PREFIX}/)?${WORD}$`;
const RESERVED = '^([^/]*\\.)?(countersign\\.dev|kubernetes\\.io|k8s\\.io)/';
const OPEN = 'app.kubernetes.io/';

const [keyExpression, reservedExpression] = [new RegExp(KEY), new RegExp(RESERVED)];

/** Whether a label or annotation of this key is not for claims to set. */
export function isReservedKey(key: string): boolean {
  return reservedExpression.test(key) && !key.startsWith(OPEN);
}

function keysRule(at: string, rule: { cel: string; message: string; holds: (key: string) => boolean }): PlaceRule {
  return explainedRule<Record<string, string>>({
    at,
    cel: `self.all(key, ${rule.cel})`,
    message: `must have keys that are ${rule.message}`,
    faults: (self) =>
      Object.keys(self).flatMap((key) =>
        rule.holds(key) ? [] : [{ path: `[${key}]`, message: `must be ${rule.message}` }],
      ),
  });
}

/** Annotations as Kubernetes takes them, and with prefixes in lower case. */
export function annotationKeysRule(at: string): PlaceRule {
  return keysRule(at, {
    cel: `key.matches(r"${KEY}") && key.indexOf('/') <= 253`,
    message: 'at most 63 letters, digits, "-", "_" and ".", perhaps after a DNS name in lower case and "/"',
    holds: (key) => keyExpression.test(key) && key.indexOf('/') <= 253,
  });
}

export function unreservedKeysRule(at: string): PlaceRule {
  return keysRule(at, {
    cel: `!key.matches(r"${RESERVED}") || key.startsWith('${OPEN}')`,
    message: `without a prefix of countersign.dev, kubernetes.io or k8s.io, which are reserved, ${OPEN} apart`,
    holds: (key) => !isReservedKey(key),
  });
}
