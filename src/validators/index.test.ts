// Serles' dispatcher list: which validator answers for which challenge. Expiry and the state of a challenge are judged before
// a validator is asked (acme-server).
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../../test/support/dns-server.ts';
import { type Http01Responder, startHttp01Responder } from '../../test/support/http01-responder.ts';
import { startTlsAlpnResponder, type TlsAlpnResponder } from '../../test/support/tls-alpn-responder.ts';
import { notAborted as signal, optionsWith, testClock, verdictOf } from '../../test/support/validation.ts';
import type { ChallengeType } from '../domain/challenge.ts';
import { createDenyList, createLoopbackDenyList } from '../domain/deny-list.ts';
import type { ValidationOptions, Validators } from '../ports.ts';
import { createValidators } from './index.ts';
import { createResolver } from './resolver.ts';

const NAME = 'www.example.test';
const target = {
  identifier: { type: 'dns', value: NAME },
  token: 'token',
  keyAuthorization: 'token.thumbprint',
} as const;

let dns: DnsServer;
let http: Http01Responder;
let tls: TlsAlpnResponder;
let laptop: Validators;
let serve: Validators;
let options: ValidationOptions;

beforeAll(async () => {
  [dns, http, tls] = await Promise.all([startDnsServer(), startHttp01Responder(), startTlsAlpnResponder()]);
  const ports = { http01Port: http.port, tlsAlpn01Port: tls.port, clock: testClock };
  laptop = createValidators({ ...ports, denyList: createLoopbackDenyList([]) });
  serve = createValidators({ ...ports, denyList: createDenyList([]) });
  options = optionsWith(
    createResolver({ clock: testClock, random: { bytes: randomBytes }, nameservers: [dns.address] }),
  );
  http.set(target.token, { body: target.keyAuthorization });
  tls.set(NAME, { name: NAME, keyAuthorization: target.keyAuthorization });
  dns.set(`_acme-challenge.${NAME}`, 'TXT', [createHash('sha256').update(target.keyAuthorization).digest('base64url')]);
});
afterAll(() => Promise.all([dns.stop(), http.stop(), tls.stop()]));

const ROWS: readonly [
  title: string,
  type: ChallengeType,
  seed: string,
  onLaptop: string,
  inServe: string,
  why: string,
][] = [
  ['http ok', 'http-01', 'valid', 'valid', 'rejectedIdentifier, final', 'the seed asks loopback'],
  ['dns ok', 'dns-01', 'valid', 'valid', 'valid', 'contacts nothing but the name server'],
  ['alpn ok', 'tls-alpn-01', 'valid', 'valid', 'rejectedIdentifier, final', 'the seed asks loopback'],
];

test.each(ROWS)('%s (%s): seed %s, ours %s, in serve %s: %s', async (_title, type, _seed, onLaptop, inServe) => {
  expect(verdictOf(await laptop[type].validate(target, options, signal))).toBe(onLaptop);
  expect(verdictOf(await serve[type].validate(target, options, signal))).toBe(inServe);
});

test('an error of our own propagates; an unsupported type has no validator', async () => {
  const judge = () => Promise.reject(new Error('ours'));
  for (const validator of Object.values(laptop))
    await expect(validator.validate(target, { ...options, judge }, signal)).rejects.toThrow('ours');
  expect(Object.keys(laptop).toSorted()).toEqual(['dns-01', 'http-01', 'tls-alpn-01']);
});

test('each validation takes one look-up of the name a family, and one connection', async () => {
  const before = [dns.queries(NAME, 'A'), dns.queries(NAME, 'AAAA'), http.requestsFor(target.token).length];
  await laptop['http-01'].validate(target, options, signal);
  const after = [dns.queries(NAME, 'A'), dns.queries(NAME, 'AAAA'), http.requestsFor(target.token).length];
  expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([1, 1, 1]);
});
