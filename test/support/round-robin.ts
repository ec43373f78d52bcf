// A TCP proxy that gives each connection to the next of several servers, as a load balancer that knows nothing of HTTP does.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface RoundRobin {
  readonly port: number;
  /** Where connections go from now on. */
  targets(of: readonly { host: string; port: number }[]): void;
  /** Connections given to each target, by its position. */
  readonly given: number[];
  stop(): Promise<void>;
}

export async function startRoundRobin(): Promise<RoundRobin> {
  let targets: readonly { host: string; port: number }[] = [];
  let turn = 0;
  const given: number[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer((outer) => {
    const position = turn++ % Math.max(targets.length, 1);
    const target = targets[position];
    if (!target) return void outer.destroy();
    given[position] = (given[position] ?? 0) + 1;
    const inner = connect(target.port, target.host);
    for (const socket of [outer, inner]) keep(socket);
    outer.on('error', () => inner.destroy());
    inner.on('error', () => outer.destroy());
    outer.pipe(inner).pipe(outer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    targets: (of) => {
      targets = of;
    },
    given,
    stop: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
