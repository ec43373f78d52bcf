// Every way a client proves control of a name.
import type { DenyList } from '../domain/deny-list.ts';
import type { Clock, Validators } from '../ports.ts';
import { createDialer } from './dialer.ts';
import { createDns01 } from './dns-01.ts';
import { createHttp01 } from './http-01.ts';
import { createTlsAlpn01 } from './tls-alpn-01.ts';

export interface ValidatorsDeps {
  denyList: DenyList;
  clock: Clock;
  /** 80 and 443, RFC 8555 section 8.3 and RFC 8737 section 3, wherever those are ours to ask. */
  http01Port: number;
  tlsAlpn01Port: number;
  /** Milliseconds one attempt takes at most; ten seconds when absent. */
  timeoutMs?: number;
}

export function createValidators({ http01Port, tlsAlpn01Port, denyList, ...deps }: ValidatorsDeps): Validators {
  const dialer = createDialer({ denyList, clock: deps.clock });
  return {
    'http-01': createHttp01({ ...deps, dialer, port: http01Port }),
    'dns-01': createDns01(deps),
    'tls-alpn-01': createTlsAlpn01({ ...deps, dialer, port: tlsAlpn01Port }),
  };
}
