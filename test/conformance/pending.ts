// One challenge of a fresh order, before anything has been done about it.
import { challengeOf, expectStatus, newOrder, poll, readyOrder } from '../support/acme-flow.ts';
import type { AcmeWire, ChallengeObject } from '../support/acme-wire.ts';
import { keyAuthorization } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import type { Target } from './target.ts';

export interface Pending {
  /** The name or address that is validated, without wildcard label or type. */
  name: string;
  orderUrl: string;
  authorization: string;
  challenge: ChallengeObject;
  /** The key authorization. */
  answer: string;
}

/** `name` as in `identifiersOf`. */
export async function pendingChallenge(acme: AcmeWire, type: string, name = freshName()): Promise<Pending> {
  const { url, object } = await newOrder(acme, [name]);
  const [authorization = ''] = object.authorizations;
  const challenge = await challengeOf(acme, authorization, type);
  return {
    name: name.replace(/^(\*\.|ip:)/, ''),
    orderUrl: url,
    authorization,
    challenge,
    answer: keyAuthorization(challenge.token, acme.account.key),
  };
}

/** Lets the responder answer only when told; `asked` resolves at the first request. */
export function holdAnswer(t: Target, { challenge, answer }: Pending): { asked: Promise<void>; release: () => void } {
  const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  t.http01.set(challenge.token, async (_request, response) => {
    asked.resolve();
    await gate.promise;
    response.end(answer);
  });
  return { asked: asked.promise, release: gate.resolve };
}

/** Goes through a whole other validation: whatever the server had begun before, it has had its turn. */
export async function barrier(t: Target, acme: AcmeWire): Promise<void> {
  await readyOrder(acme, t, [freshName()]);
}

/** Starts validation and gives the challenge as soon as it is valid or shows an error: at once, or between tries. */
export async function firstSign(acme: AcmeWire, challenge: ChallengeObject): Promise<ChallengeObject> {
  // The answer to the POST may wait for the outcome of several tries; line 87 looks at it.
  const started = acme.post(challenge.url, {}).catch(() => undefined);
  const shown = poll(acme, challenge.url, ({ status, error }) => status === 'valid' || error !== undefined);
  const refused = started.then((reply) => (reply ? expectStatus(reply, 200, 'challenge') : undefined));
  await Promise.race([shown, refused]);
  return (await shown) as unknown as ChallengeObject;
}

export async function verdict(acme: AcmeWire, challenge: ChallengeObject): Promise<'valid' | 'refused'> {
  return (await firstSign(acme, challenge)).status === 'valid' ? 'valid' : 'refused';
}

export const swapCase = (text: string): string =>
  text.replace(/[a-z]/gi, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()));
