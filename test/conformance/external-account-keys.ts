// External account binding keys, the same for every target: the Secret of `manifests/eab.yaml` holds the same texts.
import type { AcmeWire } from '../support/acme-wire.ts';
import { type Jws, macJws, type SigningKey } from '../support/jws.ts';

export const EAB_KEYS = {
  'kid-1': 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W',
  'kid-2': 'b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH',
} as const;

export interface BindingOptions {
  kid?: string;
  macKey?: string;
  /** Members to replace in the protected header; `undefined` removes one. */
  header?: Readonly<Record<string, unknown>>;
  payload?: object;
}

/** `externalAccountBinding` of a newAccount request, RFC 8555 section 7.3.4. */
export function binding(acme: AcmeWire, key: SigningKey, options: BindingOptions = {}): Jws {
  const kid = options.kid ?? 'kid-1';
  const mac = Buffer.from(options.macKey ?? EAB_KEYS[kid as keyof typeof EAB_KEYS] ?? EAB_KEYS['kid-1'], 'base64url');
  const header = { alg: 'HS256', kid, url: acme.directory.newAccount, ...options.header };
  return macJws(mac, header, options.payload ?? key.jwk);
}
