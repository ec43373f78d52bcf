// Approved models and signing requests for the suites that backends run.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { CertificateModel, PublicKeyFacts } from '../../src/domain/certificate-model.ts';
import { parsePublicKey } from '../../src/domain/public-key.ts';
import type { SigningRequest } from '../../src/ports.ts';
import { buildCsr } from '../support/csr-builder.ts';

export const KEY_KINDS = ['RSA-2048', 'RSA-3072', 'P-256', 'P-384', 'P-521', 'Ed25519'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

export interface TestKey {
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export function createKey(kind: KeyKind): TestKey {
  if (kind === 'Ed25519') return generateKeyPairSync('ed25519');
  if (kind === 'RSA-2048') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (kind === 'RSA-3072') return generateKeyPairSync('rsa', { modulusLength: 3072 });
  return generateKeyPairSync('ec', { namedCurve: kind });
}

const shared = new Map<KeyKind, TestKey>();

/** One key of the kind per process, for tests that do not mind sharing: RSA takes its time. */
export function sharedKey(kind: KeyKind): TestKey {
  const key = shared.get(kind) ?? createKey(kind);
  shared.set(kind, key);
  return key;
}

export function keyFacts(key: Pick<TestKey, 'publicKey'>): PublicKeyFacts {
  return parsePublicKey(key.publicKey.export({ type: 'spki', format: 'der' }));
}

export interface ModelOptions extends Partial<Omit<CertificateModel, 'names' | 'publicKey'>> {
  names?: Partial<CertificateModel['names']>;
  keys?: TestKey;
  /** Start of validity; the end is a week later unless given. */
  from?: Date;
}

const WEEK_MS = 7 * 86_400_000;

/** A model for db.example.test, but for what is asked otherwise. */
export function aModel({ names, keys, from, ...rest }: ModelOptions = {}): CertificateModel {
  const start = from ?? new Date(Math.floor(Date.now() / 1000) * 1000);
  const dnsNames = names === undefined ? ['db.example.test'] : [];
  return {
    subject: [[{ oid: '2.5.4.3', value: names?.dnsNames?.[0] ?? 'db.example.test' }]],
    names: { dnsNames, ipAddresses: [], uris: [], emailAddresses: [], ...names },
    publicKey: keyFacts(keys ?? createKey('P-256')),
    usages: ['server auth'],
    notBefore: start,
    notAfter: new Date(start.getTime() + WEEK_MS),
    profile: undefined,
    ...rest,
  };
}

let requests = 0;

/** A request for a model with a CSR that asks for the same names. */
export function aSigningRequest(options: ModelOptions & { id?: string } = {}): SigningRequest & { keys: TestKey } {
  const { id, ...rest } = options;
  const keys = options.keys ?? createKey('P-256');
  const model = aModel({ ...rest, keys });
  const names = [...model.names.dnsNames, ...model.names.ipAddresses.map((address) => `ip:${address}`)];
  return { id: id ?? `ic-test-${++requests}`, csr: buildCsr({ names, keys }).der, model, keys };
}
