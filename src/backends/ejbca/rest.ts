// EJBCA by its REST interface, "REST Certificate Management" there. Subject and names are those of the CSR; there is no asking for profiles,
// access rules, or the certificates of an end entity.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { renderPem } from '../../domain/encoding.ts';
import { parseJson } from '../../domain/json.ts';
import { Problem } from '../../domain/problem.ts';
import type { BackendDeps } from '../../ports.ts';
import { type Answer, type Call, createExchange } from '../https/exchange.ts';
import type { MutualTls } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { decodeOnce } from './double-base64.ts';
import { caNames } from './end-entity.ts';
import { ServiceFault, unreadable } from './fault.ts';
import type { EjbcaProtocol, EndEntity } from './protocol.ts';
import { readRestFault } from './rest-fault.ts';

export interface RestProtocolDeps extends Pick<BackendDeps, 'clock' | 'addressesOf'> {
  /** Such as https://ejbca.test:8443/ejbca/ejbca-rest-api. */
  url: URL;
  tls: MutualTls;
  timeoutMs: number;
}

/** A chain of ten certificates with a hundred names each fits. */
const MAX_ANSWER = 1024 * 1024;
const MAX_CERTIFICATES = 20;

/** What EJBCA calls a CRLReason. */
const REASONS: Readonly<Record<number, string>> = {
  0: 'UNSPECIFIED',
  1: 'KEY_COMPROMISE',
  2: 'CA_COMPROMISE',
  3: 'AFFILIATION_CHANGED',
  4: 'SUPERSEDED',
  5: 'CESSATION_OF_OPERATION',
  6: 'CERTIFICATE_HOLD',
  8: 'REMOVE_FROM_CRL',
  9: 'PRIVILEGES_WITHDRAWN',
  10: 'AA_COMPROMISE',
};

interface RestCall {
  method: Call['method'];
  steps: readonly string[];
  query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  body?: object;
  /** Words of the request that an error may repeat. */
  own?: readonly string[];
}

type Send = (call: RestCall, signal: AbortSignal) => Promise<Answer>;

export function createRestProtocol(deps: RestProtocolDeps): EjbcaProtocol {
  const send = createSend(deps);
  return {
    async enrol(entity, csr, signal) {
      const call = { method: 'POST', steps: ['v1', 'certificate', 'pkcs10enroll'], ...rendered(entity, csr) } as const;
      return readEnrolled(await send(call, signal));
    },
    async getLastCAChain(caName, signal) {
      const subject = (await authorities(send, signal))?.get(caName);
      if (subject === undefined) return undefined;
      const steps = ['v1', 'ca', subject, 'certificate', 'download'];
      const { body } = await send({ method: 'GET', steps, own: [subject] }, signal);
      return certificatesOf(body.toString('latin1'));
    },
    async revokeCert({ issuerDN, serial, reason }, signal) {
      const steps = ['v1', 'certificate', issuerDN, serial, 'revoke'];
      const query = { reason: REASONS[reason] ?? 'UNSPECIFIED' };
      await send({ method: 'PUT', steps, query, own: [issuerDN, serial] }, signal);
    },
    requireReady: (spec, signal) => requireReady(send, spec, signal),
  };
}

function createSend({ url: base, tls, ...deps }: RestProtocolDeps): Send {
  const exchange = createExchange({ ...deps, peer: 'EJBCA' });
  return async ({ method, steps, query = {}, body, own = [] }, signal) => {
    signal.throwIfAborted();
    const url = new URL(`${base.pathname.replace(/\/$/, '')}/${steps.map(encodeURIComponent).join('/')}`, base);
    url.search = new URLSearchParams(query).toString();
    const payload = body && Buffer.from(JSON.stringify(body));
    // The first is asked for of browsers alone, and does no harm.
    const headers = {
      'X-Keyfactor-Requested-With': 'countersign',
      Accept: 'application/json',
      ...(payload ? { 'Content-Type': 'application/json' } : {}),
    };
    const request = { method, url, headers, maxBytes: MAX_ANSWER, ...(payload ? { payload } : {}) };
    return tls.use(async (agent) => {
      const answer = await exchange({ ...request, agent }, signal);
      if (answer.status === 200 || answer.status === 201) return answer;
      throw faultOf(answer, own);
    });
  };
}

