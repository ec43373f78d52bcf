// A plain client of a Kubernetes API server, for tests: JSON in, status and JSON out, no retries. Independent of src/.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';

export interface ApiCredentials {
  /** PEM of a client certificate and its key. */
  cert?: string;
  key?: string;
  token?: string;
}

/** What a request answered. `body` is the parsed JSON, or the text where it is none. */
export interface ApiReply<T = unknown> {
  status: number;
  body: T;
}

export interface ApiClient {
  /** `path` begins with `/`. A body is sent as JSON, of `contentType` where a patch needs another. */
  request<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<ApiReply<T>>;
  /** As request; rejects with the server's answer unless it is a success. */
  expect<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<T>;
  /** Ends idle connections. */
  close(): void;
}

export const APPLY_PATCH = 'application/apply-patch+yaml';

export function createApiClient(url: string, ca: string, credentials: ApiCredentials): ApiClient {
  const { token, ...certificate } = credentials;
  const agent = new Agent({ keepAlive: true, maxSockets: 8, ca, ...certificate });

  async function request<T>(
    method: string,
    path: string,
    body?: unknown,
    contentType = 'application/json',
  ): Promise<ApiReply<T>> {
    const outgoing = httpsRequest(new URL(path, url), {
      agent,
      method,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': contentType }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    const content = await text(incoming);
    return { status: incoming.statusCode ?? 0, body: parsed(content) as T };
  }

  async function expect<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<T> {
    const reply = await request<T>(method, path, body, contentType);
    if (reply.status < 300) return reply.body;
    throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
  }

  return { request, expect, close: () => agent.destroy() };
}

function parsed(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}
