// Rules across the fields of an IssuedCertificate: history is not rewritten.
import type { CertificateRecord, IssuedCertificateSpec } from './issued-certificate.ts';
import type { FieldError } from './kind.ts';
import { placeErrors, type PlaceRule, placeRule } from './rule.ts';

/** Every member of the spec but revocation. The type makes a new member that is left out here an error. */
const FIXED = Object.keys({
  requestID: true,
  door: true,
  issuerRef: true,
  issuerUID: true,
  requester: true,
  names: true,
  profile: true,
  csr: true,
  policy: true,
  decisionID: true,
  approved: true,
  replaces: true,
  order: true,
  orderExpires: true,
} satisfies Record<Exclude<keyof IssuedCertificateSpec, 'revocation'>, true>) as (keyof IssuedCertificateSpec)[];

const ISSUED = ['certificate', 'serial', 'notBefore', 'notAfter', 'issuedAt', 'chain'] as const;

export const RECORD_RULES: readonly PlaceRule[] = [
  placeRule<IssuedCertificateSpec>({
    at: 'spec',
    cel: FIXED.map(
      (name) => `has(self.${name}) == has(oldSelf.${name}) && (!has(self.${name}) || self.${name} == oldSelf.${name})`,
    ).join(' && '),
    message: 'is immutable but for revocation',
    holds: (self, old) => FIXED.every((name) => same(self[name], old[name])),
  }),
  placeRule<IssuedCertificateSpec>({
    at: 'spec',
    cel: '!has(oldSelf.revocation) || (has(self.revocation) && self.revocation == oldSelf.revocation)',
    message: 'revocation is for good: it can neither change nor go',
    holds: (self, old) => old.revocation === undefined || same(self.revocation, old.revocation),
  }),
  placeRule<NonNullable<CertificateRecord['status']>>({
    at: 'status',
    cel: 'self == oldSelf',
    message: 'is immutable',
    holds: (self, old) => same(self, old),
  }),
  placeRule<NonNullable<CertificateRecord['status']>>({
    at: 'status',
    cel: `has(self.refusal) ? ${ISSUED.map((name) => `!has(self.${name})`).join(' && ')} : ${ISSUED.map((name) => `has(self.${name})`).join(' && ')}`,
    message: 'has either a refusal or a certificate with all that belongs to it',
    holds: (self) => ISSUED.every((name) => (self[name] === undefined) === (self.refusal !== undefined)),
  }),
  placeRule<CertificateRecord>({
    at: '',
    cel: 'has(self.status) || !has(oldSelf.status)',
    message: 'status is for good: it cannot go',
    holds: (self, old) => self.status !== undefined || old.status === undefined,
  }),
];

export function recordRules(object: CertificateRecord, old?: CertificateRecord): FieldError[] {
  return placeErrors(RECORD_RULES, object, old);
}

/** Equality of JSON values, whatever the order of members. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same(Reflect.get(a, key), Reflect.get(b, key)))
  );
}
