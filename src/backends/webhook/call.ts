// One request to a webhook: JSON, by a TLS client certificate or signed with a shared key.
import type { Agent } from 'node:https';
import type { WebhookBackendSpec } from '../../api/webhook-backend.ts';
import { parseDuration } from '../../domain/duration.ts';
import type { BackendDeps } from '../../ports.ts';
import { type Answer, createExchange } from '../https/exchange.ts';
import { createMutualTls } from '../https/mutual-tls.ts';
import { createSharedKey } from '../https/shared-key.ts';

export interface Call {
  method: 'GET' | 'POST';
  url: URL;
  /** Sent as JSON. */
  body?: object;
}

export interface WebhookCall {
  /** Resolves with any complete answer, whatever its status. Throws RemoteFault otherwise, and the signal's reason once that aborts. */
  send(call: Call, signal: AbortSignal): Promise<Answer>;
  /** The next call reads Secrets again. */
  refresh(): void;
}

/** A chain of ten certificates with a hundred names each fits. */
const MAX_BYTES = 256 * 1024;
const DEFAULT_TIMEOUT_MS = 30_000;

export function createWebhookCall(deps: BackendDeps, spec: WebhookBackendSpec, concurrency: number): WebhookCall {
  const { authentication, timeout, ...trust } = spec;
  const { hmac, ...client } = authentication;
  const tls = createMutualTls(deps, { ...trust, ...client }, concurrency);
  const sharedKey = hmac && createSharedKey(deps, hmac);
  const timeoutMs = timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(timeout);
  const exchange = createExchange({ ...deps, timeoutMs, peer: 'the webhook' });

  function refresh(): void {
    tls.refresh();
    sharedKey?.refresh();
  }

  async function ask({ method, url, body }: Call, agent: Agent, signal: AbortSignal): Promise<Answer> {
    const payload = body && Buffer.from(JSON.stringify(body));
    const path = url.pathname + url.search;
    const headers = {
      Accept: 'application/json, application/problem+json',
      ...(body ? { 'Content-Type': 'application/json' } : {}),
      ...(await sharedKey?.sign({ method, path, body: payload ?? Buffer.alloc(0) })),
    };
    const request = { method, url, headers, agent, maxBytes: MAX_BYTES, ...(payload ? { payload } : {}) };
    return await exchange(request, signal);
  }

  return {
    async send(call, signal) {
      signal.throwIfAborted();
      try {
        const answer = await ask(call, await tls.agent(), signal);
        if (answer.status === 401 || answer.status === 403) refresh();
        return answer;
      } catch (error) {
        // A new certificate or key may be the cure.
        if (!signal.aborted) refresh();
        throw error;
      }
    },
    refresh,
  };
}
