// What the backend needs of EJBCA, whichever of its interfaces is asked.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';

/** UserDataVOWS, what matters of it. */
export interface EndEntity {
  username: string;
  password: string;
  subjectDN: string;
  caName: string;
  subjectAltName: string;
  email: string | undefined;
  sendNotification: boolean;
  endEntityProfileName: string;
  certificateProfileName: string;
  startTime: string | undefined;
  endTime: string | undefined;
}

/** Each method throws ServiceFault for a fault, RemoteFault for no usable answer, and the signal's reason once that aborts. */
export interface EjbcaProtocol {
  /** DER of the certificate made for the CSR, with those above it, in no order. */
  enrol(entity: EndEntity, csr: Buffer, signal: AbortSignal): Promise<readonly Buffer[]>;
  /** DER of the certificates of the end entity that are neither expired nor revoked. Absent where nobody can ask for them. */
  findCerts?(username: string, signal: AbortSignal): Promise<Buffer[]>;
  /** DER, the CA first, then up to its root. Undefined where this EJBCA shows no CAs. */
  getLastCAChain(caName: string, signal: AbortSignal): Promise<Buffer[] | undefined>;
  revokeCert(certificate: { issuerDN: string; serial: string; reason: number }, signal: AbortSignal): Promise<void>;
  /** Throws RemoteFault for what is missing so that EJBCA would sign for the issuer, as far as can be found out without signing. */
  requireReady(spec: EjbcaBackendSpec, signal: AbortSignal): Promise<void>;
}
