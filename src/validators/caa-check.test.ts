import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../../test/support/dns-server.ts';
import { notAborted as signal, testClock } from '../../test/support/validation.ts';
import type { Resolver } from '../ports.ts';
import { type CaaCheck, checkCaa } from './caa-check.ts';
import { createResolver } from './resolver.ts';

const ACCOUNT = 'https://acme.example/account/1';
let dns: DnsServer;
let resolver: Resolver;
beforeAll(async () => {
  dns = await startDnsServer();
  resolver = createResolver({ clock: testClock, random: { bytes: randomBytes }, nameservers: [dns.address] });
  const issue = (value: string, tag = 'issue') => ({ tag, value });
  dns.set('ours.test', 'CAA', [issue('pki.example')]);
  dns.set('other.test', 'CAA', [issue('other.example')]);
  dns.set('wild.test', 'CAA', [issue('pki.example'), issue(';', 'issuewild')]);
  dns.set('closed.test', 'CAA', [issue(';')]);
  dns.set('account.test', 'CAA', [issue(`pki.example; accounturi=${ACCOUNT}; validationmethods=dns-01`)]);
  dns.set('critical.test', 'CAA', [issue('pki.example'), { flags: 128, tag: 'tbs', value: 'x' }]);
  dns.set('test', 'CAA', [issue('registry.example')]);
  dns.fail('broken.test', 'SERVFAIL', 'CAA');
  dns.fail('gone.test', 'NXDOMAIN', 'CAA');
  dns.alias('alias.test', 'other.test');
});
afterAll(() => dns.stop());

function check(name: string, more: Partial<CaaCheck> = {}) {
  const identifier = { type: 'dns', value: name } as const;
  const identities = ['pki.example'];
  return checkCaa({
    identifier,
    wildcard: false,
    identities,
    accountURL: ACCOUNT,
    challenge: 'dns-01',
    resolver,
    signal,
    ...more,
  });
}

const permitted = { permitted: true };
const denied = (at: string) => ({
  permitted: false,
  retryable: false,
  problem: { type: 'caa', status: 403, detail: expect.stringContaining(`(at ${at})`) },
});

test.each<[string, Partial<CaaCheck>, object]>([
  ['ours.test', {}, permitted],
  ['a.b.ours.test', {}, permitted],
  ['other.test', {}, denied('other.test')],
  ['a.other.test', {}, denied('other.test')],
  ['wild.test', {}, permitted],
  ['wild.test', { wildcard: true }, denied('wild.test')],
  ['closed.test', { wildcard: true }, denied('closed.test')],
  ['account.test', {}, permitted],
  ['account.test', { challenge: 'http-01' }, denied('account.test')],
  ['account.test', { accountURL: `${ACCOUNT}0` }, denied('account.test')],
  ['critical.test', {}, denied('critical.test')],
  ['alias.test', {}, denied('alias.test')],
  ['gone.test', {}, denied('test')],
  ['unlisted.test', {}, denied('test')],
  ['unlisted.example', {}, permitted],
])('%s with %o', async (name, more, result) => {
  expect(await check(name, more)).toMatchObject(result);
});

test('a look-up that fails is no permission, at the name or above it, and may be repeated', async () => {
  for (const name of ['broken.test', 'a.broken.test'])
    expect(await check(name)).toMatchObject({ permitted: false, retryable: true, problem: { type: 'dns' } });
});

test('each name is judged by its own records', async () => {
  const names = ['ours.test', 'other.test', 'broken.test', 'unlisted.example'];
  const results = await Promise.all(names.map((name) => check(name)));
  expect(results.map((result) => (result.permitted ? 'permitted' : result.problem.type))).toEqual([
    'permitted',
    'caa',
    'dns',
    'permitted',
  ]);
});

test('the climb asks each ancestor once, and addresses nobody', async () => {
  await check('x.y.z.example');
  expect(['x.y.z.example', 'y.z.example', 'z.example'].map((name) => dns.queries(name, 'CAA'))).toEqual([1, 1, 1]);
  const silent = { ...resolver, caa: () => Promise.reject(new Error('asked')) };
  expect(await check('', { identifier: { type: 'ip', value: '192.0.2.1' }, resolver: silent })).toEqual(permitted);
});

test('a problem repeats nothing of the records', async () => {
  expect(JSON.stringify(await check('other.test'))).not.toContain('other.example');
});

test('abort rejects with its reason', async () => {
  await expect(check('ours.test', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});
