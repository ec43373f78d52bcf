// A claim's spec read into what is asked of the engine, and into one hash that says whether a certificate was made for this spec.
import type { KeyObject } from 'node:crypto';
import type { KeyParameters } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import type { CertificateClaim, CertificateClaimSpec } from '../api/certificate-claim.ts';
import { parseAddress, renderAddress } from '../domain/address.ts';
import type { AlternativeNames, DistinguishedName } from '../domain/certificate-model.ts';
import { buildCsr } from '../domain/csr-builder.ts';
import { nameProblem } from '../domain/distinguished-name.ts';
import { parseDuration } from '../domain/duration.ts';
import { base32, sha256 } from '../domain/encoding.ts';
import { type Identifier, parseDnsName, quote, uniqueIdentifiers } from '../domain/identifier.ts';
import { OID } from '../domain/oid.ts';
import { DEFAULT_KEY, keyParametersProblem } from '../domain/private-key.ts';
import { Problem } from '../domain/problem.ts';
import type { IssuanceRequest } from '../issuance/types.ts';

/** What a claim wants, names in canonical form and sorted. */
export interface ClaimRequest {
  identifiers: readonly Identifier[];
  names: AlternativeNames;
  subject: DistinguishedName;
  usages: CertificateClaimSpec['usages'];
  wanted: IssuanceRequest['wanted'];
}

/** Throws Problem (malformed, rejectedIdentifier) naming what of the spec cannot be asked for. */
export function parseClaimSpec(spec: CertificateClaimSpec): ClaimRequest {
  const identifiers = uniqueIdentifiers([
    ...(spec.dnsNames ?? []).map((name): Identifier => ({ type: 'dns', value: parseDnsName(name) })),
    ...(spec.ipAddresses ?? []).map((text): Identifier => ({ type: 'ip', value: parseIp(text) })),
  ]);
  const valuesOf = (type: Identifier['type']) => identifiers.flatMap((id) => (id.type === type ? [id.value] : []));
  const names: AlternativeNames = {
    dnsNames: valuesOf('dns'),
    ipAddresses: valuesOf('ip'),
    uris: sorted(spec.uris),
    emailAddresses: sorted(spec.emailAddresses),
  };
  if (Object.values(names).every((list) => list.length === 0)) throw new Problem('malformed', 'the claim has no name');
  const keyProblem = spec.privateKey && keyParametersProblem(spec.privateKey);
  if (keyProblem) throw new Problem('malformed', keyProblem);
  return {
    identifiers,
    names,
    subject: parseSubject(spec, identifiers),
    usages: spec.usages,
    wanted: {
      ...(spec.duration === undefined ? {} : { durationMs: parseDuration(spec.duration) }),
      ...(spec.usages === undefined ? {} : { usages: spec.usages }),
      ...(spec.profile === undefined ? {} : { profile: spec.profile }),
    },
  };
}

const sorted = (texts: readonly string[] = []) => [...new Set(texts)].sort();

function parseIp(text: string): string {
  const address = parseAddress(text);
  if (!address) throw new Problem('malformed', `${quote(text)} is not an IP address`);
  return renderAddress(address);
}

/** In the usual order, from the country down to the common name, one attribute an RDN. */
function parseSubject(spec: CertificateClaimSpec, identifiers: readonly Identifier[]): DistinguishedName {
  const { subject = {}, commonName } = spec;
  const attributes: [string, readonly string[] | undefined][] = [
    [OID.countryName, subject.countries],
    [OID.stateOrProvinceName, subject.provinces],
    [OID.localityName, subject.localities],
    [OID.organizationName, subject.organizations],
    [OID.organizationalUnitName, subject.organizationalUnits],
    [OID.commonName, commonName === undefined ? undefined : [commonNameOf(commonName, identifiers)]],
  ];
  const name = attributes.flatMap(([oid, values = []]) => values.map((value) => [{ oid, value }]));
  const problem = nameProblem(name);
  if (problem) throw new Problem('malformed', `subject: ${problem}`);
  return name;
}

function commonNameOf(text: string, identifiers: readonly Identifier[]): string {
  const found = identifiers.find(({ value }) => value === text.toLowerCase());
  if (!found) throw new Problem('malformed', `commonName ${quote(text)} is not among dnsNames and ipAddresses`);
  return found.value;
}

/** The key the claim asks for: its own words, else the issuer's default, else ECDSA P-256. */
export function keyParameters(spec: CertificateClaimSpec, issuer: Issuer): KeyParameters {
  return spec.privateKey ?? issuer.spec.defaults?.privateKey ?? DEFAULT_KEY;
}

/**
 * Changes when, and only when, the spec asks for another certificate: not for another Secret, time of renewal or rotation, nor for
 * another order of names. Nothing of the issuer is in it: a new default there must not reissue a whole fleet.
 */
export function requestHash(spec: CertificateClaimSpec, request: ClaimRequest): string {
  const { issuerRef, privateKey, duration, profile, usages } = spec;
  const content = [
    issuerRef.kind,
    issuerRef.name,
    request.names,
    request.subject,
    privateKey && [privateKey.algorithm, privateKey.size],
    duration && parseDuration(duration),
    profile,
    usages && sorted(usages),
  ];
  return sha256(JSON.stringify(content.map((part) => part ?? null))).toString('hex');
}

/** A request hash as labels of records have it. */
export function hashLabel(requestHash: string): string {
  return base32(Buffer.from(requestHash, 'hex'));
}

export interface ClaimContext {
  id: string;
  /** requestHash of the claim. */
  hash: string;
  key: KeyObject;
  issuer: Issuer;
  namespaceLabels: Readonly<Record<string, string>> | undefined;
  replaces: string | undefined;
}

/** What the engine is asked, with a CSR signed by the key. */
export async function issuanceRequest(
  claim: CertificateClaim,
  request: ClaimRequest,
  context: ClaimContext,
): Promise<IssuanceRequest> {
  const { id, hash, key, issuer, namespaceLabels, replaces } = context;
  const { uris, emailAddresses } = request.names;
  const { namespace = '', name, uid } = claim.metadata;
  return {
    id,
    door: 'CertificateClaim',
    issuer,
    requester: { namespace, claim: name, claimUID: uid, ...(namespaceLabels ? { namespaceLabels } : {}) },
    identifiers: request.identifiers,
    ...(uris.length > 0 ? { uris } : {}),
    ...(emailAddresses.length > 0 ? { emailAddresses } : {}),
    csr: await buildCsr(
      { subject: request.subject, names: request.names, ...(request.usages ? { usages: request.usages } : {}) },
      key,
    ),
    wanted: request.wanted,
    asked: hashLabel(hash),
    ...(replaces === undefined ? {} : { replaces }),
  };
}
