// Says from the outside whether the world is as it must be: reads the store's file, the audit log and the files of clients. Uses
// node:crypto, and of the program only the reader of the store.
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Account, AccountKind, type Authorization, AuthorizationKind } from '../../src/api/acme.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { type CertificateClaim, CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { type Secret, SecretKind } from '../../src/api/core.ts';
import { type IssuedCertificate, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import { readStore, storeFile } from '../../src/cluster/sqlite-storage.ts';
import type { Obtained } from './client.ts';
import { ISSUER } from './program.ts';

export interface AuditLine {
  audit: string;
  record?: string;
  serial?: string;
  decisionID?: string;
  verdict?: string;
  id?: string;
  identifier?: string;
  outcome?: string;
  account?: string;
  reason?: number;
}

/** Everything a data folder holds. */
export function readWorld(data: string) {
  const all = <T extends KubeObject>(kind: Kind<T>): T[] =>
    readStore(storeFile(data), kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`) as T[];
  return {
    data,
    accounts: all<Account>(AccountKind),
    authorizations: all<Authorization>(AuthorizationKind),
    records: all<IssuedCertificate>(IssuedCertificateKind),
    issuers: all<ClusterCAIssuer>(ClusterCAIssuerKind),
    claims: all<CertificateClaim>(CertificateClaimKind),
    secrets: all<Secret>(SecretKind),
    // Whole lines only: a line is written by one call.
    audit: readFileSync(join(data, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditLine),
  };
}

export type World = ReturnType<typeof readWorld>;

const leafOf = (record: IssuedCertificate): X509Certificate =>
  new X509Certificate(Buffer.from(record.status.certificate, 'base64'));
export const lastStep = (url: string): string => url.slice(url.lastIndexOf('/') + 1);
const altNames = (names: readonly string[]): string => names.map((name) => `DNS:${name}`).join(', ');

/** One certificate, one record, one account, and a trace of each in the audit log. */
export function expectOneOrder(world: World, obtained: Obtained): IssuedCertificate {
  const { names, keys } = obtained;
  const held = new X509Certificate(obtained.pem);
  const wanted = names.map((name) => `dns:${name}`).sort();
  const records = world.records.filter(({ spec }) => spec.names.some((name) => wanted.includes(name)));
  expect(records, 'records of the order').toHaveLength(1);
  const [record] = records as [IssuedCertificate];
  expect(record.metadata.name).toBe(lastStep(obtained.certificateUrl));
  expect(record.spec).toMatchObject({
    door: 'ACME',
    names: wanted,
    csr: obtained.csr.toString('base64'),
    requester: { account: lastStep(obtained.accountUrl) },
  });
  expect(leafOf(record).raw.equals(held.raw), 'the certificate held is the one on record').toBe(true);
  expect(held.checkPrivateKey(keys.privateKey), 'the key is the client’s').toBe(true);
  expect(held.subjectAltName).toBe(altNames(names));
  expectChain(world, record, obtained.pem);
  expectOneAccount(world, obtained);
  expectIssuanceAudited(world, record);
  return record;
}

/** The record's chain is the issuer's, signs the leaf, and is what the client got. */
function expectChain(world: World, record: IssuedCertificate, pem: string): void {
  const issuer = world.issuers.find(({ metadata }) => metadata.name === ISSUER);
  const chain = issuer?.status?.chains?.find(({ fingerprint }) => fingerprint === record.status.chain);
  expect(chain, 'the chain of the record').toBeDefined();
  const ca = new X509Certificate(chain?.pem ?? '');
  expect(leafOf(record).verify(ca.publicKey)).toBe(true);
  expect(pem.endsWith(chain?.pem ?? 'none')).toBe(true);
  const stored = world.secrets.find(({ metadata }) => metadata.name === 'main-ca')?.data?.['tls.crt'] ?? '';
  expect(new X509Certificate(Buffer.from(stored, 'base64')).raw.equals(ca.raw), 'the CA never changed').toBe(true);
}

function expectOneAccount(world: World, { names, accountUrl, thumbprint }: Obtained): void {
  const accounts = world.accounts.filter(({ spec }) => spec.thumbprint === thumbprint);
  expect(accounts.map(({ metadata }) => metadata.name)).toEqual([lastStep(accountUrl)]);
  const authorizations = world.authorizations.filter(({ spec }) => spec.account === lastStep(accountUrl));
  expect(authorizations.map(({ spec }) => `${spec.identifier.value} ${spec.outcome}`).sort()).toEqual(
    names.map((name) => `${name} valid`).sort(),
  );
  for (const name of names) {
    const lines = world.audit.filter(({ audit, identifier }) => audit === 'validation' && identifier === `dns:${name}`);
    expect(lines.length, `validations of ${name} in the audit log`).toBeGreaterThan(0);
    expect(lines.every(({ outcome, account }) => outcome === 'valid' && account === lastStep(accountUrl))).toBe(true);
  }
}

/** Exactly one line tells of this certificate; what other certificates the audit log has for the request were never released. */
export function expectIssuanceAudited(world: World, record: IssuedCertificate): void {
  const lines = world.audit.filter((line) => line.audit === 'issuance' && line.record === record.metadata.name);
  expect(
    lines.filter(({ serial }) => serial === record.status.serial),
    'lines that tell of the certificate',
  ).toHaveLength(1);
  // One kill: at most one certificate was signed and lost.
  expect(lines.length).toBeLessThanOrEqual(2);
  const decision = world.audit.find(
    ({ audit, decisionID }) => audit === 'decision' && decisionID === record.spec.decisionID,
  );
  expect(decision).toMatchObject({ verdict: 'allow', id: record.spec.requestID });
}

export interface ClaimCount {
  /** Records whose key was lost. */
  superseded: number;
  /** Revision of the certificate in the Secret. */
  revision: number;
}

/** The Secret holds the one live certificate; what else was signed for the claim is revoked. `released`: serials in use before. */
export function expectOneClaim(
  world: World,
  claimName: string,
  { names, released }: { names: readonly string[]; released: readonly string[] },
): ClaimCount {
  const claim = world.claims.find(({ metadata }) => metadata.name === claimName);
  const secret = world.secrets.find(
    ({ metadata }) => metadata.name === claim?.spec.secretName && metadata.namespace === 'default',
  );
  const { certificate, key } = expectPair(secret);
  expect(certificate.subjectAltName).toBe(altNames(names));
  expect(certificate.checkPrivateKey(key)).toBe(true);
  const records = world.records.filter(({ spec }) => spec.requester.claim === claimName);
  const earlier = records.filter(({ status }) => released.includes(status.serial));
  const live = records.filter((record) => !record.spec.revocation && !earlier.includes(record));
  expect(live, 'live records of the claim').toHaveLength(1);
  const [record] = live as [IssuedCertificate];
  expect(leafOf(record).raw.equals(certificate.raw), 'the Secret holds the live certificate').toBe(true);
  expect(claim?.status).toMatchObject({ serial: record.status.serial, record: record.metadata.name });
  expect(claim?.status?.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
    status: 'True',
    observedGeneration: claim?.metadata.generation,
  });
  const superseded = records.filter(({ spec }) => spec.revocation);
  for (const each of records) expectIssuanceAudited(world, each);
  for (const each of superseded) expectSuperseded(world, each, 'certificate-claim');
  expectFiles(world, secret as Secret);
  return { superseded: superseded.length, revision: claim?.status?.revision ?? 0 };
}

/** Revoked as superseded, with a line in the audit log. */
export function expectSuperseded(world: World, { metadata, spec, status }: IssuedCertificate, by: string): void {
  expect(spec.revocation).toMatchObject({ reason: 4, by });
  expect(metadata.labels?.['countersign.dev/revoked']).toBe('true');
  const lines = world.audit.filter(({ audit, serial }) => audit === 'revocation' && serial === status.serial);
  expect(lines.length, 'the revocation is in the audit log').toBeGreaterThan(0);
  expect(lines.every(({ reason }) => reason === 4)).toBe(true);
}

/** Certificate and key of a Secret, which belong together whenever one looks. */
export function expectPair(secret: Secret | undefined): { certificate: X509Certificate; key: KeyObject } {
  const [pem = '', keyPem = ''] = ['tls.crt', 'tls.key'].map((name) =>
    Buffer.from(secret?.data?.[name] ?? '', 'base64').toString(),
  );
  const certificate = new X509Certificate(pem);
  const key = createPrivateKey(keyPem);
  expect(certificate.publicKey.equals(createPublicKey(key)), 'key and certificate of the Secret').toBe(true);
  return { certificate, key };
}

function expectFiles({ data }: World, { metadata, data: content = {} }: Secret): void {
  const folder = join(data, 'secrets', metadata.namespace ?? '', metadata.name);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(readdirSync(folder).sort()).toEqual(Object.keys(content).sort());
  for (const [name, value] of Object.entries(content)) {
    expect(readFileSync(join(folder, name)).toString('base64')).toBe(value);
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  }
}
