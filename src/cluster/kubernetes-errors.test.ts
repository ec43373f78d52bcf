import { expect, test } from 'vitest';
import { errorOf, namesAbsentObject, retryAfterOf, type Status } from './kubernetes-errors.ts';

const refusal = (code: number, status?: Status, retryAfterMs?: number) => ({ code, status, retryAfterMs });

test.each([
  ['AlreadyExists', 409, { reason: 'AlreadyExists' }],
  ['Conflict', 409, { reason: 'Conflict', message: 'the object has been modified' }],
  ['Conflict', 409, { reason: 'Conflict', message: 'UID in precondition: a, UID in object meta: b' }],
  ['NotFound', 409, { reason: 'Conflict', message: 'UID in precondition: a, UID in object meta: ' }],
  ['NotFound', 404, { reason: 'NotFound' }],
  ['Expired', 410, { reason: 'Expired' }],
  ['Expired', 410, { reason: 'Gone' }],
  ['Invalid', 422, { reason: 'Invalid' }],
  ['Invalid', 400, { reason: 'BadRequest' }],
  ['Invalid', 413, { reason: 'RequestEntityTooLarge' }],
  ['Forbidden', 403, { reason: 'Forbidden' }],
  ['Unavailable', 401, { reason: 'Unauthorized' }],
  ['Unavailable', 429, { reason: 'TooManyRequests' }],
  ['Unavailable', 500, { reason: 'InternalError' }],
  ['Unavailable', 503, undefined],
  ['Unavailable', 504, { reason: 'Timeout' }],
  ['Unavailable', 302, undefined],
] as const)('%s for %i', (reason, code, status) => {
  const error = errorOf(refusal(code, status), false);
  expect([error.reason, error.outcomeUnknown]).toEqual([reason, false]);
  expect(error.message).not.toBe('');
});

test('after a write, what was lost track of may have been done', () => {
  const unknown = (code: number, retryAfterMs?: number) =>
    errorOf(refusal(code, undefined, retryAfterMs), true).outcomeUnknown;
  expect([500, 502, 503, 504].map((code) => unknown(code))).toEqual([true, true, true, true]);
  expect([401, 403, 409, 422, 429].map((code) => unknown(code))).toEqual([false, false, false, false, false]);
  expect(unknown(503, 1000)).toBe(false);
  const undeclared = {
    message: 'failed to create typed patch object (a/b): .spec.dnsName: field not declared in schema',
  };
  expect(errorOf(refusal(500, undeclared), true)).toMatchObject({ reason: 'Invalid', outcomeUnknown: false });
});

test('every field that is named, once, and none for remarks about the whole', () => {
  const causes = [
    { field: 'spec.duration', message: 'too short' },
    { field: 'spec.duration', message: 'no duration' },
    { field: 'spec.subject.names[0]', message: 'wrong' },
    { field: '<nil>', message: 'some validation rules were not checked' },
    { message: 'of nothing' },
  ];
  expect(errorOf(refusal(422, { reason: 'Invalid', details: { causes } }), true).fields).toEqual([
    { path: 'spec.duration', message: 'too short' },
    { path: 'spec.subject.names[0]', message: 'wrong' },
  ]);
  const message = 'strict decoding error: unknown field "spec.dnsName", duplicate field "spec.a", unknown field "b"';
  expect(errorOf(refusal(400, { reason: 'BadRequest', message }), true).fields).toEqual([
    { path: 'spec.dnsName', message: 'is an unknown field' },
    { path: 'spec.a', message: 'is given twice' },
    { path: 'b', message: 'is an unknown field' },
  ]);
});

test('a missing object is told from a missing kind', () => {
  const named = { reason: 'NotFound', details: { name: 'one', kind: 'secrets' } };
  expect(namesAbsentObject(refusal(404, named))).toBe(true);
  expect(namesAbsentObject(refusal(404, { reason: 'NotFound', details: {} }))).toBe(false);
  expect(namesAbsentObject(refusal(404))).toBe(false);
  expect(namesAbsentObject(refusal(410, named))).toBe(false);
});

test('Retry-After in seconds, as a date, or in the Status', () => {
  const date = 'Tue, 01 Jan 2030 00:00:00 GMT';
  expect(retryAfterOf({ 'retry-after': '7' }, undefined)).toBe(7000);
  expect(retryAfterOf({ 'retry-after': 'Tue, 01 Jan 2030 00:00:09 GMT', date }, undefined)).toBe(9000);
  expect(retryAfterOf({ 'retry-after': 'Mon, 31 Dec 2029 00:00:09 GMT', date }, undefined)).toBe(0);
  expect(retryAfterOf({}, { details: { retryAfterSeconds: 3 } })).toBe(3000);
  for (const odd of ['', '-1', 'soon', '1e9', '99999999999999']) {
    expect(retryAfterOf({ 'retry-after': odd, date }, undefined)).toBeUndefined();
  }
});