/** What is no JSON with an `error_message` is not of EJBCA: proxies and login pages answer in HTML. */
function faultOf(answer: Answer, own: readonly string[]): RemoteFault | ServiceFault {
  const { error_message: text } = answer.contentType === 'application/json' ? readJson(answer) : {};
  if (typeof text === 'string') return new ServiceFault(readRestFault(answer, text, own));
  // Something is asked for that waits for people; what that is stands in an answer of another form.
  if (answer.status === 202) return new ServiceFault(readRestFault(answer, '', own));
  return unreadable(answer, { service: 'REST interface', format: 'JSON' });
}

function readJson({ body, contentType }: Answer): Readonly<Record<string, unknown>> {
  if (contentType !== 'application/json') throw new RemoteFault('BadAnswer', 'EJBCA answered with no JSON');
  try {
    const value = parseJson(body);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new RemoteFault('BadAnswer', `the answer of EJBCA is ${error.detail}`);
  }
  throw new RemoteFault('BadAnswer', 'the answer of EJBCA is no JSON object');
}

function rendered(entity: EndEntity, csr: Buffer): Pick<RestCall, 'body' | 'own'> {
  const { username, password, email, subjectDN, subjectAltName } = entity;
  const body = {
    certificate_request: renderPem('CERTIFICATE REQUEST', csr),
    certificate_profile_name: entity.certificateProfileName,
    end_entity_profile_name: entity.endEntityProfileName,
    certificate_authority_name: entity.caName,
    username,
    password,
    include_chain: true,
    ...(email === undefined ? {} : { email }),
  };
  const names = subjectAltName.split(',').map((name) => name.slice(name.indexOf('=') + 1));
  return { body, own: [subjectDN, subjectAltName, username, ...names, ...names.map((name) => name.toUpperCase())] };
}

function readEnrolled(answer: Answer): Buffer[] {
  const { certificate, certificate_chain: above = [], response_format: format } = readJson(answer);
  const all: unknown[] = Array.isArray(above) ? [certificate, ...(above as unknown[])] : [];
  const texts = all.filter((each) => typeof each === 'string');
  if (texts.length === 0 || texts.length !== all.length || all.length > MAX_CERTIFICATES || format !== 'DER')
    throw new RemoteFault('BadAnswer', 'EJBCA answered with no certificates');
  return texts.map(decodeOnce);
}

/** Subjects of the CAs that our client certificate may see, by name. Undefined before EJBCA 8.1, which has no such list. */
async function authorities(send: Send, signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined> {
  const answer = await send({ method: 'GET', steps: ['v1', 'ca'] }, signal).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  if (!answer) return undefined;
  const { certificate_authorities: list } = readJson(answer);
  if (!Array.isArray(list)) throw new RemoteFault('BadAnswer', 'EJBCA answered with no list of CAs');
  const named = (list as unknown[]).flatMap((each) => {
    const { name, subject_dn: subject } = (each ?? {}) as Record<string, unknown>;
    return typeof name === 'string' && typeof subject === 'string' ? [[name, subject] as const] : [];
  });
  return new Map(named);
}

function isAbsent(error: unknown): boolean {
  if (error instanceof ServiceFault) return error.fault.exception === 'NotFoundException';
  return error instanceof RemoteFault && error.reason === 'ServiceMissing';
}

/** Profiles and access rules show when something is signed. */
async function requireReady(send: Send, spec: EjbcaBackendSpec, signal: AbortSignal): Promise<void> {
  const { status } = readJson(await send({ method: 'GET', steps: ['v1', 'certificate', 'status'] }, signal));
  if (status !== 'OK') throw new RemoteFault('BadAnswer', 'EJBCA does not say that its REST interface is well');
  const found = await authorities(send, signal);
  const missing = found && caNames(spec).find((name) => !found.has(name));
  if (missing !== undefined)
    throw new RemoteFault('CAMissing', `EJBCA has no CA ${missing} that our client certificate may use`);
}

/** Of a text with more than certificates in it. */
function certificatesOf(text: string): Buffer[] {
  try {
    return parsePemCertificates(text);
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'EJBCA shows a CA certificate that cannot be read', { cause: error });
  }
}
