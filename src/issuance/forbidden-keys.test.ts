import { expect, test } from 'vitest';
import { anIssuer } from '../../test/policy/fixtures.ts';
import { buildCaCertificate, createKeyPair, type KeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { buildCsr } from '../../test/support/csr-builder.ts';
import type { Issuer } from '../api/issuer.ts';
import { parseCsr } from '../domain/csr.ts';
import { base32, sha256 } from '../domain/encoding.ts';
import type { Cache } from '../ports.ts';
import { createRefuseKey } from './forbidden-keys.ts';

const keys = {
  cluster: createKeyPair(),
  tenant: createKeyPair(),
  account: createKeyPair(),
  compromised: createKeyPair(),
};

function withChain(uid: string, keyPair: KeyPair, namespace?: string): Issuer {
  const issuer = anIssuer({}, namespace);
  const pem = pemOf('CERTIFICATE', buildCaCertificate(`CA ${uid}`, keyPair));
  return { ...issuer, metadata: { ...issuer.metadata, uid }, status: { chains: [{ fingerprint: uid, pem }] } };
}

const csrWith = (keyPair: KeyPair) => parseCsr(buildCsr({ names: ['a.test'], keys: keyPair }).der);
const hashOf = (keyPair: KeyPair) => sha256(csrWith(keyPair).publicKey.spki);

const issuers = [withChain('of-cluster', keys.cluster), withChain('of-tenant', keys.tenant, 'team-a')];
const refuseKey = createRefuseKey({
  issuers: { list: () => issuers } as unknown as Cache<Issuer>,
  objects: { isAccountKey: (key) => key.equals(csrWith(keys.account).publicKey.key) },
  records: { isCompromised: (hash) => hash === base32(hashOf(keys.compromised)) },
});

test.each([
  ['of-cluster', 'cluster', 'the key of a CA'],
  ['of-tenant', 'cluster', 'the key of a CA'],
  ['of-tenant', 'tenant', 'the key of a CA'],
  // What a tenant shows as its CA takes nobody else's key away.
  ['of-cluster', 'tenant', undefined],
  ['elsewhere', 'tenant', undefined],
  ['of-cluster', 'account', 'the key of an account'],
  ['of-tenant', 'account', 'the key of an account'],
  ['of-tenant', 'compromised', 'a key that was revoked as compromised'],
] as const)('issuer %s asked for the %s key: %s', (issuer, key, why) => {
  const problem = refuseKey(issuer, csrWith(keys[key]));
  if (why === undefined) expect(problem).toBeUndefined();
  else expect(problem).toMatchObject({ type: 'badCSR', detail: expect.stringContaining(why) as string });
});
