import { createHash, createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createMemorySecrets } from '../../../test/contract/authorities.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { type HttpsServer, sendJson, startHttpsServer } from '../../../test/support/https-server.ts';
import { stubResolver } from '../../../test/support/validation.ts';
import type { Dns01Spec } from '../../api/acme-backend.ts';
import { dnsChallengeValue } from '../../domain/challenge.ts';
import type { DnsAnswer } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { createDns01Solver } from './dns-01.ts';

const none = new AbortController().signal;
const task = { identifier: { type: 'dns' as const, value: 'a.test' }, token: 't', keyAuthorization: 't.k' };
const text = dnsChallengeValue('t.k');
const KEY = 'k'.repeat(32);
let server: HttpsServer;

beforeAll(async () => {
  server = await startHttpsServer(() => undefined);
});

beforeEach(() => {
  server.answer = (_request, response) => sendJson(response, 200, {});
  server.requests.length = 0;
});

afterAll(() => server.stop());

/** The TXT records that are there, by name; everything at _acme-challenge leads to `leadsTo`. */
function solverOf(dns01: Dns01Spec, accounts: string = '{}', leadsTo: DnsAnswer<string> = found('target.dns.test')) {
  const secrets = createMemorySecrets({ accounts: { json: accounts }, key: { hmac: KEY } });
  const there: string[] = [];
  const resolver = stubResolver({
    canonical: () => Promise.resolve(leadsTo),
    txt: () => Promise.resolve(there.length > 0 ? { state: 'found', records: there } : { state: 'absent' }),
  });
  const proof = { resolver: () => resolver, validators: {} as never, dnsUpdater: {} as never };
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined, proof };
  return { solver: createDns01Solver(deps, dns01), there };
}

const found = (record: string) => ({ state: 'found', records: [record] }) as const;
const acmeDNS = (): Dns01Spec => ({
  acmeDNS: { url: `${server.url}/api/`, caBundle: server.ca, accountsSecretRef: { name: 'accounts', key: 'json' } },
});
const webhook = (): Dns01Spec => ({
  webhook: { url: `${server.url}/dns`, caBundle: server.ca, hmac: { secretRef: { name: 'key', key: 'hmac' } } },
});
const account = (fulldomain: string) => ({ fulldomain, subdomain: 'sub', username: 'user', password: 'secret-pass' });

describe('acme-dns', () => {
  test('is told the text by the account that the alias leads to', async () => {
    const accounts = JSON.stringify({ 'a.test': account('Target.dns.test.'), 'b.test': account('other.dns.test') });
    const { solver } = solverOf(acmeDNS(), accounts);
    await solver.present(task, none);
    await solver.withdraw(task, none);
    expect(server.requests.map(({ method, path, body }) => [method, path, JSON.parse(body)])).toEqual([
      ['POST', '/api/update', { subdomain: 'sub', txt: text }],
    ]);
    expect(server.requests[0]?.headers).toMatchObject({ 'x-api-user': 'user', 'x-api-key': 'secret-pass' });
  });

  test.each<[string, string, string]>([
    ['an alias that leads elsewhere', JSON.stringify({ x: account('other.test') }), 'ChallengeNotPossible'],
    ['accounts that are none', JSON.stringify({ x: { fulldomain: 'target.dns.test' }, y: 7 }), 'ChallengeNotPossible'],
    ['a list', '[]', 'SecretUnusable'],
    ['no JSON', '{"secret-pass', 'SecretUnusable'],
  ])('%s is said so, without a word of the Secret', async (_, accounts, reason) => {
    const error = await solverOf(acmeDNS(), accounts)
      .solver.present(task, none)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'Unavailable', reason });
    expect(String(error)).not.toContain('secret-pass');
    expect(server.requests).toEqual([]);
  });

  test.each([401, 404, 500, 302])('an answer with HTTP status %i is no success', async (status) => {
    server.answer = (_request, response) => sendJson(response, status, { error: 'secret-pass' });
    const { solver } = solverOf(acmeDNS(), JSON.stringify({ x: account('target.dns.test') }));
    await expect(solver.present(task, none)).rejects.toThrow(`acme-dns answered with HTTP status ${status}`);
  });
});

describe('a webhook', () => {
  test('is told what to write and what to take away, signed with the shared key', async () => {
    const { solver } = solverOf(webhook());
    await solver.present(task, none);
    await solver.withdraw(task, none);
    const record = { version: 'v1', name: 'target.dns.test', domain: 'a.test', text };
    expect(server.requests.map(({ path, body }) => [path, JSON.parse(body)])).toEqual([
      ['/dns/present', record],
      ['/dns/cleanup', record],
    ]);
    for (const { headers, path, body } of server.requests) {
      const digest = createHash('sha256').update(body).digest('hex');
      const signed = ['v1', 'POST', path, headers['countersign-timestamp'], digest].join('\n');
      expect(headers['countersign-signature']).toBe(`v1=${createHmac('sha256', KEY).update(signed).digest('hex')}`);
    }
  });

  test('that fails is no success, and says when to come back', async () => {
    server.answer = (_request, response) => sendJson(response, 503, {}, { 'Retry-After': '7' });
    await expect(solverOf(webhook()).solver.present(task, none)).rejects.toMatchObject({
      reason: 'BadAnswer',
      retryAfterMs: 7_000,
    });
  });
});

describe('our own look', () => {
  test('finds what is there among others, and says what is not', async () => {
    const { solver, there } = solverOf(webhook());
    expect(await solver.missing(task, none)).toBe('target.dns.test: the TXT record is not there yet');
    there.push('another');
    expect(await solver.missing(task, none)).toBe('target.dns.test: the TXT record is not there yet');
    there.push(text);
    expect(await solver.missing(task, none)).toBeUndefined();
  });

  test('where aliases lead must be known', async () => {
    const { solver } = solverOf(webhook(), '{}', { state: 'failed', reason: 'SERVFAIL' });
    await expect(solver.present(task, none)).rejects.toMatchObject({
      reason: 'ChallengeNotPossible',
      message: 'where _acme-challenge.a.test leads could not be found out: SERVFAIL',
    });
  });
});
