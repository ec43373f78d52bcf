// Settings of the ACME server's HTTPS listener (reliability: HTTP/1.1 only, tight limits).
import type { FastifyInstance, FastifyServerOptions } from 'fastify';

/** Node counts the URL into the header size; the longest order URL is about 6 kB. */
const MAX_HEADER_SIZE = 16_384;

/** What a certificate is served with, also when it is exchanged while the server runs. */
export const SECURE_CONTEXT = { minVersion: 'TLSv1.2' } as const;

export function listenerOptions(tls: { cert: string; key: string }): FastifyServerOptions {
  const options = {
    https: {
      ...SECURE_CONTEXT,
      cert: tls.cert,
      key: tls.key,
      ALPNProtocols: ['http/1.1'],
      maxHeaderSize: MAX_HEADER_SIZE,
      // A slow sender gets this long for the headers, and (below) for the whole request; looked at once a second.
      headersTimeout: 10_000,
      connectionsCheckingInterval: 1000,
      handshakeTimeout: 10_000,
      insecureHTTPParser: false,
    },
    // Set here, because fastify overwrites that of the `https` options.
    requestTimeout: 20_000,
    keepAliveTimeout: 60_000,
    maxRequestsPerSocket: 0,
    connectionTimeout: 0,
    forceCloseConnections: 'idle' as const,
    return503OnClosing: true,
  };
  return options;
}

/** Connections beyond this are refused. */
const MAX_CONNECTIONS = 10_000;

/** Listens, or throws an Error that says what is in the way. */
export async function listen(
  app: FastifyInstance,
  at: { host: string; port: number; what: string; flag: string },
): Promise<void> {
  try {
    await app.listen({ host: at.host, port: at.port });
    app.server.maxConnections = MAX_CONNECTIONS;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new Error(`port ${at.port} for ${at.what} is taken: end what holds it, or choose another with ${at.flag}`, {
        cause: error,
      });
    if (code === 'EACCES')
      throw new Error(`port ${at.port} for ${at.what} needs more rights: choose another with ${at.flag}`, {
        cause: error,
      });
    throw error;
  }
}
