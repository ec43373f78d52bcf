// What is kept on the record of a request under way: where its order is, and how far it has come. Written by us, yet read with care: it
// comes back from a store.
import { RemoteFault } from '../https/remote-fault.ts';

export interface Progress {
  /** Directory of the server that has the order. */
  server: string;
  /** URL of the order; undefined where it has yet to be made. */
  order?: string;
  /** Index of the challenge type that is tried, in the order of preference. */
  attempt: number;
  /** When that began, or its answers were laid out, in seconds. */
  since: number;
  /** Whether they are. */
  presented?: true;
  /** Whether the server may have signed. */
  finalizing?: true;
  /** Why the type before failed. */
  failure?: string;
}

/** The same progress is the same text. */
export function renderHandle({ server, order, attempt, since, presented, finalizing, failure }: Progress): string {
  return JSON.stringify({ server, order, attempt, since, presented, finalizing, failure });
}

/** Undefined for a handle of some other backend, which the issuer may have had before. */
export function parseHandle(text: string | undefined): Progress | undefined {
  if (text === undefined) return undefined;
  try {
    const { server, order, attempt, since, presented, finalizing, failure } = JSON.parse(text) as Partial<Progress>;
    if (typeof server !== 'string' || typeof attempt !== 'number' || typeof since !== 'number') return undefined;
    return {
      server,
      attempt,
      since,
      ...(typeof order === 'string' ? { order } : {}),
      ...(presented === true ? { presented } : {}),
      ...(finalizing === true ? { finalizing } : {}),
      ...(typeof failure === 'string' ? { failure } : {}),
    };
  } catch {
    return undefined;
  }
}

/** The URL of the order, which is one of its server. */
export function orderUrl({ server, order }: Progress): URL | undefined {
  if (order === undefined) return undefined;
  const url = URL.parse(order);
  if (url?.origin === URL.parse(server)?.origin && url) return url;
  throw new RemoteFault('BadAnswer', 'the order on record is at no server of ours');
}
