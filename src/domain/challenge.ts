// Challenges: which types fit an identifier, and what the client must show.
import type { Static } from 'typebox';
import type { ChallengeType as ChallengeTypeSchema } from '../api/acme-offer.ts';
import { sha256 } from './encoding.ts';
import type { Identifier } from './identifier.ts';

export type ChallengeType = Static<typeof ChallengeTypeSchema>;

/** RFC 8555 section 8 and RFC 8738 section 7: wildcards by DNS alone, addresses never by DNS. */
export function challengeTypesFor(identifier: Identifier, wildcard: boolean): readonly ChallengeType[] {
  if (wildcard) return ['dns-01'];
  return identifier.type === 'ip' ? ['http-01', 'tls-alpn-01'] : ['http-01', 'dns-01', 'tls-alpn-01'];
}

/** RFC 8555 section 8.1. */
export function keyAuthorization(token: string, thumbprint: string): string {
  return `${token}.${thumbprint}`;
}

/** TXT value for dns-01, RFC 8555 section 8.4. */
export function dnsChallengeValue(keyAuthorization: string): string {
  return sha256(keyAuthorization).toString('base64url');
}
