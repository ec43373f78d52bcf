// The limit on failed validations holds for validations, not only for orders made after they failed.
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import type { Authorization } from '../api/acme.ts';
import type { AuthorizationRef } from '../domain/order.ts';
import { Problem } from '../domain/problem.ts';
import type { Validator } from '../ports.ts';
import type { Authenticated } from './exchange.ts';
import { createRateLimits, DEFAULT_LIMITS } from './rate-limits.ts';
import { createUrls } from './urls.ts';
import { createValidationRuns, type ValidationRunsDeps } from './validation-runs.ts';

const exchange = {
  issuer: { metadata: { name: 'main' }, spec: {} },
  account: { metadata: { name: 'ac' }, spec: { thumbprint: 'thumbprint' } },
  urls: createUrls('https://acme.test', { name: 'main' }),
  params: { sealed: 'sealed' },
} as unknown as Authenticated;

const ref = (orderID: string, value: string): AuthorizationRef => ({
  account: 'ac',
  issuerUID: 'uid',
  orderID,
  index: 0,
  identifier: { type: 'dns', value },
  wildcard: false,
  tokenKey: 1,
  expires: new Date('2026-01-02T00:00:00Z'),
});

const nobody = { of: async () => ({ requester: {} }) };

/** Validations that go on until they are aborted, by account and name. */
function endless() {
  const clock = createFakeClock();
  const validate: Validator['validate'] = (_target, _options, signal) =>
    new Promise((_resolve, reject) => {
      const end = () => reject(signal.reason as Error);
      if (signal.aborted) end();
      signal.addEventListener('abort', end);
    });
  const runs = createValidationRuns({
    clock,
    limits: createRateLimits({ clock, limited: { inc: () => undefined } }),
    attribution: nobody,
    validators: { 'http-01': { validate } },
    resolverOf: () => ({}),
    objects: { account: async () => undefined },
    log: { warn: () => undefined },
  } as unknown as ValidationRunsDeps);
  let orders = 0;
  const start = (account: string, name: string) =>
    runs.start(exchange, { ...ref(`order-${orders++}`, name), account }, { type: 'http-01', token: 'token' });
  return { start, stop: () => runs.stop() };
}

test('an account that validates one name over and over keeps no other account from that name', async () => {
  const { start, stop } = endless();
  for (let i = 0; i < 5; i++) start('busy', 'a.example.test');
  expect(() => start('busy', 'a.example.test')).toThrow('rateLimited: too many validations at once');
  start('busy', 'b.example.test');
  start('other', 'a.example.test');
  await stop();
});

test('over all accounts one name has so many validations at once and no more', async () => {
  const { start, stop } = endless();
  for (let i = 0; i < 200; i++) start(`account-${i}`, 'a.example.test');
  expect(() => start('one-more', 'a.example.test')).toThrow('rateLimited: too many validations at once');
  start('one-more', 'b.example.test');
  await stop();
});

test('orders made beforehand give no more failed validations of a name than the limit', async () => {
  const clock = createFakeClock();
  const wrong = new Problem('incorrectResponse', 'wrong');
  const validate: Validator['validate'] = async () => ({
    valid: false,
    problem: wrong,
    retryable: false,
    addresses: [],
  });
  const limits = { ...DEFAULT_LIMITS, failedValidation: { burst: 2, perSecond: 0.001 } };
  const runs = createValidationRuns({
    clock,
    limits: createRateLimits({ clock, limited: { inc: () => undefined }, limits }),
    attribution: nobody,
    validators: { 'http-01': { validate } },
    resolverOf: () => ({}),
    objects: {
      account: async () => undefined,
      createAuthorization: async (spec: object) => ({ spec }) as Authorization,
    },
    audit: { record: () => undefined },
    validations: { inc: () => undefined },
  } as unknown as ValidationRunsDeps);
  const attempt = (order: string, name: string) => {
    const run = runs.start(exchange, ref(order, name), { type: 'http-01', token: 'token' });
    return run.outcome;
  };
  await attempt('first', 'a.example.test');
  await attempt('second', 'a.example.test');
  expect(() => attempt('third', 'a.example.test')).toThrow('rateLimited: too many requests (failedValidation)');
  await attempt('other', 'b.example.test');
});
