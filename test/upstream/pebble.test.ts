// The ACME backend against pebble, with everything switched on by which pebble finds careless clients.
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AcmeBackendSpec } from '../../src/api/acme-backend.ts';
import { parseCertificate } from '../../src/domain/certificate.ts';
import { judgeAnswer } from '../../src/issuance/verify.ts';
import type { SigningRequest } from '../../src/ports.ts';
import { aSigningRequest } from '../contract/models.ts';
import { freshName } from '../support/names.ts';
import { describeWithPebble, type Pebble, type PebbleOptions, startPebble } from '../support/pebble.ts';
import { type Client, type ClientOptions, createClient, startSurroundings, type Surroundings } from './client.ts';

let around: Surroundings;
const running: Pebble[] = [];

async function start(options: Partial<PebbleOptions> = {}): Promise<Pebble> {
  const pebble = await startPebble({ httpPort: around.httpPort, resolver: around.dns.address, ...options });
  running.push(pebble);
  return pebble;
}

const specOf = ({ directory, caBundle, roots }: Pebble, more: Partial<AcmeBackendSpec> = {}): AcmeBackendSpec => ({
  directory,
  caBundle,
  trustAnchors: roots.join(''),
  account: { keySecretRef: { name: 'account' }, termsOfService: 'data:text/plain,Do%20what%20thou%20wilt' },
  ...more,
});

const clientOf = (pebble: Pebble, more: Partial<AcmeBackendSpec> = {}, options: Partial<ClientOptions> = {}): Client =>
  createClient(around, { spec: specOf(pebble, more), ...options });

async function expectIssued(client: Client, request: SigningRequest, options?: Parameters<Client['settle']>[1]) {
  const outcome = await client.settle(request, options);
  if (outcome.kind !== 'issued') throw new Error(`refused: ${outcome.problem.detail}`);
  const { controls } = client.backend;
  const judged = judgeAnswer(outcome.chain, request.model, {
    controls,
    anchors: await client.backend.trustAnchors?.(),
  });
  expect(judged).not.toHaveProperty('reasons');
  return outcome.chain.map(parseCertificate);
}

const named = (...dnsNames: string[]) => aSigningRequest({ names: { dnsNames } });

