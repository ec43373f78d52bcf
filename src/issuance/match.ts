// The request against what was authorised: a CSR may ask for exactly the names of the order, no more and no fewer.
import type { AlternativeNames, CertificateModel, CertificateSigningRequest } from '../domain/certificate-model.ts';
import { csrIdentifiers } from '../domain/csr.ts';
import { identifierKey, quote } from '../domain/identifier.ts';
import { clusterIssuer } from '../domain/issuer.ts';
import type { Backend } from '../ports.ts';
import type { JudgedRequest } from '../domain/policy/input.ts';
import { Problem } from '../domain/problem.ts';
import { alternativeNames } from './judge.ts';
import type { Validity } from './model.ts';
import type { IssuanceRequest } from './types.ts';

/** The names of the certificate to be. Throws badCSR naming what differs. */
export function matchRequest(request: IssuanceRequest, csr: CertificateSigningRequest): AlternativeNames {
  const asked = new Set(csrIdentifiers(csr).map(identifierKey));
  const ordered = new Set(request.identifiers.map(identifierKey));
  const extra = [...asked].filter((name) => !ordered.has(name));
  const missing = [...ordered].filter((name) => !asked.has(name));
  if (extra.length > 0) throw new Problem('badCSR', `the CSR has names that were not ordered: ${shown(extra)}`);
  if (missing.length > 0) throw new Problem('badCSR', `the CSR lacks names that were ordered: ${shown(missing)}`);
  const { uris = [], emailAddresses = [] } = request;
  requireSame('URIs', csr.names.uris, uris);
  requireSame('e-mail addresses', csr.names.emailAddresses, emailAddresses);
  return { ...alternativeNames(request.identifiers), uris, emailAddresses };
}

/** Where a CA takes something from the CSR itself, the CSR must say what the model says. Throws badCSR. */
export function requireAgreement(
  csr: CertificateSigningRequest,
  model: CertificateModel,
  controls: Backend['controls'],
): void {
  if (controls.extensions) return;
  const lists = ['dnsNames', 'ipAddresses'] as const;
  const missing = lists.flatMap((list) => model.names[list].filter((name) => !csr.names[list].includes(name)));
  if (missing.length > 0)
    throw new Problem(
      'badCSR',
      `the CA of this issuer reads names from subjectAltName alone, where the CSR lacks ${shown(missing.map((name) => `:${name}`))}`,
    );
  const usages = csr.usages ?? model.usages;
  if (usages.length !== model.usages.length || !usages.every((usage) => model.usages.includes(usage)))
    throw new Problem(
      'badCSR',
      `the CA of this issuer takes extended key usages from the CSR, which must have ${model.usages.join(', ')} or none`,
    );
}

function shown(names: readonly string[]): string {
  const list = names.slice(0, 5).map((name) => quote(name.slice(name.indexOf(':') + 1)));
  return list.join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
}

function requireSame(what: string, asked: readonly string[], ordered: readonly string[]): void {
  const same = asked.length === ordered.length && asked.every((name) => ordered.includes(name));
  if (!same) throw new Problem('badCSR', `the ${what} of the CSR are not those of the request`);
}

/** What policy judges: the final model, with the attributes that the issuer itself puts into the subject marked. */
export function judgedRequest(
  request: IssuanceRequest,
  { csr, model, validity }: { csr: CertificateSigningRequest; model: CertificateModel; validity: Validity },
): JudgedRequest {
  // The model has the subject of the CSR or one of the issuer's making, whose attributes may well be those that were asked for. The
  // template of a tenant is a wish like any other.
  const trusted = clusterIssuer(request.issuer) !== undefined || request.issuer.spec.subject === undefined;
  const imposed = trusted && model.subject !== csr.subject;
  return {
    door: request.door,
    requester: request.requester,
    names: model.names,
    ...(request.unproven ? { unproven: new Set(request.unproven.map(identifierKey)) } : {}),
    subject: model.subject.map((rdn) => rdn.map((attribute) => ({ ...attribute, imposed }))),
    publicKey: model.publicKey,
    usages: model.usages,
    profile: model.profile,
    duration: validity.judged,
  };
}
