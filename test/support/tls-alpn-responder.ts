// Answers tls-alpn-01 (RFC 8737) with the right certificate, or with one wrong in exactly one respect.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type SecureContext, type Server } from 'node:tls';
import { buildCertificate, createKeyPair, pemOf, privateKeyPem } from './certificate-builder.ts';
import { type Der, type Extension, generalName, octetString, subjectAltName } from './der-writer.ts';
import { sanOf } from './csr-builder.ts';

const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31';
const PROTOCOL = 'acme-tls/1';

/** What is wrong; `right` is nothing. */
export type AlpnVariant =
  | 'right'
  | 'not-critical'
  | 'wrong-digest'
  | 'no-extension'
  | 'wrong-oid'
  | 'extra-name'
  | 'wrong-name'
  | 'other-name-type'
  | 'name-only-in-subject'
  | 'tls-1.1'
  | 'wrong-protocol'
  | 'no-protocol';

export interface TlsAlpnResponder {
  readonly port: number;
  /** Answers handshakes whose SNI is `serverName`; `name` is the SAN: a DNS name, or an address as `ip:127.0.0.1`. */
  set(serverName: string, answer: { name: string; keyAuthorization: string; variant?: AlpnVariant }): void;
  remove(serverName: string): void;
  /** Names asked for by SNI, oldest first; empty for one that has no answer. */
  readonly serverNames: readonly string[];
  stop(): Promise<void>;
}

interface Answer {
  context: SecureContext;
  variant: AlpnVariant;
}

export async function startTlsAlpnResponder(): Promise<TlsAlpnResponder> {
  const answers = new Map<string, Answer>();
  const serverNames: string[] = [];
  const create = (options: object): Server => {
    const server = createTlsServer({
      ...options,
      SNICallback: (name, done) => {
        const answer = answers.get(name);
        if (answer) done(null, answer.context);
        else done(new Error(`no answer for ${name}`));
      },
    });
    server.on('tlsClientError', () => {});
    server.on('secureConnection', (socket) => socket.on('error', () => {}).end());
    return server;
  };
  const servers = {
    right: create({ ALPNProtocols: [PROTOCOL] }),
    'tls-1.1': create({
      ALPNProtocols: [PROTOCOL],
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
    }),
    'wrong-protocol': create({ ALPNProtocols: ['http/1.1'] }),
    'no-protocol': create({}),
  };
  const sockets = new Set<Socket>();
  // The variant decides about the handshake itself, so the ClientHello's SNI is read before a TLS server gets the socket.
  const front = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    socket.once('readable', () => {
      const hello = socket.read() as Buffer | null;
      if (hello === null) return;
      const [serverName, { variant }] = [...answers].find(([name]) => hello.includes(name)) ?? [
        '',
        { variant: 'right' },
      ];
      serverNames.push(serverName);
      const server = variant in servers ? servers[variant as keyof typeof servers] : servers.right;
      socket.unshift(hello);
      server.emit('connection', socket);
    });
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  const address = front.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    serverNames,
    set: (serverName, { name, keyAuthorization, variant = 'right' }) => {
      answers.set(serverName, { context: secureContext(name, keyAuthorization, variant), variant });
    },
    remove: (serverName) => void answers.delete(serverName),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      front.close();
      await once(front, 'close');
    },
  };
}

function secureContext(name: string, keyAuthorization: string, variant: AlpnVariant): SecureContext {
  const keys = createKeyPair();
  const extensions = [...alternativeNames(name, variant), ...acmeIdentifier(keyAuthorization, variant)];
  const subject = variant === 'name-only-in-subject' ? name : 'tls-alpn-01 challenge';
  const certificate = buildCertificate({ subject, keys, extensions });
  return createSecureContext({ key: privateKeyPem(keys), cert: pemOf('CERTIFICATE', certificate) });
}

function alternativeNames(name: string, variant: AlpnVariant): Extension[] {
  const names: Partial<Record<AlpnVariant, Der[]>> = {
    'extra-name': [sanOf(name), generalName.dns('more.example.test')],
    'wrong-name': [generalName.dns('wrong.example.test')],
    'other-name-type': [generalName.uri(`https://${name}/`)],
    'name-only-in-subject': [],
  };
  const list = names[variant] ?? [sanOf(name)];
  return list.length > 0 ? [subjectAltName(list)] : [];
}

function acmeIdentifier(keyAuthorization: string, variant: AlpnVariant): Extension[] {
  if (variant === 'no-extension') return [];
  const text = variant === 'wrong-digest' ? `${keyAuthorization}x` : keyAuthorization;
  const digest = createHash('sha256').update(text).digest();
  return [
    {
      oid: variant === 'wrong-oid' ? '1.3.6.1.5.5.7.1.30' : ACME_IDENTIFIER,
      critical: variant !== 'not-critical',
      value: octetString(digest),
    },
  ];
}

/** The SNI by which an address is asked for, RFC 8738 section 6. */
export function reverseName(ipv4: string): string {
  return `${ipv4.split('.').toReversed().join('.')}.in-addr.arpa`;
}
