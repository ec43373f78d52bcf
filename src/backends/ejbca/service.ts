// The operations of the EJBCA Web Service that are used, typed.
import { createExchange } from '../https/exchange.ts';
import type { MutualTls } from '../https/mutual-tls.ts';
import type { BackendDeps } from '../../ports.ts';
import { decodeTwice } from './double-base64.ts';
import { ServiceFault } from './fault.ts';
import { readPkcs7 } from './pkcs7.ts';
import type { EjbcaProtocol, EndEntity } from './protocol.ts';
import { requireReady } from './readiness.ts';
import { type Fields, readEnvelope, renderEnvelope, SOAP_HEADERS } from './soap.ts';
import { childText, type XmlElement } from './xml.ts';

export interface NameAndID {
  name: string;
  id: string;
}

/** Each method throws ServiceFault for a fault, RemoteFault for no usable answer, and the signal's reason once that aborts. */
export interface EjbcaService {
  /** PKCS#7 with the chain, in no order. */
  certificateRequest(entity: EndEntity, csr: Buffer, signal: AbortSignal): Promise<Buffer>;
  /** DER of the certificates of the end entity that are neither expired nor revoked. */
  findCerts(username: string, signal: AbortSignal): Promise<Buffer[]>;
  /** DER, the CA first, then up to its root. */
  getLastCAChain(caName: string, signal: AbortSignal): Promise<Buffer[]>;
  revokeCert: EjbcaProtocol['revokeCert'];
  isAuthorized(rule: string, signal: AbortSignal): Promise<boolean>;
  getAvailableCAs(signal: AbortSignal): Promise<NameAndID[]>;
  getAuthorizedEndEntityProfiles(signal: AbortSignal): Promise<NameAndID[]>;
  getAvailableCertificateProfiles(endEntityProfileID: string, signal: AbortSignal): Promise<NameAndID[]>;
  getAvailableCAsInProfile(endEntityProfileID: string, signal: AbortSignal): Promise<NameAndID[]>;
}

export interface EjbcaServiceDeps extends Pick<BackendDeps, 'clock' | 'addressesOf'> {
  url: URL;
  tls: MutualTls;
  timeoutMs: number;
}

/** A chain of ten certificates with a hundred names each fits; so do some thousand certificates of one end entity. */
const MAX_ANSWER = 1024 * 1024;
const MAX_CERTIFICATES = 16 * 1024 * 1024;

/** Numbers of CertificateHelper and EndEntityConstants. */
const PKCS10 = 0;
const STATUS_NEW = 10;

/** EJBCA by its Web Service. */
export function createSoapProtocol(deps: EjbcaServiceDeps): EjbcaProtocol {
  const service = createEjbcaService(deps);
  return {
    ...service,
    enrol: async (entity, csr, signal) => readPkcs7(await service.certificateRequest(entity, csr, signal)),
    requireReady: (spec, signal) => requireReady(service, spec, signal),
  };
}

function createEjbcaService(deps: EjbcaServiceDeps): EjbcaService {
  const call = createCall(deps);
  const names = async (operation: string, fields: Fields, signal: AbortSignal): Promise<NameAndID[]> =>
    (await call(operation, fields, { signal })).map(readNameAndID);

  return {
    async certificateRequest(entity, csr, signal) {
      const [result] = await call('certificateRequest', renderRequest(entity, csr), { signal });
      return decodeTwice(result && childText(result, 'data'));
    },
    findCerts: async (username, signal) =>
      certificatesOf(
        await call(
          'findCerts',
          [
            ['arg0', username],
            ['arg1', true],
          ],
          { signal, maxBytes: MAX_CERTIFICATES },
        ),
      ),
    getLastCAChain: async (caName, signal) =>
      certificatesOf(await call('getLastCAChain', [['arg0', caName]], { signal })),
    async revokeCert({ issuerDN, serial, reason }, signal) {
      await call(
        'revokeCert',
        [
          ['arg0', issuerDN],
          ['arg1', serial],
          ['arg2', reason],
        ],
        { signal },
      );
    },
    async isAuthorized(rule, signal) {
      const [result] = await call('isAuthorized', [['arg0', rule]], { signal });
      return result?.text.trim() === 'true' || result?.text.trim() === '1';
    },
    getAvailableCAs: (signal) => names('getAvailableCAs', [], signal),
    getAuthorizedEndEntityProfiles: (signal) => names('getAuthorizedEndEntityProfiles', [], signal),
    getAvailableCertificateProfiles: (id, signal) => names('getAvailableCertificateProfiles', [['arg0', id]], signal),
    getAvailableCAsInProfile: (id, signal) => names('getAvailableCAsInProfile', [['arg0', id]], signal),
  };
}

type SoapCall = (
  operation: string,
  fields: Fields,
  options: { signal: AbortSignal; maxBytes?: number },
) => Promise<XmlElement[]>;

function createCall({ url, tls, ...deps }: EjbcaServiceDeps): SoapCall {
  const exchange = createExchange({ ...deps, peer: 'EJBCA' });
  return async (operation, fields, { signal, maxBytes = MAX_ANSWER }) => {
    signal.throwIfAborted();
    const payload = renderEnvelope(operation, fields);
    const request = { method: 'POST', url, headers: SOAP_HEADERS, payload, maxBytes } as const;
    return tls.use(async (agent) => {
      const answer = readEnvelope(operation, await exchange({ ...request, agent }, signal));
      if ('returns' in answer) return answer.returns;
      throw new ServiceFault(answer.fault);
    });
  };
}

function readNameAndID(element: XmlElement): NameAndID {
  return { name: childText(element, 'name') ?? '', id: childText(element, 'id')?.trim() ?? '' };
}

/** arg3 is the serial number of a hard token. */
function renderRequest(entity: EndEntity, csr: Buffer): Fields {
  return [
    ['arg0', { fields: renderEntity(entity) }],
    ['arg1', csr.toString('base64')],
    ['arg2', PKCS10],
    ['arg4', 'PKCS7WITHCHAIN'],
  ];
}

/** In the order of the schema of EJBCA 8. The server sets status and token type itself, but wants them there. */
function renderEntity(entity: EndEntity): Fields {
  return [
    ['username', entity.username],
    ['password', entity.password],
    ['clearPwd', false],
    ['subjectDN', entity.subjectDN],
    ['caName', entity.caName],
    ['subjectAltName', entity.subjectAltName === '' ? undefined : entity.subjectAltName],
    ['email', entity.email],
    ['status', STATUS_NEW],
    ['tokenType', 'USERGENERATED'],
    ['sendNotification', entity.sendNotification],
    ['keyRecoverable', false],
    ['endEntityProfileName', entity.endEntityProfileName],
    ['certificateProfileName', entity.certificateProfileName],
    ['startTime', entity.startTime],
    ['endTime', entity.endTime],
  ];
}

function certificatesOf(returns: readonly XmlElement[]): Buffer[] {
  return returns.map((each) => decodeTwice(childText(each, 'certificateData')));
}
