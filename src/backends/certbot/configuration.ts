// The configuration of certbot that an issuer gives, judged: what stands here may be set, and nothing else. It is never handed to certbot as
// it is: arguments are made of it, so that certbot cannot read it otherwise than we did.
import { shownText } from '../../domain/remote-text.ts';
import { RemoteFault } from '../https/remote-fault.ts';

export interface Configuration {
  /** https URL of the ACME directory. */
  server: string;
  /** Arguments of certbot for all else. */
  arguments: readonly string[];
}

/** A key that may be set, and what its value must be. */
type Allowed = RegExp | 'flag';

const TEXT = /^(?![-\s])[^\p{C}\p{Zl}\p{Zp}]{1,256}$/u;
/** It is in a header of HTTP. */
const COMMENT = /^(?!-)[\x20-\x7e]{1,256}$/;
const WORD = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SERVER = /^https:\/\/[A-Za-z0-9._~:/?#@!$&'()*+,;=[\]%-]{1,2040}$/;

export const ALLOWED_KEYS: Readonly<Record<string, Allowed>> = {
  'issuance-timeout': /^[0-9]{1,5}$/,
  'preferred-chain': TEXT,
  'preferred-profile': WORD,
  'required-profile': WORD,
  server: SERVER,
  'user-agent-comment': COMMENT,
  verbose: 'flag',
};

/** Where what these keys would say is said. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'agree-tos': 'account.termsOfService',
  authenticator: 'dns01',
  'eab-hmac-key': 'account.externalAccountBinding',
  'eab-kid': 'account.externalAccountBinding',
  email: 'account.contacts',
  'preferred-challenges': 'dns01',
};

const MAX_FAULTS = 8;

/** Throws RemoteFault that names every key at fault, and the line it stands in. */
export function readConfiguration(text: string): Configuration {
  const found = new Map<string, string>();
  const faults: string[] = [];
  for (const [i, line] of text.split(/\r\n|[\r\n]/).entries()) {
    const entry = readLine(line);
    if (!entry) continue;
    const fault = found.has(entry.key) ? `${shown(entry.key)} stands there twice` : faultOf(entry);
    if (fault === undefined) found.set(entry.key, entry.value);
    else faults.push(`line ${i + 1}: ${fault}`);
  }
  if (!found.has('server') && faults.length === 0) faults.push('there is no server, the URL of the ACME directory');
  if (faults.length > 0) {
    const more = faults.length > MAX_FAULTS ? `; and ${faults.length - MAX_FAULTS} more` : '';
    throw new RemoteFault(
      'ConfigurationRefused',
      `the configuration of certbot: ${faults.slice(0, MAX_FAULTS).join('; ')}${more}`,
    );
  }
  return { server: found.get('server') ?? '', arguments: argumentsOf(found) };
}

interface Entry {
  key: string;
  value: string;
}

/** As certbot reads its files: `key = value`, `key: value`, `key value` or `key`, with two hyphens before it or none. */
function readLine(line: string): Entry | undefined {
  const text = line.trim();
  if (text === '' || /^(#|;|---|\[[^\]]*\]$)/.test(text)) return undefined;
  const [, key = text, value = ''] = /^(?:--)?([^=:\s]+)\s*[=:\s]?\s*(.*)$/s.exec(text) ?? [];
  return { key: key.toLowerCase().replaceAll('_', '-'), value: value.replace(/\s[#;].*$/s, '').trim() };
}

function faultOf({ key, value }: Entry): string | undefined {
  if (!Object.hasOwn(ALLOWED_KEYS, key)) {
    const elsewhere = Object.hasOwn(ELSEWHERE, key) ? `, ${ELSEWHERE[key]} of the issuer says that` : '';
    return `${shown(key)} may not be set${elsewhere}`;
  }
  // The path of the account's folder is made of it.
  if (key === 'server' && !isPlainUrl(value)) return `${key} cannot have this value`;
  const allowed = ALLOWED_KEYS[key];
  if (allowed === 'flag') return /^(true|yes|1|)$/i.test(value) ? undefined : `${key} takes true or nothing`;
  return allowed?.test(value) ? undefined : `${key} cannot have this value`;
}

const isPlainUrl = (text: string) => URL.parse(text)?.href === text && !text.includes('@') && !/%2[ef]/i.test(text);

const shown = (key: string) => shownText(key, 64);

function argumentsOf(found: ReadonlyMap<string, string>): string[] {
  return [...found]
    .filter(([key]) => key !== 'server')
    .map(([key, value]) => (ALLOWED_KEYS[key] === 'flag' ? `--${key}` : `--${key}=${value}`));
}
