// Certificate download, RFC 8555 section 7.4.2: the leaf from its record, the chain from the issuer.
import type { Issuer } from '../api/issuer.ts';
import type { IssuedCertificate } from '../api/issued-certificate.ts';
import { renderPem } from '../domain/encoding.ts';
import { comeBack } from '../domain/problem.ts';
import type { Records } from '../issuance/records.ts';
import { type Authenticated, type Reply, requireEmptyPayload } from './exchange.ts';
import { notFound, notYours } from './sealed.ts';

/** Chains above the leaf of a record as handed out, PEM, the record's own first; from the issuer's status. */
export type ChainsOf = (issuer: Issuer, record: IssuedCertificate) => readonly string[];

export function createCertificateHandler(deps: { records: Records; chainsOf: ChainsOf }) {
  return async function certificate(exchange: Authenticated): Promise<Reply> {
    requireEmptyPayload(exchange);
    const record = await ownRecord(deps.records, exchange);
    const chains = deps.chainsOf(exchange.issuer, record);
    const wanted = Number(exchange.params.n ?? 0);
    const chain = chains[wanted];
    if (chain === undefined) {
      if (wanted > 0 || chains.length > 0) throw notFound();
      throw comeBack('the chain of this certificate is not there yet', 5);
    }
    const name = record.metadata.name;
    const links = chains.flatMap((_, n) => {
      const url = n === 0 ? exchange.urls.certificate(name) : exchange.urls.alternate(name, n);
      return n === wanted ? [] : [`<${url}>;rel="alternate"`];
    });
    const leaf = renderPem('CERTIFICATE', Buffer.from(record.status.certificate, 'base64'));
    return {
      status: 200,
      contentType: 'application/pem-certificate-chain',
      ...(links.length > 0 ? { headers: { Link: links } } : {}),
      body: leaf + chain,
    };
  };
}

async function ownRecord(records: Records, exchange: Authenticated): Promise<IssuedCertificate> {
  const name = exchange.params.record ?? '';
  const record = /^ic-[a-z2-7]{52}$/.test(name) ? await records.issued(name) : undefined;
  if (!record || record.spec.door !== 'ACME' || record.spec.issuerUID !== exchange.issuer.metadata.uid)
    throw notFound();
  if (record.spec.requester.account !== exchange.account.metadata.name) throw notYours();
  return record;
}