describeWithPebble('pebble upstream', () => {
  beforeAll(async () => {
    around = await startSurroundings();
  });

  afterAll(() => around?.stop());

  afterEach(async () => {
    await Promise.all(running.splice(0).map((pebble) => pebble.stop()));
  });

  test('names and an address are validated by http-01 and issued, in one order', async () => {
    const pebble = await start();
    const client = clientOf(pebble);
    expect(await client.backend.check(AbortSignal.timeout(60_000))).toMatchObject({ ready: true });
    const request = aSigningRequest({ names: { dnsNames: [freshName(), freshName()], ipAddresses: ['127.0.0.1'] } });
    await expectIssued(client, request);
    expect(pebble.orders()).toBe(1);
  });

  test.each(['5', '90'])('nonces refused, in percent: %s', async (percent) => {
    const pebble = await start({ env: { PEBBLE_WFE_NONCEREJECT: percent } });
    const client = clientOf(pebble);
    const requests = Array.from({ length: 4 }, () => named(freshName()));
    await Promise.all(requests.map((request) => expectIssued(client, request, { throws: 5 })));
    expect(pebble.orders()).toBe(4);
  });

  test.each([
    ['0', 3],
    ['100', 0],
  ])('authorizations reused, in percent: %s', async (percent, asked) => {
    const pebble = await start({ env: { PEBBLE_AUTHZREUSE: percent } });
    const client = clientOf(pebble, { preCheck: { enabled: false } });
    const name = freshName();
    await expectIssued(client, named(name));
    const before = around.asked.length;
    await expectIssued(client, named(name));
    // Three of pebble's perspectives look each time.
    expect(around.asked.length - before).toBe(asked);
  });

  test('a validator that sleeps is waited for', async () => {
    const pebble = await start({ env: { PEBBLE_VA_NOSLEEP: '0', PEBBLE_VA_SLEEPTIME: '4' } });
    await expectIssued(clientOf(pebble), named(freshName()));
  });

  describe('alternate chains', () => {
    test('the default one, and the one to the root that is preferred', async () => {
      const pebble = await start({ alternateRoots: 2 });
      const names = pebble.roots.map((root) => new X509Certificate(root).subject.replace('CN=', ''));
      expect(new Set(names).size).toBe(3);
      for (const [i, preferred] of [[], [names[2]], ['nobody', names[1]]].entries()) {
        const issuer = { chain: { preferred: preferred as string[] } };
        const chain = await expectIssued(clientOf(pebble, {}, { issuer }), named(freshName()));
        const top = new X509Certificate(chain.at(-1)?.der ?? '');
        expect(top.issuer).toBe(`CN=${names[[0, 2, 1][i] ?? 0]}`);
      }
    });
  });

  test('a profile', async () => {
    const pebble = await start();
    const [leaf] = await expectIssued(clientOf(pebble, { profile: 'short' }), named(freshName()));
    expect((leaf?.notAfter.getTime() ?? 0) - (leaf?.notBefore.getTime() ?? 0)).toBeLessThanOrEqual(86_400_000);
    const client = clientOf(pebble, { profile: 'none' });
    await expect(client.ask(named(freshName()))).rejects.toMatchObject({ reason: 'ProfileUnknown' });
  });

  test('a revocation, twice', async () => {
    const pebble = await start();
    const client = clientOf(pebble);
    const request = named(freshName());
    const [leaf] = await expectIssued(client, request);
    if (!leaf) throw new Error('no leaf');
    const entry = { serial: leaf.serial, revokedAt: new Date(), reason: 1 };
    for (let round = 0; round < 2; round++)
      expect(await client.backend.revoke?.(request.id, leaf.der, entry, AbortSignal.timeout(60_000))).toEqual({
        kind: 'revoked',
      });
    expect(await pebble.isRevoked(leaf.serial)).toBe(true);
  });

  describe('the account', () => {
    test('is bound to another by its MAC key', async () => {
      const config = {
        externalAccountBindingRequired: true,
        externalAccountMACKeys: { 'kid-1': 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' },
      };
      const pebble = await start({ config });
      const account = {
        ...specOf(pebble).account,
        externalAccountBinding: { keyID: 'kid-1', secretRef: { name: 'eab', key: 'mac' } },
      };
      await expect(clientOf(pebble).ask(named(freshName()))).rejects.toMatchObject({
        reason: 'ExternalAccountRequired',
      });
      const client = clientOf(pebble, { account });
      const mac = Buffer.from(`${config.externalAccountMACKeys['kid-1']}\n`);
      client.secrets.values.set('eab', { mac: Buffer.from('d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc') });
      await expect(client.ask(named(freshName()))).rejects.toMatchObject({ reason: 'AccountRefused' });
      client.secrets.values.set('eab', { mac });
      await expectIssued(client, named(freshName()));
    });

    test('changes its key', async () => {
      const pebble = await start();
      const first = clientOf(pebble);
      await expectIssued(first, named(freshName()));
      const { secrets } = first;
      const account = {
        ...specOf(pebble).account,
        keySecretRef: { name: 'account-2' },
        previousKeySecretRef: { name: 'account' },
      };
      // Twice: what was changed is not changed again.
      for (let round = 0; round < 2; round++)
        await expectIssued(clientOf(pebble, { account }, { secrets }), named(freshName()));
      await expect(clientOf(pebble, {}, { secrets }).ask(named(freshName()))).resolves.toMatchObject({
        kind: 'pending',
      });
    });

    test('agrees to no terms but those it was told of', async () => {
      const pebble = await start();
      const account = { keySecretRef: { name: 'account' } };
      expect(await clientOf(pebble, { account }).backend.check(AbortSignal.timeout(60_000))).toMatchObject({
        ready: false,
        reason: 'TermsOfServiceNotAgreed',
        message: expect.stringContaining('data:text/plain,Do%20what%20thou%20wilt'),
      });
    });
  });

  test('a name that the CA cannot validate is refused in its words, and nothing pending stays behind', async () => {
    const pebble = await start({ httpPort: 1 });
    const outcome = await clientOf(pebble).settle(named(freshName(), freshName()));
    expect(outcome).toMatchObject({ kind: 'refused', problem: { type: 'unauthorized' } });
    if (outcome.kind === 'refused')
      expect(outcome.problem.detail).toMatch(/could not validate .* by http-01: .*refused/);
  });
});
