// One challenge of a fresh order, and what must be so when it has failed.
import { expect } from 'vitest';
import { attempt, challengeOf, identifiersOf, newOrder } from '../support/acme-flow.ts';
import type { AcmeWire, ChallengeObject, Identifier } from '../support/acme-wire.ts';
import { keyAuthorization } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import type { Expected } from './input.ts';

/** What a peer sends and nobody may repeat: not the problem, not the log. */
export const MARK = 'planted-remote-bytes';

export interface Pending {
  acme: AcmeWire;
  identifier: Identifier;
  orderUrl: string;
  authorization: string;
  challenge: ChallengeObject;
  /** The key authorization. */
  answer: string;
}

/** `name` as in identifiersOf. */
export async function pending(a: Arena, type: string, { name = freshName(), acme = a.acme } = {}): Promise<Pending> {
  a.secrets.add(MARK);
  const { url, object } = await newOrder(acme, [name]);
  const [authorization = ''] = object.authorizations;
  const challenge = await challengeOf(acme, authorization, type);
  const [identifier = { type: '', value: '' }] = identifiersOf([name.replace('*.', '')]);
  const answer = keyAuthorization(challenge.token, acme.account.key);
  return { acme, identifier, orderUrl: url, authorization, challenge, answer };
}

/** The one write of a validation: its outcome. */
export const OUTCOME: Expected = { writes: ['create Authorization'], changes: true };

/** The challenge ends invalid with this problem, its authorization and order with it, and nothing of the peer's words is shown. */
export async function fails(one: Pending, type: string, detail: RegExp): Promise<void> {
  const end = await attempt(one.acme, one.challenge);
  expect(end).toMatchObject({ status: 'invalid', error: { type: `urn:ietf:params:acme:error:${type}` } });
  expect(end.error?.detail).toMatch(detail);
  expect(end.error?.detail).toContain(one.identifier.value);
  expect(end.error?.detail).toMatch(/^[\x20-\x7e]{1,600}$/);
  const [authorization, order] = [await one.acme.get(one.authorization), await one.acme.get(one.orderUrl)];
  expect([authorization.json.status, order.json.status]).toEqual(['invalid', 'invalid']);
  expect(JSON.stringify(end) + authorization.text + order.text).not.toContain(MARK);
}

export async function succeeds(one: Pending): Promise<void> {
  expect(await attempt(one.acme, one.challenge)).toMatchObject({ status: 'valid' });
  expect((await one.acme.get(one.orderUrl)).json.status).toBe('ready');
}
