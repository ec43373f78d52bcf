// Lets programs outside this process publish TXT records in the test DNS server, in the words of lego's `httpreq`
// provider: POST /present and POST /cleanup with {"fqdn": "_acme-challenge.x.", "value": "…"}.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import type { DnsServer } from '../support/dns-server.ts';

export interface DnsPublisher {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startDnsPublisher(dns: DnsServer): Promise<DnsPublisher> {
  // A name and its wildcard share one TXT name, so several values stand there at once.
  const published = new Map<string, Set<string>>();
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const { fqdn, value } = (await json(request)) as { fqdn: string; value: string };
      const name = fqdn.replace(/\.$/, '');
      const values = published.get(name) ?? new Set();
      published.set(name, values);
      if (request.url === '/present') values.add(value);
      else if (request.url === '/cleanup') values.delete(value);
      else throw new Error(`no such path: ${request.url}`);
      dns.set(name, 'TXT', [...values]);
      response.writeHead(200).end();
    };
    answer().catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { url: `http://127.0.0.1:${address.port}`, stop };
}
