// revoke-cert, RFC 8555 section 7.6: by the account that got the certificate, by the certificate's key, or by an account that
// holds valid authorizations for all its names.
import type { Authorization } from '../api/acme.ts';
import type { IssuedCertificate } from '../api/issued-certificate.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { parseBase64url, sha256 } from '../domain/encoding.ts';
import { issuerFields } from '../domain/issuer.ts';
import { Problem } from '../domain/problem.ts';
import { authorityKeyID } from '../issuance/record.ts';
import type { Records } from '../issuance/records.ts';
import type { Audit, Clock } from '../ports.ts';
import { type Authenticated, readPayload, type Reply, type Signed } from './exchange.ts';
import type { RateLimits } from './rate-limits.ts';
import { type AcmeObjects, type ReuseKey, reuseKey } from './objects.ts';

/** RFC 5280 section 5.3.1, less those that make no sense for a subscriber: certificateHold, removeFromCRL, aACompromise, cACompromise. */
const REASONS: readonly number[] = [0, 1, 3, 4, 5, 9];

export interface RevocationDeps {
  records: Records;
  limits: Pick<RateLimits, 'take'>;
  objects: Pick<AcmeObjects, 'reusable' | 'liveReusable'>;
  clock: Clock;
  audit: Audit;
}

export function createRevocationHandler(deps: RevocationDeps) {
  return async function revokeCert(exchange: Signed | Authenticated): Promise<Reply> {
    const payload = readPayload(exchange);
    const certificate = readCertificate(payload.certificate);
    const record = await find(deps, exchange, certificate);
    await requireRight(deps, exchange, { record, certificate });
    const reason = readReason(payload.reason);
    const by = 'account' in exchange ? exchange.account.metadata.name : 'certificate key';
    if (record.spec.revocation) throw alreadyRevoked();
    // Before the write, so that no revocation is without its line, whatever ends the process.
    deps.audit.record('revocation', {
      ...issuerFields(exchange.issuer),
      record: record.metadata.name,
      serial: certificate.serial,
      reason,
      by,
      source: exchange.source,
    });
    const done = await deps.records.revoke(record, { reason, revokedAt: deps.clock.now().toISOString(), by });
    if (!done) throw alreadyRevoked();
    return { status: 200, body: '' };
  };
}

function alreadyRevoked(): Problem {
  return new Problem('alreadyRevoked', 'the certificate is revoked already');
}

function readCertificate(text: unknown): CertificateFacts {
  const der = typeof text === 'string' ? parseBase64url(text) : undefined;
  if (!der || der.length === 0 || der.length > 65_536)
    throw new Problem('malformed', '"certificate" must be the base64url text of a certificate in DER');
  try {
    return parseCertificate(der);
  } catch {
    throw new Problem('malformed', '"certificate" is not a certificate in DER');
  }
}

async function find(
  { records, limits }: RevocationDeps,
  exchange: Signed,
  certificate: CertificateFacts,
): Promise<IssuedCertificate> {
  const forbidMany = () => limits.take('liveRead', exchange.source);
  const found = (await records.findBySerial(authorityKeyID(certificate), certificate.serial, forbidMany)).find(
    ({ spec, status }) =>
      spec.issuerUID === exchange.issuer.metadata.uid && status.certificate === certificate.der.toString('base64'),
  );
  if (!found) throw new Problem('malformed', 'this issuer has not issued that certificate', { status: 404 });
  return found;
}

async function requireRight(
  deps: RevocationDeps,
  exchange: Signed | Authenticated,
  { record, certificate }: { record: IssuedCertificate; certificate: CertificateFacts },
): Promise<void> {
  if (!('account' in exchange)) {
    if (exchange.key.spkiHash.equals(sha256(certificate.spki))) return;
    throw new Problem('unauthorized', 'the key of the request is not the key of the certificate');
  }
  const account = exchange.account.metadata.name;
  if (record.spec.requester.account === account) return;
  const issuerUID = record.spec.issuerUID;
  const holds = (key: ReuseKey) => deps.objects.reusable(key);
  if (isAuthorised(record, deps.clock.now(), (held) => holds({ issuerUID, account, ...held }))) return;
  const live = await deps.objects.liveReusable(account);
  const isFor = (held: HeldName) => (one: Authorization) =>
    reuseKey(one.spec) === reuseKey({ issuerUID, account, ...held });
  if (isAuthorised(record, deps.clock.now(), (held) => live.filter(isFor(held)))) return;
  throw new Problem(
    'unauthorized',
    'the account neither got this certificate nor holds valid authorizations for all its names',
  );
}

type HeldName = Pick<ReuseKey, 'identifier' | 'wildcard'>;

/** Whether there is a valid authorization for every name of the record. */
function isAuthorised(
  { spec }: IssuedCertificate,
  now: Date,
  authorizationsFor: (name: HeldName) => readonly Authorization[],
): boolean {
  return spec.names.every((name) => {
    const separator = name.indexOf(':');
    const [type, value] = [name.slice(0, separator), name.slice(separator + 1)];
    if (type !== 'dns' && type !== 'ip') return false;
    const wildcard = value.startsWith('*.');
    const identifier = { type, value: wildcard ? value.slice(2) : value } as const;
    return authorizationsFor({ identifier, wildcard }).some((held) => held.spec.expires > now.toISOString());
  });
}

function readReason(reason: unknown): number {
  if (reason === undefined) return 0;
  if (typeof reason === 'number' && REASONS.includes(reason)) return reason;
  throw new Problem('badRevocationReason', `the reason must be one of ${REASONS.join(', ')}`);
}
