// Dynamic update with TSIG against a real name server, and the ACME backend proving names by it.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AcmeBackendSpec } from '../../src/api/acme-backend.ts';
import { Unavailable } from '../../src/domain/unavailable.ts';
import type { DnsUpdate, Resolver } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createDnsUpdater } from '../../src/validators/dns-update.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import { createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { type Bind, describeWithBind, startBind, type TsigKey } from '../support/bind.ts';
import { freshName } from '../support/names.ts';
import { describeWithPebble, type Pebble, startPebble } from '../support/pebble.ts';
import { createClient, startSurroundings, type Surroundings } from './client.ts';

const none = new AbortController().signal;
const ALGORITHMS = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;
const keys: TsigKey[] = ALGORITHMS.map((algorithm) => ({
  name: `key.${algorithm}`,
  algorithm,
  secret: randomBytes(32).toString('base64'),
}));
const [clock, random] = [createClock(), createRandom()];
let bind: Bind;
let resolver: Resolver;

const updateOf = (more: Partial<DnsUpdate> = {}, i = 0): DnsUpdate => ({
  nameserver: bind.address,
  key: {
    name: keys[i]?.name ?? '',
    algorithm: ALGORITHMS[i] ?? 'hmac-sha256',
    secret: Buffer.from(keys[i]?.secret ?? '', 'base64'),
  },
  name: `_acme-challenge.${freshName()}`,
  text: randomBytes(32).toString('base64url'),
  ...more,
});

