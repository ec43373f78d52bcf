// What EJBCA answers in place of a result, by whichever protocol.
import { shownText } from '../../domain/remote-text.ts';
import type { Answer } from '../https/exchange.ts';
import { RemoteFault } from '../https/remote-fault.ts';

/** A fault that EJBCA declares, or a plain one. */
export interface EjbcaFault {
  /** Such as EjbcaException, or the HTTP status of an answer that tells no more; '' where there is none. */
  exception: string;
  /** internalErrorCode, '' where there is none. */
  code: string;
  /** What EJBCA says, class names of Java before it cut off and kept in `className`. */
  message: string;
  className: string;
  /** Where it says when to come back. */
  retryAfterMs?: number;
}

export class ServiceFault extends Error {
  override readonly name = 'ServiceFault';
  readonly fault: EjbcaFault;

  constructor(fault: EjbcaFault) {
    super(`${fault.exception || 'Fault'} ${fault.code}: ${fault.message}`);
    this.fault = fault;
  }
}

const CLASS = /^\s*((?:[a-z][A-Za-z0-9_]*\.){2,}[A-Z][A-Za-z0-9_$]*)(?::\s*|\s*$)/;

/** `org.ejbca.…Exception: text` is the text; there may be several in a row, the last of which is the cause. */
export function withoutClass(text: string): Pick<EjbcaFault, 'message' | 'className'> {
  let [rest, className] = [text, ''];
  for (let found = CLASS.exec(rest); found; found = CLASS.exec(rest)) {
    className = found[1]?.split('.').at(-1) ?? '';
    rest = rest.slice(found[0].length);
  }
  // Of a stack trace nobody needs more than the first line.
  return { message: shownText(rest.split(/\n\s*at /)[0] ?? ''), className };
}

/** What it means that an answer is not in the form of the service: it may come of something before EJBCA. */
export function unreadable(
  { status, retryAfterMs }: Pick<Answer, 'status' | 'retryAfterMs'>,
  { service, format }: { service: string; format: string },
): RemoteFault {
  const later = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 401 || status === 403) {
    const message = `EJBCA answered with HTTP status ${status}: is the client certificate known there?`;
    return new RemoteFault('Unauthorized', message, later);
  }
  if (status === 404)
    return new RemoteFault('ServiceMissing', `there is no EJBCA ${service} at the URL (HTTP status 404)`, later);
  return new RemoteFault('BadAnswer', `EJBCA answered with HTTP status ${status}, and not in ${format}`, later);
}
