// Assertions in the words of the checklist.
import { expect } from 'vitest';
import type { Reply } from '../support/acme-wire.ts';

const URN = 'urn:ietf:params:acme:error:';

/** `malformed/400`: problem type and HTTP status, as the checklist writes them. */
export type ExpectedProblem = `${string}/${number}`;

/** What a reply says, in one line: what failure messages and the deviations list compare. */
export function problemOf(reply: Reply): string {
  const contentType = reply.headers['content-type'] ?? '';
  if (!contentType.startsWith('application/problem+json')) return `no problem/${reply.status}`;
  const { type } = reply.problem;
  return `${typeof type === 'string' && type.startsWith(URN) ? type.slice(URN.length) : type}/${reply.status}`;
}

/** The reply is a problem document of one of the given kinds. */
export function expectProblem(reply: Reply, ...expected: readonly ExpectedProblem[]): void {
  const actual = problemOf(reply);
  const message = `got ${actual} (${reply.text.slice(0, 300)}) instead of ${expected.join(' or ')}`;
  expect(expected.includes(actual as ExpectedProblem), message).toBe(true);
  expect(reply.problem.status, 'the problem repeats the HTTP status').toBe(reply.status);
}

/** The reply has the HTTP status; else the message says what it has instead. */
export function expectReply(reply: Reply, status: number): void {
  expect(reply.status === status, `got ${problemOf(reply)} (${reply.text.slice(0, 300)}) instead of ${status}`).toBe(
    true,
  );
}

/** A problem that is the client's own. */
export function expectClientError(reply: Reply): void {
  const refused = reply.status >= 400 && reply.status < 500;
  expect(refused, `got ${problemOf(reply)} (${reply.text.slice(0, 300)}) instead of a refusal`).toBe(true);
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
}

export function expectInstant(text: unknown): void {
  expect(text, 'an RFC 3339 instant').toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
}

export function expectAmong<T>(actual: T, allowed: readonly T[], message: string): void {
  expect(allowed.includes(actual), `${message}: got ${JSON.stringify(actual)}`).toBe(true);
}
