// The servers that a challenge is answered by, one of each kind, on ports of their own.
import type { Responders } from './acme-flow.ts';
import { startDnsServer } from './dns-server.ts';
import { startHttp01Responder } from './http01-responder.ts';
import { startTlsAlpnResponder } from './tls-alpn-responder.ts';

export async function startResponders(): Promise<Responders> {
  return {
    dns: await startDnsServer(),
    http01: await startHttp01Responder(),
    tlsAlpn: await startTlsAlpnResponder(),
  };
}

export async function stopResponders({ dns, http01, tlsAlpn }: Responders): Promise<void> {
  await Promise.all([dns.stop(), http01.stop(), tlsAlpn.stop()]);
}
