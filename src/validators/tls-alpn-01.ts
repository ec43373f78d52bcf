// tls-alpn-01: the client shows a digest of its key authorization in a certificate (RFC 8737 section 3; RFC 8738 section 6).
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Problem, type ProblemType } from '../domain/problem.ts';
import { ACME_TLS_PROTOCOL, tlsAlpnFault, tlsAlpnServerName } from '../domain/tls-alpn.ts';
import type { Clock, ValidationTarget, Validator } from '../ports.ts';
import { failure, withinAttempt } from './attempt.ts';
import type { Dialer } from './dialer.ts';

export interface TlsAlpn01Deps {
  dialer: Dialer;
  clock: Clock;
  /** 443 but on a laptop, where that port is not ours. */
  port: number;
  /** Milliseconds one attempt takes at most. */
  timeoutMs?: number;
}

export function createTlsAlpn01({ dialer, clock, port, timeoutMs = 10_000 }: TlsAlpn01Deps): Validator {
  return {
    validate: (target, options, signal) => {
      const label = target.identifier.value;
      return withinAttempt({ clock, ms: timeoutMs, signal, type: 'connection', label }, async (bound) => {
        const dialled = await dialer.dial({ host: label, port, label }, options, bound);
        if ('problem' in dialled) return dialled;
        const { socket, addresses } = dialled;
        const fault = await handshake(socket, target, bound).finally(() => socket.destroy());
        if (!fault) return { valid: true, addresses };
        const problem = new Problem(fault.type, `${label}: ${fault.reason}`);
        return failure(problem, { retryable: fault.retryable, addresses });
      });
    },
  };
}

/**
 * Before `acme-tls/1` is agreed the responder may not be in place yet, so another attempt may help; what it shows after that is
 * its answer. A peer without TLS 1.2 will not learn it.
 */
interface Fault {
  type: ProblemType;
  reason: string;
  retryable: boolean;
}

/** Rejects with the signal's reason. */
function handshake(socket: Socket, target: ValidationTarget, signal: AbortSignal): Promise<Fault | undefined> {
  return new Promise((resolve, reject) => {
    const stream = connectTls({
      socket,
      servername: tlsAlpnServerName(target.identifier),
      ALPNProtocols: [ACME_TLS_PROTOCOL],
      minVersion: 'TLSv1.2',
      // The certificate is self-signed by definition, and judged by its extensions below.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    const settle = (end: () => void) => {
      signal.removeEventListener('abort', onAbort);
      stream.destroy();
      end();
    };
    const onAbort = () => settle(() => reject(signal.reason as Error));
    signal.addEventListener('abort', onAbort, { once: true });
    stream.on('error', (error: NodeJS.ErrnoException) => settle(() => resolve(errorFault(error))));
    stream.on('close', () => settle(() => resolve(errorFault({ code: 'ECONNRESET' }))));
    stream.once('secureConnect', () => {
      const fault =
        stream.alpnProtocol === ACME_TLS_PROTOCOL
          ? certificateFault(stream.getPeerX509Certificate()?.raw, target)
          : { type: 'incorrectResponse' as const, reason: `${ACME_TLS_PROTOCOL} was not agreed on`, retryable: true };
      settle(() => resolve(fault));
    });
  });
}

function certificateFault(der: Buffer | undefined, target: ValidationTarget): Fault | undefined {
  const reason = der ? tlsAlpnFault(der, target.identifier, target.keyAuthorization) : 'no certificate was shown';
  return reason === undefined ? undefined : { type: 'incorrectResponse', reason, retryable: false };
}

/** By code alone: messages may repeat what the peer sent. */
function errorFault({ code = '' }: { code?: string | undefined }): Fault {
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(code))
    return { type: 'tls', reason: 'TLS 1.2 or later is needed', retryable: false };
  if (/^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code))
    return { type: 'tls', reason: 'the TLS handshake failed', retryable: true };
  const type = code === 'ECONNRESET' ? 'tls' : 'connection';
  return { type, reason: 'the connection was closed during the TLS handshake', retryable: true };
}
