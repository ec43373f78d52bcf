import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { createCapturingLog } from '../../test/fakes/log.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { createFakeStore } from '../../test/fakes/world.ts';
import { SecretKind } from '../api/core.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import { createServingTls, type KeyPair, SERVING_SECRET } from './serving-tls.ts';

const NAMESPACE = 'pki';
const DAY = 24 * 3_600_000;

function world() {
  const { cluster, clock } = createFakeStore(undefined, [NAMESPACE]);
  const random = createFakeRandom('tls');
  const replica = (options: { secretName?: string; dnsNames?: string[] } = {}) => {
    const taken: KeyPair[] = [];
    const log = createCapturingLog();
    const tls = createServingTls({
      cluster,
      secrets: createSecretReader(cluster, NAMESPACE),
      namespace: NAMESPACE,
      secretName: options.secretName,
      names: { dnsNames: options.dnsNames ?? ['acme.corp.example'], ipAddresses: ['192.0.2.1'] },
      clock,
      random,
      log,
      use: (pair) => void taken.push(pair),
    });
    const leaf = () => new X509Certificate(taken.at(-1)?.cert ?? '');
    return { tls, taken, log, leaf };
  };
  const put = async (name: string, data: Record<string, string>) => {
    const encoded = Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    const before = await cluster.get(SecretKind, { namespace: NAMESPACE, name });
    if (before) await cluster.replace(SecretKind, { ...before, data: encoded });
    else
      await cluster.create(SecretKind, {
        metadata: { namespace: NAMESPACE, name },
        type: 'kubernetes.io/tls',
        data: encoded,
      });
  };
  return { clock, cluster, replica, put };
}

test('of replicas that come first at once, all serve one certificate, for the names configured, that its CA vouches for', async () => {
  const { replica, cluster } = world();
  const all = [replica(), replica(), replica()];
  await Promise.all(all.map(({ tls }) => tls.refresh()));
  expect(new Set(all.map(({ leaf }) => leaf().fingerprint256)).size).toBe(1);
  const [first] = all;
  expect(first?.leaf().subjectAltName).toBe('DNS:acme.corp.example, IP Address:192.0.2.1');
  const secret = await cluster.get(SecretKind, { namespace: NAMESPACE, name: SERVING_SECRET });
  const ca = new X509Certificate(Buffer.from(secret?.data?.['ca.crt'] ?? '', 'base64'));
  expect([first?.leaf().checkIssued(ca), first?.leaf().verify(ca.publicKey), secret?.type]).toEqual([
    true,
    true,
    'kubernetes.io/tls',
  ]);
});

test('the leader renews after two thirds of the life, and every replica takes the new one up', async () => {
  const { clock, replica } = world();
  const [leader, other] = [replica(), replica()];
  for (const { tls } of [leader, other]) await tls.refresh();
  const before = leader.leaf().fingerprint256;
  const stop = new AbortController();
  const renewing = leader.tls.renew(stop.signal);
  await clock.advance(59 * DAY);
  await other.tls.refresh();
  expect(other.leaf().fingerprint256).toBe(before);
  await clock.advance(2 * DAY);
  for (const { tls } of [leader, other]) await tls.refresh();
  expect(other.leaf().fingerprint256).not.toBe(before);
  expect(leader.leaf().fingerprint256).toBe(other.leaf().fingerprint256);
  expect(other.leaf().publicKey.equals(new X509Certificate(other.taken[0]?.cert ?? '').publicKey)).toBe(false);
  stop.abort();
  await renewing;
});

test('a certificate for other names is made anew at once', async () => {
  const { clock, replica } = world();
  await replica().tls.refresh();
  const renamed = replica({ dnsNames: ['acme.corp.example', 'new.corp.example'] });
  await renamed.tls.refresh();
  expect(renamed.leaf().subjectAltName).not.toContain('new.corp.example');
  const stop = new AbortController();
  const renewing = renamed.tls.renew(stop.signal);
  await clock.advance(1000);
  await renamed.tls.refresh();
  expect(renamed.leaf().subjectAltName).toContain('DNS:new.corp.example');
  stop.abort();
  await renewing;
});

test('a given Secret is waited for, taken up as it changes, kept when it breaks, and never written', async () => {
  const { clock, cluster, replica, put } = world();
  const maker = replica();
  await maker.tls.refresh();
  const [pair] = maker.taken;
  if (!pair) throw new Error('no certificate');
  const given = replica({ secretName: 'given' });
  const loaded = given.tls.loaded(new AbortController().signal);
  await clock.advance(5000);
  expect([given.tls.isLoaded(), given.taken]).toEqual([false, []]);
  await put('given', { 'tls.crt': pair.cert, 'tls.key': pair.key });
  await clock.advance(5000);
  await loaded;
  expect(given.taken).toEqual([pair]);

  for (const broken of [
    { 'tls.crt': 'nonsense', 'tls.key': pair.key },
    { 'tls.crt': pair.cert, 'tls.key': '' },
  ]) {
    await put('given', broken);
    await given.tls.refresh();
  }
  expect([given.tls.isLoaded(), given.taken.length]).toEqual([true, 1]);
  expect(given.log.lines.some(({ message }) => message === 'no usable serving certificate')).toBe(true);

  const version = async () =>
    (await cluster.get(SecretKind, { namespace: NAMESPACE, name: 'given' }))?.metadata.resourceVersion;
  const before = await version();
  await given.tls.renew(new AbortController().signal);
  expect(await version()).toBe(before);
});

test('waiting ends with the signal', async () => {
  const { replica } = world();
  const stop = new AbortController();
  const waiting = replica({ secretName: 'never' }).tls.loaded(stop.signal);
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
