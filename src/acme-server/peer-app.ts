// The port at which other replicas ask this one. It answers nobody else: a request without the MAC of our keys gets an empty 403.
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Clock, Log } from '../ports.ts';
import type { Keyring } from './keyring.ts';
import type { Nonces } from './nonces.ts';
import type { AcmeObjects } from './objects.ts';
import {
  PEER_HEADER,
  PEER_PATH,
  type PeerMessage,
  type PeerReply,
  readMessage,
  type SentMessage,
  signReply,
} from './peer-messages.ts';

export interface PeerAppDeps {
  keyring: Keyring;
  nonces: Pick<Nonces, 'redeemOwn'>;
  objects: Pick<AcmeObjects, 'outdate'>;
  /** Address of this process, as its nonces name it. */
  address: string;
  clock: Clock;
  log: Log;
}

/** The longest message is a nonce or the name of an object. */
const BODY_LIMIT = 1024;

export function createPeerApp(deps: PeerAppDeps): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: 5000,
    connectionTimeout: 10_000,
    keepAliveTimeout: 120_000,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    frameworkErrors: (_error, _request, reply) => void refuse(reply, 403),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post(PEER_PATH, async ({ headers, body }, reply) => {
    const [time, mac] = [headers[PEER_HEADER.time], headers[PEER_HEADER.mac]];
    if (typeof time !== 'string' || typeof mac !== 'string' || typeof body !== 'string') return refuse(reply, 403);
    return answer(deps, reply, { body, time, mac });
  });
  app.setNotFoundHandler((_request, reply) => reply.code(403).send());
  app.setErrorHandler((error, _request, reply) => {
    const { statusCode = 500 } = error as { statusCode?: number };
    if (statusCode >= 500) deps.log.warn({ error }, 'another replica was not answered');
    return refuse(reply, statusCode);
  });
  return app;
}

/** In silence. */
function refuse(reply: FastifyReply, status: number): FastifyReply {
  return reply.code(status).send('');
}

async function answer(deps: PeerAppDeps, reply: FastifyReply, sent: SentMessage): Promise<FastifyReply> {
  const now = deps.clock.now().getTime();
  const read = await readMessage(deps.keyring, sent, { to: deps.address, now });
  if (read.state === 'forged') return refuse(reply, 403);
  const { body, mac } = signReply(
    deps.keyring,
    read.state === 'good' ? obey(deps, read.message) : { reply: 'mistimed', now },
    sent,
  );
  return reply.code(200).header(PEER_HEADER.mac, mac).send(body);
}

function obey({ nonces, objects }: PeerAppDeps, message: PeerMessage): PeerReply {
  if (message.ask === 'redeem') return { reply: 'redeemed', outcome: nonces.redeemOwn(message.nonce) };
  objects.outdate(message.change);
  return { reply: 'outdated' };
}
