// Store writes per certificate, counted at the Cluster port of the whole program in this process.
import type { Cluster } from '../../src/ports.ts';
import { startOperator } from '../operator/harness.ts';
import { issue, register } from '../support/acme-flow.ts';
import { connect, createTransport } from '../support/acme-wire.ts';
import type { DnsServer } from '../support/dns-server.ts';
import type { Http01Responder } from '../support/http01-responder.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';

const WRITES = ['create', 'replace', 'replaceStatus', 'delete', 'apply'] as const;

/** The cluster with every write counted as `verb kind`. */
export function countingCluster(cluster: Cluster, writes: string[]): Cluster {
  return new Proxy(cluster, {
    get(target, member, receiver) {
      const value: unknown = Reflect.get(target, member, receiver);
      if (typeof value !== 'function') return value;
      return (...args: [{ kind: string }, ...unknown[]]) => {
        if ((WRITES as readonly (string | symbol)[]).includes(member)) writes.push(`${String(member)} ${args[0].kind}`);
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

/** Writes of one more certificate with one challenge, once account and chain are there. */
export async function countWrites(responders: { dns: DnsServer; http01: Http01Responder }): Promise<number> {
  const writes: string[] = [];
  const operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    wrap: (cluster) => countingCluster(cluster, writes),
  });
  const tlsAlpn = await startTlsAlpnResponder();
  const transport = createTransport(operator.ca);
  try {
    const acme = await connect(transport, operator.directory);
    await register(acme);
    await issue(acme, { ...responders, tlsAlpn }, ['first.bench.test']);
    writes.length = 0;
    await issue(acme, { ...responders, tlsAlpn }, ['second.bench.test']);
    return writes.length;
  } finally {
    transport.close();
    await tlsAlpn.stop();
    await operator.stop();
  }
}
