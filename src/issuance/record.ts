// The record of an issuance, with the labels by which it is found.
import { type IssuedCertificate, RecordLabel } from '../api/issued-certificate.ts';
import type { NewObject } from '../api/kind.ts';
import type { CertificateFacts } from '../domain/certificate.ts';
import type { CertificateModel } from '../domain/certificate-model.ts';
import { base32, hashName, sha256 } from '../domain/encoding.ts';
import { issuerRef } from '../domain/issuer.ts';
import { allNames } from './judge.ts';
import type { IssuanceRequest } from './types.ts';

export interface RecordFacts {
  name: string;
  namespace: string;
  model: CertificateModel;
  policy: string;
  decisionID: string;
  leaf: CertificateFacts;
  /** Fingerprint of the chain above the leaf. */
  chain: string;
  now: Date;
}

export function buildRecord(request: IssuanceRequest, facts: RecordFacts): NewObject<IssuedCertificate> {
  const { model, leaf, now } = facts;
  const names = allNames(model.names);
  const { requester } = request;
  return {
    metadata: { name: facts.name, namespace: facts.namespace, labels: labels(request, facts, names) },
    spec: {
      requestID: request.id,
      door: request.door,
      issuerRef: issuerRef(request.issuer),
      issuerUID: request.issuer.metadata.uid,
      requester: {
        ...(requester.account === undefined ? {} : { account: requester.account }),
        ...(requester.eabKeyID === undefined ? {} : { eabKeyID: requester.eabKeyID }),
        ...(requester.namespace === undefined ? {} : { namespace: requester.namespace }),
        ...(requester.claim === undefined ? {} : { claim: requester.claim }),
        ...(requester.source === undefined ? {} : { source: requester.source }),
      },
      names,
      ...(model.profile === undefined ? {} : { profile: model.profile }),
      csr: request.csr.toString('base64'),
      policy: facts.policy,
      decisionID: facts.decisionID,
      ...(request.replaces === undefined ? {} : { replaces: request.replaces }),
      ...(request.order ? { order: request.order.encoded, orderExpires: request.order.expires.toISOString() } : {}),
    },
    status: {
      certificate: leaf.der.toString('base64'),
      serial: leaf.serial,
      notBefore: leaf.notBefore.toISOString(),
      notAfter: leaf.notAfter.toISOString(),
      issuedAt: now.toISOString(),
      chain: facts.chain,
    },
  };
}

function labels(request: IssuanceRequest, { leaf }: RecordFacts, names: readonly string[]): Record<string, string> {
  const { account, namespace, claimUID } = request.requester;
  const home = request.issuer.metadata.namespace;
  return {
    [RecordLabel.serial]: leaf.serial,
    [RecordLabel.authorityKeyID]: leaf.authorityKeyIdentifier?.toString('hex') ?? 'none',
    [RecordLabel.publicKey]: base32(sha256(leaf.spki)),
    [RecordLabel.names]: hashName(...names),
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
