// Enough of an EJBCA Web Service for the schema walk, in Node: it is ready, and keeps what it is asked to sign, which it never does. What a
// client must not do is judged by the double (test/support/ejbca).
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import {
  buildCaCertificate,
  buildCertificate,
  buildServerCertificate,
  createKeyPair,
  extendedKeyUsage,
  pemOf,
  privateKeyPem,
} from '../support/certificate-builder.ts';
import { sanOf } from '../support/csr-builder.ts';

export interface RecordingEjbca {
  url: string;
  caBundle: string;
  root: string;
  client: Record<string, string>;
  /** Text of the fields of the last request to sign, by name; of REST none but `path`. */
  asked(): Record<string, string>;
  /** Milliseconds before each answer to a request to sign. */
  delay: number;
  stop(): void;
}

const ENVELOPE = ['<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>', '</s:Body></s:Envelope>'];
const named = (...names: string[]): string =>
  names.map((name, i) => `<return><name>${name}</name><id>${i + 1}</id></return>`).join('');

export async function startRecordingEjbca(): Promise<RecordingEjbca> {
  const server = buildServerCertificate([sanOf('ip:127.0.0.1')]);
  const [clientCA, clientKeys, caKeys] = [createKeyPair(), createKeyPair(), createKeyPair()];
  const ca = buildCaCertificate('Recorded CA', caKeys);
  const twice = Buffer.from(ca.toString('base64')).toString('base64');
  const answers: Record<string, string> = {
    isAuthorized: '<return>true</return>',
    getAvailableCAs: named('One', 'Two'),
    getAvailableCAsInProfile: named('One', 'Two'),
    getAuthorizedEndEntityProfiles: named('EE1', 'EE2'),
    getAvailableCertificateProfiles: named('CP1', 'CP2'),
    getLastCAChain: `<return><type>0</type><certificateData>${twice}</certificateData></return>`,
  };
  let asked: Record<string, string> = {};
  const https = createServer({
    cert: server.certificate,
    key: server.key,
    ca: pemOf('CERTIFICATE', buildCaCertificate('client CA', clientCA)),
    requestCert: true,
    rejectUnauthorized: true,
  });
  https.on('request', (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.once('end', () => {
      const operation = /<ws:(\w+)>/.exec(body)?.[1] ?? '';
      const path = request.url ?? '';
      if (path.endsWith('/pkcs10enroll')) asked = { path };
      const isSigning = operation === 'certificateRequest';
      if (isSigning)
        asked = {
          ...Object.fromEntries([...body.matchAll(/<(\w+)>([^<]*)<\/\1>/g)].map(([, name, text]) => [name, text])),
          path,
        };
      const inner = isSigning
        ? '<s:Fault><faultcode>s:Server</faultcode><faultstring>not here</faultstring></s:Fault>'
        : `<r:${operation}Response xmlns:r="http://ws.protocol.core.ejbca.org/">${answers[operation]}</r:${operation}Response>`;
      const status = request.url === '/ejbcaws' ? (isSigning ? 500 : 200) : 404;
      response.writeHead(status, { 'Content-Type': status === 404 ? 'text/html' : 'text/xml' });
      setTimeout(() => response.end(ENVELOPE.join(inner)), isSigning ? recording.delay : 0);
    });
  });
  https.listen(0, '127.0.0.1');
  await once(https, 'listening');
  const certificate = buildCertificate({
    subject: 'operator',
    issuer: 'client CA',
    keys: clientKeys,
    signer: clientCA,
    extensions: [extendedKeyUsage('1.3.6.1.5.5.7.3.2')],
  });
  const recording: RecordingEjbca = {
    url: `https://127.0.0.1:${(https.address() as AddressInfo).port}/ejbcaws`,
    caBundle: server.ca,
    root: pemOf('CERTIFICATE', ca),
    client: { 'tls.crt': pemOf('CERTIFICATE', certificate), 'tls.key': privateKeyPem(clientKeys) },
    asked: () => asked,
    delay: 0,
    stop: () => {
      https.close();
      https.closeAllConnections();
    },
  };
  return recording;
}
