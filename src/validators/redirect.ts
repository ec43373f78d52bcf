// Where an HTTP redirect may lead during validation (RFC 8555 sections 8.3 and 10.4).
import { isIP } from 'node:net';
import { parseDnsName } from '../domain/identifier.ts';

export interface HttpLocation {
  secure: boolean;
  /** A DNS name, or an address without brackets. */
  host: string;
  port: number;
  /** With query, as in the request line. */
  path: string;
}

const MAX_PATH_BYTES = 2_000;

/** Host header and URL authority: an IPv6 address in brackets, a port only where it is not the scheme's own. */
export function authorityOf({ secure, host, port }: HttpLocation): string {
  const name = isIP(host) === 6 ? `[${host}]` : host;
  return port === (secure ? 443 : 80) ? name : `${name}:${port}`;
}

export function urlOf(location: HttpLocation): string {
  return `${location.secure ? 'https' : 'http'}://${authorityOf(location)}${location.path}`;
}

/** The target, or why it is refused, in words that repeat nothing of it. `ports` are those allowed. */
export function parseRedirect(
  header: string | undefined,
  from: HttpLocation,
  ports: ReadonlySet<number>,
): HttpLocation | string {
  const url = header === undefined ? null : URL.parse(header, urlOf(from));
  if (!url) return 'leads to no URL';
  const secure = url.protocol === 'https:';
  if (!secure && url.protocol !== 'http:') return 'leads to another scheme than http and https';
  if (url.username !== '' || url.password !== '') return 'carries credentials';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  if (!ports.has(port)) return `leads to another port than ${[...ports].join(', ')}`;
  const host = hostOf(url.hostname);
  if (host === undefined) return 'leads to something that is not a DNS name or an address';
  const path = url.pathname + url.search;
  return path.length > MAX_PATH_BYTES
    ? `has a path of more than ${MAX_PATH_BYTES} bytes`
    : { secure, host, port, path };
}

/** URL has made addresses canonical, whatever way they were spelt. */
function hostOf(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  if (isIP(bare) !== 0) return bare;
  try {
    const name = parseDnsName(hostname);
    return name.includes('*') ? undefined : name;
  } catch {
    return undefined;
  }
}
