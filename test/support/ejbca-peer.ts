// Starts the double of EJBCA (test/support/ejbca) as a process, tells it how to behave, and asks what it was asked and signed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EjbcaBackendSpec } from '../../src/api/ejbca-backend.ts';
import {
  buildCaCertificate,
  buildCertificate,
  buildServerCertificate,
  createKeyPair,
  extendedKeyUsage,
  pemOf,
  privateKeyPem,
} from './certificate-builder.ts';
import { startProgram } from './child-process.ts';
import { sanOf } from './csr-builder.ts';
import { ejbcaProgram } from './ejbca-double.ts';

/** What it does with the requests that follow; see Behaviour.java and RawFilter.java. */
export interface EjbcaBehaviour {
  kind:
    | 'sign'
    /** Every connection ends. */
    | 'away'
    /** Never answers; nothing is signed. */
    | 'mute'
    /** Signs, and answers after `ms`. */
    | 'slow'
    /** Signs, and the connection ends before the answer, `times` times. */
    | 'lose'
    /** Signs two certificates, answers the second. */
    | 'twice'
    /** HTTP `status` and `retryAfter`. */
    | 'status'
    /** A certificate that is wrong in `what`. */
    | 'wrong'
    /** An answer that is none, `what`. */
    | 'raw'
    /** The `fault` with `code` and `message`, `times` times. */
    | 'fault'
    | 'revocation approval'
    /** REST is switched off. */
    | 'disabled';
  [setting: string]: string | number;
}

export interface EjbcaCertificate {
  username: string;
  caName: string;
  /** CRLReason; -1 = not revoked. */
  reason: number;
  der: Buffer;
}

export interface EjbcaState {
  /** How often a request began while another of the same user name was under way. */
  overlap: number;
  /** Most requests ever under way at a time. */
  most: number;
  certificates: EjbcaCertificate[];
  entities: { username: string; status: number; subjectDN: string }[];
}

/** Answers that are none. */
export const EJBCA_RAW = [
  'html',
  'huge',
  'endless',
  'gzip',
  'redirect',
  'doctype bomb',
  'external entity',
  'not xml',
  'deep',
  'another operation',
  'no certificate',
  'broken base64',
  'broken pkcs7',
  'cut',
] as const;

export type EjbcaRaw = (typeof EJBCA_RAW)[number];

/** The same for REST. */
export const EJBCA_REST_RAW = [
  'html',
  'huge',
  'endless',
  'gzip',
  'redirect',
  'cut',
  'no json',
  'deep',
  'key twice',
  'list',
  'no certificate',
  'certificate of another type',
  'another format',
  'broken base64',
  'a thousand certificates',
] as const;

export type EjbcaRestRaw = (typeof EJBCA_REST_RAW)[number];

export interface EjbcaPeer {
  spec: EjbcaBackendSpec;
  /** The same server by REST. */
  restSpec: EjbcaBackendSpec;
  /** Secrets that the spec names, by name; `stranger` holds a certificate that is in no role. */
  secrets: Record<string, Record<string, string>>;
  /** PEM of the root that its certificates lead to. */
  root: string;
  behave(behaviour: EjbcaBehaviour): Promise<void>;
  state(): Promise<EjbcaState>;
  /** Bodies of the last requests for certificates. */
  requests(): Promise<string[]>;
  close(): Promise<void>;
}

export async function startEjbcaPeer(): Promise<EjbcaPeer> {
  const program = ejbcaProgram();
  if ('missing' in program) throw new Error(program.missing);
  const home = mkdtempSync(join(tmpdir(), 'countersign-ejbca-'));
  const server = buildServerCertificate([sanOf('ip:127.0.0.1'), sanOf('localhost')]);
  const clientCA = createKeyPair();
  const settings = {
    certificate: server.certificate,
    key: server.key,
    clientCA: pemOf('CERTIFICATE', buildCaCertificate('Management CA', clientCA)),
  };
  const file = join(home, 'settings.properties');
  writeFileSync(file, propertiesOf(settings), { mode: 0o600 });
  const java = startProgram(
    program.java,
    ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Dfile.encoding=UTF-8', '-jar', program.jar, file],
    { bound: true },
  );
  const [, port, control] = await java.waitFor(/ready port=(\d+) control=(\d+)/);
  const told = async (path: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${control}/${path}`);
    if (answer.status !== 200) throw new Error(`the double answered ${path} with ${answer.status}`);
    return answer.text();
  };
  const root = await told('root');
  const origin = `https://127.0.0.1:${port}`;
  const where = { origin, root, ca: server.ca };
  return {
    spec: specOf(where, 'SOAP'),
    restSpec: specOf(where, 'REST'),
    secrets: { 'ejbca-client': clientOf('operator', clientCA), stranger: clientOf('stranger', clientCA) },
    root,
    behave: async (behaviour) => {
      const query = new URLSearchParams(
        Object.entries(behaviour).map(([name, value]): [string, string] => [name, String(value)]),
      );
      await told(`behave?${query.toString().replaceAll('+', '%20')}`);
    },
    state: async () => readState(await told('state')),
    requests: async () => JSON.parse(await told('requests')) as string[],
    close: async () => {
      await java.kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Of a server at `origin` whose certificate chains to `ca` and whose certificates lead to `root`, PEM. */
export function specOf(
  { origin, root, ca }: { origin: string; root: string; ca: string },
  protocol: 'SOAP' | 'REST',
): EjbcaBackendSpec {
  const isRest = protocol === 'REST';
  return {
    ...(isRest ? { protocol } : {}),
    url: `${origin}${isRest ? '/ejbca/ejbca-rest-api' : '/ejbca/ejbcaws/ejbcaws'}`,
    clientCertificateRef: { name: 'ejbca-client' },
    trustAnchors: root,
    caBundle: ca,
    endEntityProfile: 'ACME',
    certificateProfile: 'SERVER',
    caName: 'CorpEC',
    caNameByKey: { RSA: 'CorpRSA' },
  };
}

/** The text of a file of properties. */
export function propertiesOf(settings: Readonly<Record<string, string>>): string {
  const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${escaped(value)}\n`)
    .join('');
}

/** Of the text that the control port answers. */
export function readState(text: string): EjbcaState {
  const state = JSON.parse(text) as Omit<EjbcaState, 'certificates'> & {
    certificates: (Omit<EjbcaCertificate, 'der'> & { der: string })[];
  };
  const certificates = state.certificates.map((each) => ({ ...each, der: Buffer.from(each.der, 'base64') }));
  return { ...state, certificates };
}

export function clientOf(name: string, ca: ReturnType<typeof createKeyPair>): Record<string, string> {
  const keys = createKeyPair();
  const certificate = buildCertificate({
    subject: name,
    issuer: 'Management CA',
    keys,
    signer: ca,
    extensions: [extendedKeyUsage('1.3.6.1.5.5.7.3.2')],
  });
  return { 'tls.crt': pemOf('CERTIFICATE', certificate), 'tls.key': privateKeyPem(keys) };
}
