// What an error of EJBCA's REST interface says, in the words of the Web Service: status and text are all there is, so the code is read out of
// the text where it can be.
import type { Answer } from '../https/exchange.ts';
import { type EjbcaFault, withoutClass } from './fault.ts';

/** As EJBCA 8 answers. What is 400, or none of these, is known by its text at best. */
const STATUSES: Readonly<Record<number, string>> = {
  202: 'WaitingForApprovalException',
  401: 'AuthorizationDeniedException',
  403: 'AuthorizationDeniedException',
  404: 'NotFoundException',
  409: 'AlreadyRevokedException',
  422: 'EndEntityProfileValidationException',
  503: 'CAOfflineException',
};

/** In this order: some texts match several. */
const TEXTS: readonly (readonly [text: RegExp, code: string])[] = [
  [/use same key as/i, 'CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER'],
  [/use same subject ?DN as/i, 'CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER'],
  [/incorrect password/i, 'LOGIN_ERROR'],
  [/INPROCESS required|wrong status/i, 'USER_WRONG_STATUS'],
  [/\bend entity profile\b.*\b(does not exist|not found)|\bno end entity profile\b/i, 'EE_PROFILE_NOT_EXISTS'],
  [/\bcertificate profile\b.*\b(does not exist|not found)|\bno certificate profile\b/i, 'CERT_PROFILE_NOT_EXISTS'],
  [/^(the )?CA\b.*\b(does not exist|not found)|^no CA\b/i, 'CA_NOT_EXISTS'],
  [/\bservice has been disabled\b/i, 'SERVICE_DISABLED'],
  [/\bname constraint/i, 'NAMECONSTRAINT_VIOLATION'],
  [/\bCAA\b/, 'CAA_VALIDATION_FAILED'],
  [/\bPOPO? verification|\bsignature\b.*\b(invalid|failed|not verif)/i, 'SIGNATURE_ERROR'],
  [/\billegal key|\bkey (length|size|algorithm|specification)\b/i, 'ILLEGAL_KEY'],
  [
    /^wrong number of|\bsubject (DN|alternative name)\b.*\b(profile|fulfill?|exist|match)/i,
    'USER_DOESNT_FULFILL_END_ENTITY_PROFILE',
  ],
  [/\boff-?line\b/i, 'CA_OFFLINE'],
  [/\bnot authori[sz]ed\b/i, 'NOT_AUTHORIZED'],
];

/**
 * The fault of an answer with this status and text. `own` are words of the request: what they say says nothing about EJBCA, whoever chose
 * them.
 */
export function readRestFault(
  { status, retryAfterMs }: Pick<Answer, 'status' | 'retryAfterMs'>,
  text: string,
  own: readonly string[],
): EjbcaFault {
  const said = withoutClass(text);
  const words = own.reduce((rest, word) => (word === '' ? rest : rest.replaceAll(word, ' ')), said.message);
  const known = TEXTS.find(([pattern]) => pattern.test(words));
  return {
    exception: exceptionOf(status, words),
    code: known?.[1] ?? '',
    ...said,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function exceptionOf(status: number, words: string): string {
  if (status === 400 && /\bapprovals?\b/i.test(words)) return 'ApprovalException';
  return STATUSES[status] ?? `HTTP status ${status}`;
}