describeWithBind('dynamic update', () => {
  beforeAll(async () => {
    const delegation = ['_acme-challenge.delegated CNAME delegated.acme.test.', '* A 127.0.0.1', '@ A 127.0.0.1'];
    bind = await startBind(
      [
        { name: 'example.test', records: ['* A 127.0.0.1'], updatedBy: 'key.hmac-sha256' },
        { name: 'sub.example.test', records: ['* A 127.0.0.1'], updatedBy: 'key.hmac-sha384' },
        { name: 'third.test', records: [], updatedBy: 'key.hmac-sha512' },
        { name: 'elsewhere.test', records: delegation },
        { name: 'acme.test', records: [], updatedBy: 'key.hmac-sha256' },
      ],
      keys,
    );
    resolver = createResolver({ clock, random, nameservers: [bind.address] });
  });

  afterAll(() => bind?.stop());

  test.each([
    [0, 'example.test'],
    [1, 'sub.example.test'],
    [2, 'third.test'],
  ])('%i: a record is put into the innermost zone and taken away, twice each, beside another', async (i, zone) => {
    const updater = createDnsUpdater({ clock, random });
    const first = updateOf({ name: `_acme-challenge.a.b.${zone}` }, i);
    const second = { ...first, text: 'another text' };
    for (const update of [first, first, second]) await updater.add(update, none);
    const there = async () => {
      const answer = await resolver.txt(first.name, none);
      return answer.state === 'found' ? [...answer.records].sort() : answer.state;
    };
    expect(await there()).toEqual([first.text, second.text].sort());
    for (const update of [first, first]) await updater.remove(update, none);
    expect(await there()).toEqual([second.text]);
    await updater.remove(second, none);
    expect(await there()).toBe('absent');
  });

  test.each<[string, () => DnsUpdate, string]>([
    [
      'another secret',
      () => updateOf({ key: { ...updateOf().key, secret: randomBytes(32) } }),
      'does not take the signature (BADSIG)',
    ],
    [
      'an unknown key',
      () => updateOf({ key: { ...updateOf().key, name: 'nobody' } }),
      'does not know the key (BADKEY)',
    ],
    ['a key without right', () => updateOf({}, 1), 'REFUSED'],
    ['a zone that takes no updates', () => updateOf({ name: '_acme-challenge.elsewhere.test' }), 'REFUSED'],
    ['a name of no zone', () => updateOf({ name: '_acme-challenge.unknown.invalid' }), 'has no zone for'],
    ['a name that is none', () => updateOf({ name: 'a b.example.test' }), 'not a name that the DNS can hold'],
    ['nobody there', () => updateOf({ nameserver: '127.0.0.1:1' }), 'could not be found: not reached'],
  ])('%s is said so', async (_, update, message) => {
    const error = await createDnsUpdater({ clock, random })
      .add(update(), none)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Unavailable);
    expect((error as Error).message).toContain(message);
  });

  test('a clock that is wrong is said so', async () => {
    const late = { ...clock, now: () => new Date(Date.now() + 3_600_000) };
    await expect(createDnsUpdater({ clock: late, random }).add(updateOf(), none)).rejects.toThrow(/BADTIME|BADSIG/);
  });

  test('an abort ends it', async () => {
    const aborted = AbortSignal.abort(new Error('over'));
    await expect(createDnsUpdater({ clock, random }).add(updateOf(), aborted)).rejects.toThrow('over');
  });

  describeWithPebble('and pebble', () => {
    let pebble: Pebble;
    let around: Surroundings;

    beforeAll(async () => {
      around = await startSurroundings();
      pebble = await startPebble({ httpPort: 1, resolver: bind.address });
    });

    afterAll(async () => {
      await pebble?.stop();
      await around?.stop();
    });

    const client = (more: Partial<AcmeBackendSpec> = {}, other: Partial<Surroundings> = {}) =>
      createClient(
        { ...around, dns: { ...around.dns, address: bind.address }, ...other },
        {
          secrets: createMemorySecrets({ tsig: { key: `${keys[0]?.secret}\n` } }),
          spec: {
            directory: pebble.directory,
            caBundle: pebble.caBundle,
            trustAnchors: pebble.roots.join(''),
            account: {
              keySecretRef: { name: 'account' },
              termsOfService: 'data:text/plain,Do%20what%20thou%20wilt',
            },
            challenges: ['dns-01'],
            dns01: {
              rfc2136: {
                nameserver: bind.address,
                tsig: { keyName: 'key.hmac-sha256', secretRef: { name: 'tsig', key: 'key' } },
              },
            },
            ...more,
          },
        },
      );

    const gone = async (name: string) => (await resolver.txt(name, none)).state;

    test('a name and the wildcard over it, whose records are beside each other, and gone afterwards', async () => {
      const name = freshName();
      const request = aSigningRequest({ names: { dnsNames: [name, `*.${name}`] } });
      expect((await client().settle(request)).kind).toBe('issued');
      expect(await gone(`_acme-challenge.${name}`)).toBe('absent');
    });

    test('a name that delegates by CNAME', async () => {
      const request = aSigningRequest({ names: { dnsNames: ['delegated.elsewhere.test'] } });
      expect((await client().settle(request)).kind).toBe('issued');
      expect(await gone('delegated.acme.test')).toBe('absent');
    });

    test('where http-01 fails before the CA looks, dns-01 is tried in the same order', async () => {
      const before = pebble.orders();
      const issuing = client({ challenges: ['http-01', 'dns-01'], preCheck: { timeout: '1s' } }, { httpPort: 1 });
      expect((await issuing.settle(aSigningRequest({ names: { dnsNames: [freshName()] } }))).kind).toBe('issued');
      expect(pebble.orders() - before).toBe(1);
    });

    test('where http-01 fails at the CA, dns-01 is tried in another order', async () => {
      const before = pebble.orders();
      const issuing = client({ challenges: ['http-01', 'dns-01'], preCheck: { enabled: false } });
      expect((await issuing.settle(aSigningRequest({ names: { dnsNames: [freshName()] } }))).kind).toBe('issued');
      expect(pebble.orders() - before).toBe(2);
    });

    test('where both fail, both are named', async () => {
      const issuing = client({ challenges: ['http-01', 'dns-01'], preCheck: { timeout: '1s' } }, { httpPort: 1 });
      // No zone that is ours to write to.
      const outcome = await issuing.settle(aSigningRequest({ names: { dnsNames: ['own.elsewhere.test'] } }));
      expect(outcome).toMatchObject({ kind: 'refused', problem: { type: 'unauthorized' } });
      const detail = outcome.kind === 'refused' ? outcome.problem.detail : '';
      expect(detail).toContain('did not take an update: REFUSED');
      expect(detail).toContain('before the CA was to look by http-01: own.elsewhere.test: no connection to port 1');
    });
  });
});
