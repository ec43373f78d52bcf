import { describe, expect, test } from 'vitest';
import { anIssuer, createAuthority, createMemorySecrets } from '../../test/contract/authorities.ts';
import { aSigningRequest } from '../../test/contract/models.ts';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { Unavailable } from '../domain/unavailable.ts';
import { createBackends, type TenantBackends } from './index.ts';

function setUp(tenants?: TenantBackends) {
  const ca = createAuthority();
  const secrets = createMemorySecrets({
    one: { 'tls.key': ca.key, 'tls.crt': ca.pem },
    two: { 'tls.key': ca.key, 'tls.crt': ca.pem },
    key: { key: 'k'.repeat(32) },
  });
  const urls = ({ metadata }: ClusterCAIssuer) => ({
    crl: `http://pki.test/crl/${metadata.name}.crl`,
    issuerCertificate: `http://pki.test/ca/${metadata.name}.cer`,
  });
  return createBackends({
    secretsOf: () => secrets,
    clock: createFakeClock(new Date()),
    random: createFakeRandom(),
    urls,
    ...(tenants ? { tenants } : {}),
  });
}

const issuer = (generation: number, name = 'one') => anIssuer({ ca: { secretRef: { name } } }, generation);

test('an issuer has one backend until its spec changes', () => {
  const backends = setUp();
  const first = backends.of(issuer(1));
  expect(backends.of(issuer(1))).toBe(first);
  const second = backends.of(issuer(2, 'two'));
  expect(second).not.toBe(first);
  expect(backends.of(issuer(2, 'two'))).toBe(second);
});

test('issuers of one name and generation but another uid are others', () => {
  const backends = setUp();
  const again = issuer(1);
  expect(backends.of({ ...again, metadata: { ...again.metadata, uid: 'another' } })).not.toBe(backends.of(again));
});

test('leaves name the URLs of their issuer', async () => {
  const outcome = await setUp().of(issuer(1)).sign(aSigningRequest(), new AbortController().signal);
  expect(outcome.kind === 'issued' && outcome.chain[0]?.toString('latin1')).toContain(
    'http://pki.test/crl/corporate.crl',
  );
});

test('a backend this program does not have is an error that names the issuer', () => {
  const strange = anIssuer({ vault: {} } as never);
  expect(() => setUp().of(strange)).toThrow(/issuer corporate has no backend/);
});

describe('a CAIssuer', () => {
  const own = issuer(1);
  const tenant = { ...own, metadata: { ...own.metadata, namespace: 'team-a' } };
  const webhook = {
    url: 'https://signer.test/sign',
    trustAnchors: createAuthority().pem,
    authentication: { hmac: { secretRef: { name: 'key', key: 'key' } } },
  };
  const remote = { ...tenant, spec: { backend: { webhook } } };
  const { signal } = new AbortController();

  test('signs with the backend ca, and with no other that is not offered', async () => {
    expect(setUp().of(tenant).local).toBe(true);
    const asked: string[] = [];
    const addressesOf = async (host: string) => {
      asked.push(host);
      return [];
    };
    for (const tenants of [undefined, { offered: ['ca' as const], addressesOf }]) {
      const closed = setUp(tenants).of(remote);
      expect(await closed.check(signal)).toMatchObject({
        ready: false,
        reason: 'BackendNotOffered',
        message: 'the operator does not offer the backend webhook to CAIssuers (tenantBackends of its configuration)',
      });
      await expect(closed.sign(aSigningRequest(), signal)).rejects.toThrow(Unavailable);
    }
    expect(asked).toEqual([]);
  });

  test('has what is offered, and asks where it may go; a ClusterCAIssuer does not ask', async () => {
    const asked: string[] = [];
    const addressesOf = async (host: string): Promise<readonly string[]> => {
      asked.push(host);
      throw new Unavailable('nowhere');
    };
    const backends = setUp({ offered: ['webhook'], addressesOf });
    expect(await backends.of(remote).check(signal)).toMatchObject({
      ready: false,
      reason: 'Unreachable',
      message: 'the webhook cannot be reached: nowhere',
    });
    expect(asked).toEqual(['signer.test']);
    const { namespace: _namespace, ...metadata } = { ...remote.metadata, uid: 'cluster' };
    // Port 1 of loopback: nobody listens there.
    const spec = { backend: { webhook: { ...webhook, url: 'https://127.0.0.1:1/' } } };
    expect(await backends.of({ ...remote, metadata, spec }).check(signal)).toMatchObject({ reason: 'Unreachable' });
    expect(asked).toEqual(['signer.test']);
  });
});

test('far more issuers than anyone has are not all kept', () => {
  const backends = setUp();
  const numbered = (n: number) => ({ ...issuer(1), metadata: { ...issuer(1).metadata, uid: `uid-${n}` } });
  const first = backends.of(numbered(0));
  for (let n = 1; n < 1024; n++) backends.of(numbered(n));
  expect(backends.of(numbered(0))).toBe(first);
  backends.of(numbered(1024));
  expect(backends.of(numbered(0))).not.toBe(first);
});
