// When a list is made anew, and what stands on it.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { IssuedCertificate } from '../api/issued-certificate.ts';
import type { Backends, Cache, RevokedEntry } from '../ports.ts';
import { buildCaCertificate, buildCertificate, createKeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { createCrls } from './crl.ts';

const HOUR = 3600_000;

/** The lists that were made, by what stands on each; and a way to ask for the list of an issuer with this CA. */
function start(...records: { serial: string; notAfter: string }[]) {
  const clock = createFakeClock('2026-01-01T00:00:00Z');
  const revocation = { reason: 0, revokedAt: '2025-12-01T00:00:00.000Z', by: 'account' };
  const revoked = records.map((status) => ({
    spec: { issuerUID: 'uid', revocation },
    status: { ...status, certificate: 'AAAA' },
  }));
  let synced = true;
  const made: string[][] = [];
  const signCrl = (entries: readonly RevokedEntry[]) => {
    made.push(entries.map(({ serial }) => serial));
    return Promise.resolve(Buffer.from(`list ${made.length}`));
  };
  const crls = createCrls({
    records: {
      hasSynced: () => synced,
      byIndex: () => revoked,
      onChange: () => () => undefined,
    } as unknown as Cache<IssuedCertificate>,
    backends: { of: () => ({ signCrl }) } as unknown as Backends,
    clock,
  });
  const ask = async (fingerprint: string) => {
    const issuer = {
      metadata: { uid: 'uid', generation: 1 },
      spec: { backend: { ca: { secretRef: { name: 'ca' }, crlDuration: '24h' } } },
      status: { ca: { fingerprint } },
    } as unknown as ClusterCAIssuer;
    return (await crls.of(issuer))?.toString();
  };
  return { clock, made, ask, setSynced: (now: boolean) => (synced = now) };
}

test('a list is kept until half its life is over', async () => {
  const { clock, ask } = start();
  expect([await ask('a'), await ask('a')]).toEqual(['list 1', 'list 1']);
  await clock.advance(13 * HOUR);
  expect(await ask('a')).toBe('list 2');
});

test('there is no list before all records are read', async () => {
  const { ask, made, setSynced } = start();
  setSynced(false);
  await expect(ask('a')).rejects.toMatchObject({ reason: 'Unavailable' });
  setSynced(true);
  await ask('a');
  expect(made).toHaveLength(1);
});

test('a list of another CA is made at once: the old one would not be believed', async () => {
  const { ask } = start();
  expect([await ask('a'), await ask('b'), await ask('b')]).toEqual(['list 1', 'list 2', 'list 2']);
});

test('a certificate stays on the list for one life of the list beyond its own (RFC 5280 section 3.3)', async () => {
  const { made, ask } = start(
    { serial: '01', notAfter: '2026-02-01T00:00:00.000Z' },
    { serial: '02', notAfter: '2025-12-31T12:00:00.000Z' },
    { serial: '03', notAfter: '2025-12-30T12:00:00.000Z' },
  );
  await ask('a');
  expect(made).toEqual([['01', '02']]);
});

test('a list holds what was issued under the name of the CA that signs it, by whichever of its keys, and nothing else', async () => {
  const [first, second] = [createKeyPair(), createKeyPair()];
  const leaf = (issuer: string, key: typeof first, chain: string, serial: string) => ({
    spec: { issuerUID: 'uid', revocation: { reason: 0, revokedAt: '2025-12-01T00:00:00.000Z', by: 'account' } },
    status: {
      serial,
      chain,
      notAfter: '2027-01-01T00:00:00.000Z',
      certificate: buildCertificate({ subject: 'leaf', issuer, keys: createKeyPair(), signer: key }).toString('base64'),
    },
  });
  const records = [
    leaf('Kept', first, 'earlier', '01'),
    leaf('Kept', second, 'current', '02'),
    // The CA had another name once, with the same key.
    leaf('Left', first, 'other', '03'),
    leaf('Left', first, 'other', '04'),
    leaf('Kept', first, 'earlier', '05'),
  ];
  const made: string[][] = [];
  const crls = createCrls({
    records: {
      hasSynced: () => true,
      byIndex: () => records,
      onChange: () => () => undefined,
    } as unknown as Cache<IssuedCertificate>,
    backends: {
      of: () => ({
        signCrl: (entries: readonly RevokedEntry[]) => {
          made.push(entries.map(({ serial }) => serial));
          return Promise.resolve(Buffer.from('list'));
        },
      }),
    } as unknown as Backends,
    clock: createFakeClock('2026-01-01T00:00:00Z'),
  });
  const pem = pemOf('CERTIFICATE', buildCaCertificate('Kept', second));
  await crls.of({
    metadata: { uid: 'uid', generation: 1 },
    spec: { backend: { ca: { secretRef: { name: 'ca' } } } },
    status: { chains: [{ fingerprint: 'f', pem }] },
  } as unknown as ClusterCAIssuer);
  expect(made).toEqual([['01', '02', '05']]);
});
