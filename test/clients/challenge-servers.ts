// Answer challenges for clients that leave the answering to others.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { createSecureContext, createServer as createTlsServer, type SecureContextOptions } from 'node:tls';

const PREFIX = '/.well-known/acme-challenge/';

/** Serves the files of a folder as http-01 answers, as a web server with that folder would. */
export async function serveWebroot(port: number, folder: string): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    const token = basename(request.url ?? '');
    if (request.url !== PREFIX + token) {
      response.writeHead(404).end();
      return;
    }
    readFile(join(folder, token)).then(
      (body) => response.writeHead(200).end(body),
      () => response.writeHead(404).end(),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A TLS server for tls-alpn-01 (RFC 8737 section 3): `answerFor` finds the certificate for the name asked for. */
export async function serveTlsAlpn(
  port: number,
  answerFor: (name: string) => Promise<SecureContextOptions>,
): Promise<AsyncDisposable> {
  const server = createTlsServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (name, reply) => {
      answerFor(name).then(
        (answer) => reply(null, createSecureContext(answer)),
        (error: Error) => reply(error),
      );
    },
  });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.end();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
