// No refusal on the word of a cache alone: before a client is refused for what the issuer's object says, that object is read live,
// and if it has changed the request is judged anew by what it says now.
import type { Issuer } from '../api/issuer.ts';
import type { IssuerName } from '../domain/issuer.ts';
import { Problem, type ProblemType } from '../domain/problem.ts';
import type { Exchange, Reply } from './exchange.ts';
import { notFound } from './sealed.ts';

/** The issuer as it is stored now; undefined where there is none. Reads are shared and bounded; rejects as the cluster does. */
export type LiveIssuer = (name: IssuerName) => Promise<Issuer | undefined>;

/** Refusals that can rest on an issuer's settings. All of them come before anything is written. */
const DOUBTFUL: readonly ProblemType[] = [
  'accountDoesNotExist',
  'badCSR',
  'caa',
  'externalAccountRequired',
  'invalidProfile',
  'rejectedIdentifier',
  'unauthorized',
  'unsupportedIdentifier',
  'userActionRequired',
];

const isDoubtful = (error: unknown) =>
  error instanceof Problem && (DOUBTFUL.includes(error.type) || error.status === 404);

export function createConfirm(liveIssuer: LiveIssuer) {
  return <E extends Exchange>(handle: (exchange: E) => Promise<Reply> | Reply) =>
    async (exchange: E): Promise<Reply> => {
      try {
        return await handle(exchange);
      } catch (error) {
        if (!isDoubtful(error)) throw error;
        const issuer = await liveIssuer(exchange.issuer.metadata);
        if (!issuer) throw notFound();
        if (isSame(issuer, exchange.issuer)) throw error;
        return await handle({ ...exchange, issuer });
      }
    };
}

function isSame({ metadata: a }: Issuer, { metadata: b }: Issuer): boolean {
  return a.uid === b.uid && a.generation === b.generation;
}
