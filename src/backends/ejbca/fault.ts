// What EJBCA answers in place of a result, by whichever protocol.
import { shownText } from '../../domain/remote-text.ts';

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
