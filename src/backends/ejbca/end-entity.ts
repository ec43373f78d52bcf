// The end entity that an order becomes in EJBCA: its names, and the subject and alternative names in the text that EJBCA reads.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import type { CertificateModel, DistinguishedName } from '../../domain/certificate-model.ts';
import { attributeOid, attributeValues, nameKey } from '../../domain/distinguished-name.ts';
import { hashName, sha256 } from '../../domain/encoding.ts';
import { OID } from '../../domain/oid.ts';
import { Problem } from '../../domain/problem.ts';
import type { Random, SigningRequest } from '../../ports.ts';
import type { EndEntity } from './protocol.ts';

/** What EJBCA calls the attributes; for most of them as RFC 4514 does. `SN` is the serial number there. */
const EJBCA_NAMES: Readonly<Record<string, string>> = {
  [OID.commonName]: 'CN',
  [OID.localityName]: 'L',
  [OID.stateOrProvinceName]: 'ST',
  [OID.organizationName]: 'O',
  [OID.organizationalUnitName]: 'OU',
  [OID.countryName]: 'C',
  [OID.streetAddress]: 'STREET',
  [OID.domainComponent]: 'DC',
  [OID.userId]: 'UID',
  [OID.serialNumber]: 'SN',
  [OID.surname]: 'SURNAME',
  [OID.givenName]: 'GIVENNAME',
  [OID.title]: 'T',
  [OID.postalCode]: 'POSTALCODE',
  [OID.emailAddress]: 'E',
  '2.5.4.46': 'DN',
  '2.5.4.97': 'ORGANIZATIONIDENTIFIER',
};

/** Most specific attribute first; EJBCA puts them into an order of its own. Attributes that EJBCA has no word for go by their number. */
export function renderDN(name: DistinguishedName): string {
  return name
    .toReversed()
    .flatMap((rdn) => rdn.map(({ oid, value }) => `${EJBCA_NAMES[oid] ?? oid}=${escaped(value)}`))
    .join(',');
}

function escaped(value: string): string {
  return value.replace(/[",+;<>=\\]|^[# ]| $/g, '\\$&');
}

/** Throws badCSR for a subject that EJBCA has no words for. */
function requireWords(subject: DistinguishedName): void {
  const strange = subject.flat().find(({ oid }) => EJBCA_NAMES[oid] === undefined);
  if (strange) throw new Problem('badCSR', `the CA of this issuer takes no subject attribute ${strange.oid}`);
}

/** Throws the problem of a request that could never be made. */
export function requireAskable(spec: EjbcaBackendSpec, request: Pick<SigningRequest, 'id' | 'model'>): void {
  requireWords(request.model.subject);
  caNameOf(spec, request.model);
  usernameOf(spec, request);
}

/** `dNSName=a,iPAddress=192.0.2.1`. An unescaped comma would begin another name. */
export function renderAlternativeNames({
  dnsNames,
  ipAddresses,
  uris,
  emailAddresses,
}: CertificateModel['names']): string {
  const lists = [
    ['dNSName', dnsNames],
    ['iPAddress', ipAddresses],
    ['uniformResourceId', uris],
    ['rfc822Name', emailAddresses],
  ] as const;
  return lists
    .flatMap(([type, values]) => values.map((value) => `${type}=${value.replace(/[\\,]/g, '\\$&')}`))
    .join(',');
}

/** The CA for the key of the request. Throws badPublicKey where there is none. */
export function caNameOf({ caName, caNameByKey }: EjbcaBackendSpec, { publicKey }: CertificateModel): string {
  const { algorithm } = publicKey;
  const name = caNameByKey?.[algorithm] ?? caName;
  if (name === undefined) throw new Problem('badPublicKey', `this issuer has no CA for ${algorithm} keys`);
  return name;
}

/** Every CA that the issuer may ask, the first the one of most keys. */
export function caNames({ caName, caNameByKey = {} }: EjbcaBackendSpec): string[] {
  const names = [caName, caNameByKey.RSA, caNameByKey.ECDSA, caNameByKey.Ed25519];
  return [...new Set(names.filter((name) => name !== undefined))];
}

/**
 * By which EJBCA knows the end entity. The same for each attempt at a request, so that what an attempt left behind is found; by default
 * the same for each request for the subject, because EJBCA refuses a second end entity with one subject. Throws badCSR where the
 * subject lacks what the template names.
 */
export function usernameOf(spec: EjbcaBackendSpec, { id, model }: Pick<SigningRequest, 'id' | 'model'>): string {
  const { subject, names } = model;
  // Without a subject it is the names that tell end entities apart.
  const facts =
    subject.length > 0 ? nameKey(subject) : renderAlternativeNames(names).split(',').toSorted(compareText).join();
  return fill(spec.username ?? 'countersign-{hash}', subject, {
    hash: () => hashName(caNameOf(spec, model), facts),
    random: () => sha256(`EJBCA user name\0${id}`).toString('hex').slice(0, 32),
  }).slice(0, MAX_USERNAME);
}

/** Longer ones do not fit into EJBCA's table. */
const MAX_USERNAME = 250;

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function fill(template: string, subject: DistinguishedName, words: Record<string, () => string>): string {
  return template.replace(/\{([^{}]*)\}/g, (_, word: string) => {
    const made = words[word]?.();
    if (made !== undefined) return made;
    const [value] = attributeValues(subject, attributeOid(word) ?? word);
    if (value === undefined)
      throw new Problem('badCSR', `the subject has no ${word}, which the CA of this issuer names its end entities by`);
    return value;
  });
}

/** Throws the problem of a refusal. */
export function endEntityOf(spec: EjbcaBackendSpec, request: SigningRequest, random: Random): EndEntity {
  const { model } = request;
  requireAskable(spec, request);
  const time = (date: Date) => (spec.overrideValidity ? renderTime(date) : undefined);
  return {
    username: usernameOf(spec, request),
    password: fill(spec.password ?? '{random}', model.subject, { random: () => random.bytes(16).toString('hex') }),
    subjectDN: renderDN(model.subject),
    caName: caNameOf(spec, model),
    subjectAltName: renderAlternativeNames(model.names),
    email: spec.email,
    sendNotification: spec.notify === true,
    endEntityProfileName: spec.endEntityProfile,
    certificateProfileName: spec.certificateProfile,
    startTime: time(model.notBefore),
    endTime: time(model.notAfter),
  };
}

/** `yyyy-MM-dd HH:mm:ss+00:00`. */
function renderTime(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace('T', ' ')}+00:00`;
}
