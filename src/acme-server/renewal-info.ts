// ACME Renewal Information, RFC 9773: when to renew, and which certificate an order replaces.
import { type IssuedCertificate, RecordAnnotation } from '../api/issued-certificate.ts';
import { parseBase64url } from '../domain/encoding.ts';
import { type Identifier, identifierKey } from '../domain/identifier.ts';
import type { Order } from '../domain/order.ts';
import { Problem } from '../domain/problem.ts';
import { firstReissue, suggestedWindow } from '../domain/renewal.ts';
import type { Records } from '../issuance/records.ts';
import type { Clock } from '../ports.ts';
import type { Authenticated, Exchange, Reply } from './exchange.ts';
import type { RateLimits } from './rate-limits.ts';
import { notFound } from './sealed.ts';

/** How often a client should ask, RFC 9773 section 4.2. */
const POLL_SECONDS = 6 * 3600;

export interface CertID {
  authorityKeyID: string;
  serial: string;
}

/** base64url of the AKI, a dot, base64url of the serial number's content octets (RFC 9773 section 4.1). Throws malformed. */
export function parseCertID(text: string): CertID {
  const [aki, serial, ...rest] = text.split('.').map(parseBase64url);
  if (!aki?.length || !serial?.length || rest.length > 0) {
    throw new Problem(
      'malformed',
      'a certID is two base64url texts joined by a dot: authority key identifier and serial number',
    );
  }
  const magnitude = serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial;
  return { authorityKeyID: aki.toString('hex'), serial: magnitude.toString('hex') };
}

export interface Replacements {
  /** What the `replaces` of a new order names, checked against RFC 9773 section 5. */
  parse(exchange: Authenticated, value: unknown, identifiers: readonly Identifier[]): Promise<Order['replaces']>;
}

interface RenewalInfoDeps {
  records: Records;
  limits: Pick<RateLimits, 'take'>;
  clock: Clock;
}

export function createRenewalInfo(deps: RenewalInfoDeps) {
  return {
    renewalInfo: (exchange: Exchange) => renewalInfo(deps, exchange),
    parse: async (exchange: Authenticated, value: unknown, identifiers: readonly Identifier[]) =>
      value === undefined ? undefined : parseReplaces(deps, exchange, { value, identifiers }),
  };
}

/** Anybody can ask for what there is not, and each time the records are read through: hence the limit. */
async function find(
  { records, limits }: RenewalInfoDeps,
  { issuer, source }: Exchange,
  { authorityKeyID, serial }: CertID,
): Promise<IssuedCertificate | undefined> {
  const found = await records.findBySerial(authorityKeyID, serial, () => limits.take('liveRead', source));
  return found.find(({ spec }) => spec.issuerUID === issuer.metadata.uid);
}

async function renewalInfo(deps: RenewalInfoDeps, exchange: Exchange): Promise<Reply> {
  const record = await find(deps, exchange, parseCertID(exchange.params.certid ?? ''));
  if (!record) throw notFound();
  const { reissueBefore } = exchange.issuer.spec;
  const { spec, status, metadata } = record;
  const lifetime = {
    notBefore: new Date(status.notBefore),
    notAfter: new Date(status.notAfter),
    issuedAt: new Date(status.issuedAt),
  };
  const window = suggestedWindow(lifetime, {
    name: metadata.name,
    revoked: spec.revocation !== undefined,
    reissueBefore: firstReissue(lifetime, reissueBefore, metadata.annotations?.[RecordAnnotation.renewal]),
    now: deps.clock.now(),
  });
  return {
    status: 200,
    headers: { 'Retry-After': String(POLL_SECONDS) },
    body: { suggestedWindow: { start: window.start.toISOString(), end: window.end.toISOString() } },
  };
}

async function parseReplaces(
  deps: RenewalInfoDeps,
  exchange: Authenticated,
  { value, identifiers }: { value: unknown; identifiers: readonly Identifier[] },
): Promise<Order['replaces']> {
  if (typeof value !== 'string') throw new Problem('malformed', '"replaces" must be a certID');
  const record = await find(deps, exchange, parseCertID(value));
  if (!record) throw new Problem('malformed', '"replaces" names no certificate of this issuer', { status: 404 });
  if (record.spec.requester.account !== exchange.account.metadata.name) {
    throw new Problem('unauthorized', '"replaces" names a certificate of another account');
  }
  const names = new Set(record.spec.names);
  if (!identifiers.some((identifier) => names.has(identifierKey(identifier)))) {
    throw new Problem('malformed', 'the order shares no name with the certificate it replaces');
  }
  if (deps.records.replacing(record.metadata.name).length > 0) {
    throw new Problem('alreadyReplaced', 'a certificate that replaces this one was issued already');
  }
  return { record: record.metadata.name, certID: value };
}
