// HTTP towards the Kubernetes API server: two small sets of kept-alive connections, one for requests and one for watches, so that
// neither starves the other and their sum stays under twenty. Nothing is retried here, and no content encoding is decoded.
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../ports.ts';
import type { ApiConfig, TlsMaterial } from './kubernetes-access.ts';
import {
  messageOf,
  type Outgoing,
  type Reply,
  replyOf,
  type Running,
  running,
  TransportFailure,
} from './kubernetes-exchange.ts';

export interface SocketLimits {
  requests: number;
  watches: number;
}

export interface Transport {
  /** Rejects with TransportFailure. `fresh`: with credentials read anew. */
  exchange(outgoing: Outgoing, fresh: boolean): Promise<Reply>;
  /**
   * With status 200 the message once its head is here: the caller reads the body or destroys it. With any other the whole answer.
   * Rejects with TransportFailure.
   */
  open(outgoing: Outgoing, fresh: boolean): Promise<IncomingMessage | Reply>;
  openSockets(): number;
  /** Cuts every connection; what was under way fails. */
  close(): void;
}

/** Below the 90 s after which the API server lets go of an idle connection, so that no request meets one just being closed. */
const IDLE_MS = 30_000;
const KEEP_ALIVE_PROBE_MS = 15_000;

type LaneName = 'requests' | 'watches';
type Lanes = { tls: TlsMaterial } & Record<LaneName, Agent>;

export function createTransport({
  config,
  clock,
  sockets,
}: {
  config: ApiConfig;
  clock: Clock;
  sockets: SocketLimits;
}): Transport {
  /** Connections whose handshake is over. Node's own mark of reuse misses those that a waiting request took over. */
  const secured = new WeakSet<TLSSocket>();
  const lanes = createLanes(sockets);

  async function begin(lane: LaneName, outgoing: Outgoing, fresh: boolean): Promise<Running> {
    const access = await config.access(fresh).catch((error: unknown) => {
      throw new TransportFailure(`no credentials: ${messageOf(error)}`, { sent: false, reused: false });
    });
    const { hostname, port } = config.server;
    const request = httpsRequest({
      agent: lanes.of(access.tls)[lane],
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 443 : Number(port),
      method: outgoing.method,
      path: `${config.server.pathname.replace(/\/$/, '')}${outgoing.path}`,
      headers: {
        ...access.headers,
        ...outgoing.headers,
        host: config.server.host,
        // CVE-2026-111497: nothing of the network is ever decompressed.
        'accept-encoding': 'identity',
        ...(outgoing.body === undefined ? {} : { 'content-length': Buffer.byteLength(outgoing.body) }),
      },
    });
    return running(request, { clock, secured }, outgoing);
  }

  return {
    async exchange(outgoing, fresh) {
      const run = await begin('requests', outgoing, fresh);
      try {
        return await replyOf(await run.head, outgoing);
      } catch (error) {
        throw run.failure(error);
      } finally {
        run.finish();
      }
    },
    async open(outgoing, fresh) {
      const run = await begin('watches', outgoing, fresh);
      try {
        const response = await run.head;
        return response.statusCode === 200 ? response : await replyOf(response, outgoing);
      } catch (error) {
        throw run.failure(error);
      } finally {
        run.finish();
      }
    },
    openSockets: () => lanes.openSockets(),
    close: () => lanes.close(),
  };
}

/** The connections by the credentials they were opened with. */
function createLanes(limits: SocketLimits) {
  /** The newest first; those before it, of credentials since replaced, serve out what they carry. */
  let all: Lanes[] = [];
  let closed = false;
  return {
    of(tls: TlsMaterial): Lanes {
      const [current] = all;
      if (closed) throw new TransportFailure('closed', { sent: false, reused: false });
      if (current?.tls === tls) return current;
      const made = { tls, requests: agent(tls, limits.requests), watches: agent(tls, limits.watches) };
      all = [made, ...all.filter((each) => socketsOf(each) > 0)];
      return made;
    },
    openSockets: () => all.reduce((sum, each) => sum + socketsOf(each), 0),
    close() {
      closed = true;
      for (const { requests, watches } of all) {
        requests.destroy();
        watches.destroy();
      }
    },
  };
}

function agent(tls: TlsMaterial, maxSockets: number): Agent {
  return new Agent({
    ...tls,
    keepAlive: true,
    keepAliveMsecs: KEEP_ALIVE_PROBE_MS,
    maxSockets,
    maxTotalSockets: maxSockets,
    scheduling: 'lifo',
    timeout: IDLE_MS,
    minVersion: 'TLSv1.2',
  });
}

function socketsOf({ requests, watches }: Lanes): number {
  let sum = 0;
  for (const { sockets, freeSockets } of [requests, watches]) {
    for (const pool of [sockets, freeSockets]) for (const list of Object.values(pool)) sum += list?.length ?? 0;
  }
  return sum;
}
