// SOAP 1.1 as the EJBCA Web Service speaks it: document/literal wrapped, the wrapper in a namespace, its children in none, and an empty
// SOAPAction, which every version takes. The contract is static: no WSDL is read.
import { RemoteFault } from '../https/remote-fault.ts';
import type { Answer } from '../https/exchange.ts';
import { type EjbcaFault, unreadable, withoutClass } from './fault.ts';
import { childrenOf, childText, escapeXml, parseXml, type XmlElement, XmlError } from './xml.ts';

export const SOAP = 'http://schemas.xmlsoap.org/soap/envelope/';
export const SERVICE = 'http://ws.protocol.core.ejbca.org/';

/** Named children in the order of the wire; undefined ones are left out. */
export type Fields = readonly (readonly [name: string, value: SoapValue | undefined])[];
export type SoapValue = string | number | boolean | { fields: Fields };

/** Headers beside which the length stands. */
export const SOAP_HEADERS = { 'Content-Type': 'text/xml; charset=utf-8', SOAPAction: '""', Accept: 'text/xml' };

export function renderEnvelope(operation: string, fields: Fields): Buffer {
  const body = `<ws:${operation}>${renderFields(fields)}</ws:${operation}>`;
  return Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="${SOAP}" xmlns:ws="${SERVICE}"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`,
  );
}

function renderFields(fields: Fields): string {
  return fields
    .map(([name, value]) => (value === undefined ? '' : `<${name}>${renderValue(value)}</${name}>`))
    .join('');
}

function renderValue(value: SoapValue): string {
  return typeof value === 'object' ? renderFields(value.fields) : escapeXml(String(value));
}

/**
 * The `return` elements of an answer to the operation, or the fault. Throws RemoteFault for anything that is neither.
 */
export function readEnvelope(operation: string, answer: Answer): { returns: XmlElement[] } | { fault: EjbcaFault } {
  const { status, contentType } = answer;
  // Proxies and login pages answer in HTML.
  if (contentType !== 'text/xml' || (status !== 200 && status !== 500))
    throw unreadable(answer, { service: 'Web Service', format: 'SOAP' });
  const body = bodyOf(answer);
  if (body.namespace === SOAP && body.name === 'Fault') return { fault: readFault(body) };
  if (status === 200 && body.namespace === SERVICE && body.name === `${operation}Response`)
    return { returns: childrenOf(body, 'return').filter(({ isNil }) => !isNil) };
  throw new RemoteFault('BadAnswer', `EJBCA answered something else than ${operation}Response`);
}

function bodyOf({ body: bytes }: Answer): XmlElement {
  try {
    const envelope = parseXml(bytes);
    const bodies = envelope.children.filter(({ namespace, name }) => namespace === SOAP && name === 'Body');
    const [inner, ...others] = bodies.flatMap(({ children }) => children);
    const isEnvelope = envelope.namespace === SOAP && envelope.name === 'Envelope' && bodies.length === 1;
    if (isEnvelope && inner && others.length === 0) return inner;
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    throw new RemoteFault('BadAnswer', `the answer of EJBCA is no XML that is taken: ${error.message}`);
  }
  throw new RemoteFault('BadAnswer', 'the answer of EJBCA is no SOAP 1.1 envelope');
}

/** Faults are declared in the namespace of the service, their children in none; prefixes and the case of codes differ by server. */
function readFault(fault: XmlElement): EjbcaFault {
  const [detail] = childrenOf(fault, 'detail');
  const exception = detail?.children.find(({ namespace }) => namespace === SERVICE);
  const [errorCode] = exception ? childrenOf(exception, 'errorCode') : [];
  const said = (exception && childText(exception, 'message')) ?? childText(fault, 'faultstring') ?? '';
  return {
    exception: exception?.name ?? '',
    code: (errorCode && childText(errorCode, 'internalErrorCode'))?.trim() ?? '',
    ...withoutClass(said),
  };
}
