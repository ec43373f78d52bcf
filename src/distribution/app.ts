// The plain HTTP listener: CRLs and issuer certificates for relying parties, answers to the challenges of CAs elsewhere, health and metrics
// for the platform. Never our own ACME server.
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Issuer } from '../api/issuer.ts';
import { parsePemCertificates } from '../domain/chain.ts';
import type { Cache, Log } from '../ports.ts';
import type { Crls } from './crl.ts';

export interface DistributionDeps {
  issuers: Cache<Issuer>;
  crls: Crls;
  /** What a CA elsewhere may fetch to validate a name that is being issued there (RFC 8555 section 8.3). */
  keyAuthorization: (token: string) => Promise<string | undefined>;
  /** Whether caches are synced and TLS is loaded. */
  ready: () => boolean;
  /** Prometheus text. */
  metrics: () => Promise<{ contentType: string; body: string }>;
  log: Log;
}

/** Of a ClusterCAIssuer where there is no namespace. */
interface Params {
  namespace?: string;
  file: string;
}

export function createDistributionApp(deps: DistributionDeps): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    connectionTimeout: 30_000,
    frameworkErrors: (error, _request, reply) => void refuse(reply, error.statusCode ?? 400),
  });
  const issuerOf = ({ namespace, file }: Params, suffix: string) => {
    const name = file.endsWith(suffix) ? file.slice(0, -suffix.length) : '';
    return deps.issuers.get(namespace === undefined ? { name } : { namespace, name });
  };

  for (const place of ['', '/ns/:namespace']) {
    app.get<{ Params: Params }>(`${place}/crl/:file`, async (request, reply) => {
      const issuer = issuerOf(request.params, '.crl');
      const crl = issuer && (await deps.crls.of(issuer));
      return crl
        ? reply.type('application/pkix-crl').header('Cache-Control', 'max-age=300').send(crl)
        : reply.code(404).send('no such CRL\n');
    });
    app.get<{ Params: Params }>(`${place}/ca/:file`, async (request, reply) => {
      const issuer = issuerOf(request.params, '.cer');
      const [certificate] = parsePemCertificates(issuer?.status?.chains?.[0]?.pem ?? '');
      return certificate
        ? reply.type('application/pkix-cert').send(certificate)
        : reply.code(404).send('no such issuer\n');
    });
  }
  serveKeyAuthorizations(app, deps);
  for (const path of ['/healthz', '/livez']) app.get(path, (_request, reply) => reply.send('ok\n'));
  app.get('/readyz', (_request, reply) =>
    reply.code(deps.ready() ? 200 : 503).send(deps.ready() ? 'ok\n' : 'starting\n'),
  );
  app.get('/metrics', async (_request, reply) => {
    const { contentType, body } = await deps.metrics();
    return reply.type(contentType).send(body);
  });
  app.setNotFoundHandler((_request, reply) => refuse(reply, 404));
  app.setErrorHandler((error, request, reply) => {
    // What is wrong with a request is the sender's affair, and no line in our log.
    const { statusCode = 500 } = error as { statusCode?: number };
    if (statusCode >= 400 && statusCode < 500) return refuse(reply, statusCode);
    deps.log.error({ error, route: request.routeOptions.url }, 'request failed');
    return reply.code(503).header('Retry-After', '5').send('not available now\n');
  });
  return app;
}

/** Whatever the Host: names that are being proved may all lead here. */
function serveKeyAuthorizations(app: FastifyInstance, { keyAuthorization }: DistributionDeps): void {
  app.get<{ Params: { token: string } }>('/.well-known/acme-challenge/:token', async (request, reply) => {
    const found = await keyAuthorization(request.params.token);
    return found === undefined
      ? reply.code(404).send('no such challenge\n')
      : reply.type('application/octet-stream').header('Cache-Control', 'no-store').send(found);
  });
}

/** In words that repeat nothing of the request. */
function refuse(reply: FastifyReply, status: number): FastifyReply {
  return reply.code(status).type('text/plain').send('there is nothing here for this request\n');
}
