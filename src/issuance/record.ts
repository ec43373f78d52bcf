// The record of an issuance, with the labels by which it is found: reserved, then finished, or finished at once.
import {
  type CertificateRecord,
  type IssuedCertificate,
  type IssuedCertificateStatus,
  RecordAnnotation,
  RecordLabel,
  type Refusal,
} from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import type { CertificateFacts } from '../domain/certificate.ts';
import type { CertificateModel } from '../domain/certificate-model.ts';
import { parseCsr } from '../domain/csr.ts';
import { DerReader } from '../domain/der.ts';
import { encodeName, readName } from '../domain/distinguished-name.ts';
import { hashKey, hashName } from '../domain/encoding.ts';
import { issuerRef } from '../domain/issuer.ts';
import { parseProblem, type Problem, URN } from '../domain/problem.ts';
import { oneLine } from '../domain/remote-text.ts';
import type { SigningRequest } from '../ports.ts';
import { allNames, namesOf } from './judge.ts';
import type { IssuanceRequest } from './types.ts';

export interface ApprovedFacts {
  name: string;
  namespace: string;
  model: CertificateModel;
  policy: string;
  decisionID: string;
}

export interface IssuedFacts {
  leaf: CertificateFacts;
  /** Fingerprint of the chain above the leaf. */
  chain: string;
  now: Date;
}

export type RecordFacts = ApprovedFacts & IssuedFacts;

/** As it is created where the certificate is there already. */
export function buildRecord(request: IssuanceRequest, facts: RecordFacts): NewObject<IssuedCertificate> {
  const { name, namespace, leaf } = facts;
  return {
    metadata: { name, namespace, labels: { ...requestLabels(request, facts), ...certificateLabels(leaf) } },
    spec: specOf(request, facts),
    status: issuedStatus(facts),
  };
}

/** As it is created before a CA elsewhere is asked. */
export function buildReservation(request: IssuanceRequest, facts: ApprovedFacts): NewObject<CertificateRecord> {
  const { name, namespace, model } = facts;
  const approved = {
    subject: encodeName(model.subject).toString('base64'),
    usages: [...model.usages],
    notBefore: model.notBefore.toISOString(),
    notAfter: model.notAfter.toISOString(),
  };
  return {
    metadata: { name, namespace, labels: { ...requestLabels(request, facts), [RecordLabel.state]: 'reserved' } },
    spec: { ...specOf(request, facts), approved },
  };
}

/** A reservation, or what became of it, with its certificate. */
export function finishRecord(record: CertificateRecord, facts: IssuedFacts): IssuedCertificate {
  const { [RecordLabel.state]: _state, ...labels } = record.metadata.labels ?? {};
  const {
    [RecordAnnotation.handle]: _handle,
    [RecordAnnotation.keyAuthorizations]: _answers,
    ...annotations
  } = record.metadata.annotations ?? {};
  return {
    ...record,
    metadata: { ...record.metadata, labels: { ...labels, ...certificateLabels(facts.leaf) }, annotations },
    status: issuedStatus(facts),
  };
}

function specOf(request: IssuanceRequest, { model, policy, decisionID }: ApprovedFacts): CertificateRecord['spec'] {
  const { requester } = request;
  return {
    requestID: request.id,
    door: request.door,
    issuerRef: issuerRef(request.issuer),
    issuerUID: request.issuer.metadata.uid,
    requester: {
      ...(requester.account === undefined ? {} : { account: requester.account }),
      ...(requester.eabKeyID === undefined ? {} : { eabKeyID: requester.eabKeyID }),
      ...(requester.namespace === undefined ? {} : { namespace: requester.namespace }),
      ...(requester.serviceAccount === undefined ? {} : { serviceAccount: requester.serviceAccount }),
      ...(requester.claim === undefined ? {} : { claim: requester.claim }),
      ...(requester.source === undefined ? {} : { source: requester.source }),
    },
    names: allNames(model.names),
    ...(model.profile === undefined ? {} : { profile: model.profile }),
    csr: request.csr.toString('base64'),
    policy,
    decisionID,
    ...(request.replaces === undefined ? {} : { replaces: request.replaces }),
    ...(request.order ? { order: request.order.encoded, orderExpires: request.order.expires.toISOString() } : {}),
  };
}

function issuedStatus({ leaf, chain, now }: IssuedFacts): IssuedCertificateStatus {
  return {
    certificate: leaf.der.toString('base64'),
    serial: leaf.serial,
    notBefore: leaf.notBefore.toISOString(),
    notAfter: leaf.notAfter.toISOString(),
    issuedAt: now.toISOString(),
    chain,
  };
}

/** Known before there is a certificate. */
function requestLabels(request: IssuanceRequest, { model }: ApprovedFacts): Record<string, string> {
  const { account, namespace, claimUID } = request.requester;
  const home = request.issuer.metadata.namespace;
  return {
    [RecordLabel.publicKey]: hashKey(model.publicKey.spki),
    [RecordLabel.names]: hashName(...allNames(model.names)),
    [RecordLabel.door]: request.door,
    // A label holds 63 characters and so does not hold every name: an issuer's may be longer, hence its uid.
    [RecordLabel.issuer]: request.issuer.metadata.uid,
    ...(home === undefined ? {} : { [RecordLabel.issuerNamespace]: home }),
    ...(account === undefined ? {} : { [RecordLabel.account]: account }),
    ...(namespace === undefined ? {} : { [RecordLabel.namespace]: namespace }),
    ...(claimUID === undefined ? {} : { [RecordLabel.claim]: claimUID }),
    ...(request.asked === undefined ? {} : { [RecordLabel.request]: request.asked }),
    ...(request.replaces === undefined ? {} : { [RecordLabel.replaces]: request.replaces }),
  };
}

function certificateLabels(leaf: CertificateFacts): Record<string, string> {
  return {
    [RecordLabel.serial]: leaf.serial,
    [RecordLabel.authorityKeyID]: authorityKeyID(leaf),
  };
}

/** As the label of a record has it; CAs elsewhere may leave the extension out. */
export function authorityKeyID({ authorityKeyIdentifier }: Pick<CertificateFacts, 'authorityKeyIdentifier'>): string {
  return authorityKeyIdentifier?.toString('hex') ?? 'none';
}

/** What the CA is asked for a reservation, whoever made it. Throws Error for a record that is none. */
export function signingRequestOf({ metadata, spec }: CertificateRecord): SigningRequest {
  const { approved, requester, door } = spec;
  if (!approved) throw new Error(`record ${metadata.name} is no reservation`);
  const csr = Buffer.from(spec.csr, 'base64');
  return {
    id: metadata.name,
    csr,
    model: {
      subject: readSubject(Buffer.from(approved.subject, 'base64')),
      names: namesOf(spec.names),
      publicKey: parseCsr(csr).publicKey,
      usages: approved.usages,
      notBefore: new Date(approved.notBefore),
      notAfter: new Date(approved.notAfter),
      profile: spec.profile,
    },
    requester: { door, ...requester },
  };
}

function readSubject(der: Buffer): CertificateModel['subject'] {
  const reader = DerReader.of(der);
  const name = readName(reader);
  reader.end();
  return name;
}

export function refusalOf({ type, detail, status }: Problem, now: Date): Refusal {
  return { type, detail: oneLine(detail).slice(0, MAX_DETAIL), status, refusedAt: now.toISOString() };
}

const MAX_DETAIL = 2048;

/** The problem that was put on record. */
export function problemOf({ type, detail, status }: Refusal): Problem {
  return parseProblem(JSON.stringify({ type: URN + type, detail, status }));
}
