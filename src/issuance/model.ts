// The certificate to be: everything in it comes from the approved request and the issuer, nothing is copied from the CSR unseen.
import type { Profile } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import type { Usage } from '../api/kind.ts';
import type {
  AlternativeNames,
  CertificateModel,
  CertificateSigningRequest,
  DistinguishedName,
} from '../domain/certificate-model.ts';
import { parseDuration } from '../domain/duration.ts';
import { comeBack, Problem } from '../domain/problem.ts';
import { defaultSubject, parseSubjectTemplate, renderSubject } from '../domain/subject.ts';
import type { Backend } from '../ports.ts';
import type { IssuanceRequest } from './types.ts';

/** Certificates start a little in the past, for relying parties whose clocks are behind. */
const BACKDATE_MS = 60_000;
/** A start asked for may lie this far in the past. */
const MAX_BACKDATE_MS = 3600_000;
const DURATION_MS = 2160 * 3600_000;

export interface Validity {
  notBefore: Date;
  /** Set where the requester named the end. */
  notAfter: Date | undefined;
  durationMs: number;
  judged: { ms: number; explicit: boolean };
}

const wholeSeconds = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);

function profileOf(issuer: Issuer, name: string | undefined): Profile | undefined {
  const profiles = issuer.spec.profiles ?? [];
  if (name === undefined) return profiles.find((profile) => profile.default);
  const found = profiles.find((profile) => profile.name === name);
  // It was advertised when the order was made, and has been withdrawn since.
  if (!found) throw new Problem('invalidProfile', `the issuer no longer offers the profile ${name}`);
  return found;
}

/** Throws malformed for a start too far in the past. */
export function requireRecent(notBefore: Date | undefined, now: Date): void {
  if (notBefore && notBefore.getTime() < now.getTime() - MAX_BACKDATE_MS)
    throw new Problem('malformed', 'notBefore lies more than an hour in the past');
}

/** Throws malformed for times that a requester names where the CA decides on its own. */
export function requireHeeded(
  { validity }: Backend['controls'],
  { notBefore, notAfter }: { notBefore?: Date | undefined; notAfter?: Date | undefined },
): void {
  if (validity !== true && (notBefore || notAfter))
    throw new Problem(
      'malformed',
      'the CA of this issuer decides when validity begins and ends: name no notBefore and notAfter',
    );
}

/** Start and length as asked for or defaulted, before anything shortens them. Throws malformed for a start that cannot be. */
export function wantedValidity(request: IssuanceRequest, now: Date): Validity {
  const { wanted, issuer } = request;
  requireRecent(wanted.notBefore, now);
  if (wanted.notAfter && wanted.notAfter <= now) throw new Problem('malformed', 'notAfter lies in the past');
  const notBefore = wanted.notBefore ?? wholeSeconds(now.getTime() - BACKDATE_MS);
  const configured = profileOf(issuer, wanted.profile)?.duration?.default ?? issuer.spec.defaults?.duration;
  const fallback = configured === undefined ? DURATION_MS : parseDuration(configured);
  if (!wanted.notAfter) {
    const durationMs = wanted.durationMs ?? fallback;
    return { notBefore, notAfter: undefined, durationMs, judged: { ms: durationMs, explicit: false } };
  }
  // Judged from now at the latest, so that a start in the future does not stretch the end.
  const from = Math.min(wanted.notBefore?.getTime() ?? now.getTime(), now.getTime());
  const durationMs = wanted.notAfter.getTime() - notBefore.getTime();
  return {
    notBefore,
    notAfter: wanted.notAfter,
    durationMs,
    judged: { ms: wanted.notAfter.getTime() - from, explicit: true },
  };
}

export interface ModelFacts {
  csr: CertificateSigningRequest;
  names: AlternativeNames;
  validity: Validity;
  now: Date;
  /** Of the backend. */
  controls: Backend['controls'];
  /** Of the CA. */
  notAfterLimit: Date | undefined;
  /** Of the policy. */
  maxDurationMs: number | undefined;
}

export function buildModel(request: IssuanceRequest, facts: ModelFacts): CertificateModel {
  const { csr, names, validity } = facts;
  const profile = profileOf(request.issuer, request.wanted.profile);
  return {
    subject: subjectOf(request, facts),
    names,
    publicKey: csr.publicKey,
    usages: usagesOf(request, profile, csr),
    notBefore: validity.notBefore,
    notAfter: endOf(validity, profile, facts),
    profile: profile?.name,
  };
}

/**
 * The issuer's template where it is forced or the CSR has no subject, else the CSR's, else the shortest name. Where the CA takes the
 * subject from the CSR, that is what the certificate gets.
 */
function subjectOf({ issuer, requester }: IssuanceRequest, { csr, names, controls }: ModelFacts): DistinguishedName {
  const settings = issuer.spec.subject;
  if (!controls.subject && !settings) return csr.subject;
  if (!settings || (controls.subject && csr.subject.length > 0 && !settings.force))
    return csr.subject.length > 0 ? csr.subject : defaultSubject(names);
  const template = parseSubjectTemplate(settings.template);
  if (typeof template === 'string' || !controls.subject) {
    throw comeBack('the subject template of the issuer is misconfigured', 60);
  }
  const { account, namespace, claim } = requester;
  return renderSubject(template, {
    names,
    ...(account === undefined ? {} : { account }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(claim === undefined ? {} : { claim }),
  });
}

/**
 * An explicit end is honoured exactly or refused; any other is clamped to what profile, policy and CA permit. As for an explicit end,
 * profile and policy count from now at the latest: a start in the future gives no certificate that lasts longer than theirs.
 */
function endOf(
  validity: Validity,
  profile: Profile | undefined,
  { now, notAfterLimit, maxDurationMs }: ModelFacts,
): Date {
  if (validity.notAfter) {
    if (notAfterLimit && validity.notAfter > notAfterLimit) {
      throw new Problem('malformed', `notAfter is later than the CA allows: ${notAfterLimit.toISOString()}`);
    }
    return validity.notAfter;
  }
  const profileMax =
    profile?.duration?.max === undefined ? Number.POSITIVE_INFINITY : parseDuration(profile.duration.max);
  const start = validity.notBefore.getTime();
  const longest = Math.min(profileMax, maxDurationMs ?? Number.POSITIVE_INFINITY);
  const end = Math.min(start + validity.durationMs, Math.min(start, now.getTime()) + longest);
  if (end <= start) throw new Problem('malformed', 'notBefore is later than the longest lifetime allowed, from now');
  return wholeSeconds(Math.min(end, notAfterLimit?.getTime() ?? end));
}

function usagesOf(
  request: IssuanceRequest,
  profile: Profile | undefined,
  csr: CertificateSigningRequest,
): readonly Usage[] {
  const offered = profile?.usages ?? ['server auth'];
  const usages = request.wanted.usages ?? offered;
  const outside = (csr.usages ?? []).filter((usage) => !usages.includes(usage));
  if (outside.length > 0)
    throw new Problem('badCSR', `the CSR asks for extended key usage ${outside.join(', ')}, which is not offered`);
  return usages;
}
