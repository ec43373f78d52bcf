// Three replicas of `serve` on a real API server, behind a proxy that hands connections out in turn: clients notice nothing.
// REPLICA_TESTS=all: 200 orders instead of 40.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issue, register } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { eventually } from '../support/eventually.ts';
import { type RoundRobin, startRoundRobin } from '../support/round-robin.ts';
import { describeOnStage, type ServingReplicas, startReplicas } from '../support/serving-stage.ts';
import { stockClient, type Traffic } from '../support/stock-client.ts';

const ORDERS = process.env.REPLICA_TESTS === 'all' ? 200 : 40;
const CLIENTS = 8;

describeOnStage('three replicas behind a proxy', 3, (stage) => {
  let proxy: RoundRobin;
  let replicas: ServingReplicas;

  beforeAll(async () => {
    proxy = await startRoundRobin();
    replicas = await startReplicas(stage(), { externalURLs: [`https://127.0.0.1:${proxy.port}`] });
    proxy.targets(
      replicas.origins.map((origin) => {
        const { hostname: host, port } = new URL(origin);
        return { host, port: Number(port) };
      }),
    );
  });
  afterAll(async () => {
    await replicas?.stop();
    await proxy?.stop();
  });

  test(`${CLIENTS} clients, ${ORDERS} orders: each one certificate, every nonce accepted once, nothing to be seen`, async () => {
    const traffic: Traffic = { accepted: [], badNonces: 0 };
    const directory = `https://127.0.0.1:${proxy.port}/acme/main/directory`;
    const ca = await eventually('a certificate for the address of the proxy is served by all', async () => {
      const made = await stage()
        .servingCA()
        .catch(() => undefined);
      if (made === undefined) return undefined;
      for (let i = 0; i < 3; i++) {
        const probe = await stockClient({ ca: made, directory, traffic }).catch(() => undefined);
        if (!probe) return undefined;
        probe.transport.close();
      }
      return made;
    });
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => stockClient({ ca, directory, traffic })));
    await Promise.all(clients.map((acme) => register(acme)));
    const names = Array.from({ length: ORDERS }, (_, i) => `order-${i}.test`);
    for (const name of names) stage().place(name);

    const leaves = new Map<string, string>();
    const left = [...names];
    const work = async (acme: AcmeWire): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        const { certificateUrl } = await issue(acme, stage().responders, [name]);
        const reply = await acme.get(certificateUrl);
        expect(reply.status).toBe(200);
        leaves.set(name, new X509Certificate(reply.text).serialNumber.toLowerCase());
      }
    };
    await Promise.all(clients.map(work));

    expect(leaves.size).toBe(ORDERS);
    const records = await stage().records();
    const serials = records.map(({ spec, status }) => {
      const der = Buffer.from(status?.certificate ?? '', 'base64');
      return [spec.names.join(), new X509Certificate(der).serialNumber.toLowerCase()];
    });
    const sorted = (pairs: readonly (readonly string[])[]) => pairs.map((pair) => pair.join(' ')).toSorted();
    expect(sorted(serials)).toEqual(sorted([...leaves].map(([name, serial]) => [`dns:${name}`, serial])));

    expect(new Set(traffic.accepted).size).toBe(traffic.accepted.length);
    expect(traffic.accepted.length).toBeGreaterThan(ORDERS * 5);
    const spent = [...traffic.accepted];
    const [asker] = clients;
    if (!asker) throw new Error('no client');
    const again = { accepted: 0, refused: 0 };
    const replay = async (): Promise<void> => {
      for (let nonce = spent.pop(); nonce !== undefined; nonce = spent.pop()) {
        const reply = await asker.get(asker.account.url, { nonce, retryBadNonce: false });
        if (reply.status === 400 && reply.problem.type.endsWith(':badNonce')) again.refused++;
        else again.accepted++;
      }
    };
    const before = traffic.accepted.length;
    await Promise.all(Array.from({ length: CLIENTS }, replay));
    expect(again).toEqual({ accepted: 0, refused: before });
    expect(Math.min(...proxy.given)).toBeGreaterThan(0);
    expect(proxy.given.length).toBe(3);
    for (const { transport } of clients) transport.close();
    process.stdout.write(
      `${ORDERS} orders, ${before} requests, ${traffic.badNonces - before} badNonce retried, connections ${proxy.given.join('/')}\n`,
    );
  }, 600_000);
});
