// What a fault of EJBCA means for the request: a refusal that is shown to the client, something that waiting or another try mends, or a
// setting that somebody must change. Codes first, then the kind of fault, then the Java class in its text: versions differ in which they give.
import { Problem, type ProblemType } from '../../domain/problem.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { type EjbcaFault, ServiceFault } from './fault.ts';

export type Meaning =
  /** For good. `own` in place of what EJBCA said, where that could name other end entities. */
  | { kind: 'refused'; type: ProblemType; own?: string }
  /** Two requests got in each other's way: nothing was issued, and at once is not too soon. */
  | { kind: 'conflict' }
  /** EJBCA cannot now. */
  | { kind: 'unavailable'; reason: string }
  /** Somebody must change the issuer or EJBCA. */
  | { kind: 'misconfigured'; reason: string }
  | { kind: 'already revoked' }
  | { kind: 'not found' };

const BAD_CSR: Meaning = { kind: 'refused', type: 'badCSR' };
const SAME_KEY: Meaning = {
  kind: 'refused',
  type: 'badCSR',
  own: 'the key is that of another subject: make a new one',
};
const SAME_SUBJECT: Meaning = {
  kind: 'refused',
  type: 'badCSR',
  own: 'the subject is that of another end entity',
};
const CONFLICT: Meaning = { kind: 'conflict' };
const OFFLINE: Meaning = { kind: 'unavailable', reason: 'CAOffline' };
const FORBIDDEN: Meaning = { kind: 'misconfigured', reason: 'Unauthorized' };
const CA_MISSING: Meaning = { kind: 'misconfigured', reason: 'CAMissing' };
const PROFILE_MISSING: Meaning = { kind: 'misconfigured', reason: 'ProfileMissing' };
const SETTINGS: Meaning = { kind: 'misconfigured', reason: 'SettingsRefused' };
const APPROVAL: Meaning = { kind: 'misconfigured', reason: 'ApprovalRequired' };
const REVOKED: Meaning = { kind: 'already revoked' };

const CODES: Readonly<Record<string, Meaning>> = {
  USER_DOESNT_FULFILL_END_ENTITY_PROFILE: BAD_CSR,
  ILLEGAL_KEY: BAD_CSR,
  INVALID_KEY: BAD_CSR,
  INVALID_KEY_SPEC: BAD_CSR,
  SIGNATURE_ERROR: BAD_CSR,
  BAD_REQUEST_SIGNATURE: BAD_CSR,
  BAD_REQUEST: BAD_CSR,
  VALIDATION_FAILED: BAD_CSR,
  NAMECONSTRAINT_VIOLATION: { kind: 'refused', type: 'rejectedIdentifier' },
  CAA_VALIDATION_FAILED: { kind: 'refused', type: 'caa' },
  CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS: SAME_KEY,
  CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER: SAME_KEY,
  CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER: SAME_SUBJECT,
  SUBJECTDN_SERIALNUMBER_ALREADY_EXISTS: SAME_SUBJECT,
  LOGIN_ERROR: CONFLICT,
  USER_WRONG_STATUS: CONFLICT,
  USER_ALREADY_EXISTS: CONFLICT,
  USER_NOT_FOUND: CONFLICT,
  CA_OFFLINE: OFFLINE,
  'CA INVALID TOKEN PIN': OFFLINE,
  AUTH_CERT_NOT_RECEIVED: FORBIDDEN,
  NOT_AUTHORIZED: FORBIDDEN,
  CA_NOT_EXISTS: CA_MISSING,
  EE_PROFILE_NOT_EXISTS: PROFILE_MISSING,
  CERT_PROFILE_NOT_EXISTS: PROFILE_MISSING,
  UNKOWN_TOKEN_TYPE: SETTINGS,
  BAD_USER_TOKEN_TYPE: SETTINGS,
  BAD_VALIDITY_FORMAT: SETTINGS,
  DATE_NOT_VALID: SETTINGS,
  _FIELD_VALUE_NOT_VALID: SETTINGS,
  ALREADY_REVOKED: REVOKED,
  // Of REST, which is off until somebody switches it on.
  SERVICE_DISABLED: { kind: 'misconfigured', reason: 'ServiceDisabled' },
};

const EXCEPTIONS: Readonly<Record<string, Meaning>> = {
  // As the Web Service spells it.
  UserDoesntFullfillEndEntityProfile: BAD_CSR,
  EndEntityProfileValidationException: BAD_CSR,
  AuthorizationDeniedException: FORBIDDEN,
  CADoesntExistsException: CA_MISSING,
  CertificateProfileDoesNotExistException: PROFILE_MISSING,
  ApprovalException: APPROVAL,
  WaitingForApprovalException: APPROVAL,
  CAOfflineException: OFFLINE,
  CryptoTokenOfflineException: OFFLINE,
  AlreadyRevokedException: REVOKED,
  NotFoundException: { kind: 'not found' },
  IllegalNameException: { kind: 'refused', type: 'rejectedIdentifier' },
  IllegalKeyException: BAD_CSR,
  IllegalValidityException: SETTINGS,
};

/** `NOT_SPECIFIED` and the like say nothing. */
const UNKNOWN: Meaning = { kind: 'unavailable', reason: 'InternalError' };

export function meaningOf({ code, exception, className }: EjbcaFault): Meaning {
  const table = (words: Readonly<Record<string, Meaning>>, word: string) =>
    Object.hasOwn(words, word) ? words[word] : undefined;
  const known = table(CODES, code) ?? table(EXCEPTIONS, exception) ?? table(EXCEPTIONS, className);
  if (known) return known;
  return exception === '' ? { kind: 'misconfigured', reason: 'RequestNotUnderstood' } : UNKNOWN;
}

/** The refusal that the client reads: in EJBCA's words where those are about the request, with nothing of the secret in them. */
export function refusalOf(
  { message }: EjbcaFault,
  { type, own }: Extract<Meaning, { kind: 'refused' }>,
  secrets: readonly string[],
): Problem {
  const said = own ?? without(message, secrets);
  return new Problem(type, said === '' ? 'the CA refused the request' : `the CA refused the request: ${said}`);
}

/** What stands in the condition of the issuer, and in the log. */
export function remoteFaultOf(
  { code, exception, message, retryAfterMs }: EjbcaFault,
  reason: string,
  secrets: readonly string[],
): RemoteFault {
  const name = code === '' ? exception : code;
  const said = without(message, secrets);
  return new RemoteFault(
    reason,
    `EJBCA answered ${name === '' ? 'with a fault' : name}${said === '' ? '' : `: ${said}`}`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );
}

/** What a call failed with, as the fault of a CA elsewhere; undefined for anything else. */
export function asRemoteFault(error: unknown): RemoteFault | undefined {
  if (error instanceof RemoteFault) return error;
  if (!(error instanceof ServiceFault)) return undefined;
  const meaning = meaningOf(error.fault);
  return remoteFaultOf(error.fault, 'reason' in meaning ? meaning.reason : 'InternalError', []);
}

function without(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '…')), text);
}
