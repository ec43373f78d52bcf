// The credentials file of a plugin, judged before a Pod has it: certbot quotes lines that it does not understand, and whoever names a
// Secret that is no credentials file, a key of a CA, is not to have it in a Pod.
import type { BackendDeps } from '../../ports.ts';
import { readValue } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';

const IGNORED = /^(#|\[[^\]]*\]$|$)/;
const ENTRY = /^[A-Za-z0-9_][A-Za-z0-9_.:-]*\s*=/;
/** Of an ini file, all that plugins take. */
const MAX_BYTES = 65_536;

/** Throws RemoteFault for what is missing, and for what is neither an ini file nor a JSON object. It says nothing of the values. */
export async function requireCredentials(
  deps: Pick<BackendDeps, 'secrets'>,
  ref: { name: string; key: string },
): Promise<void> {
  const value = await readValue(deps, ref);
  const fault = value.length > MAX_BYTES ? 'it is too large' : faultOf(value.toString('utf8'));
  if (fault === undefined) return;
  const place = `${ref.key} of the Secret ${ref.name}`;
  throw new RemoteFault('CredentialsUnusable', `${place} is no credentials file of a plugin of certbot: ${fault}`);
}

function faultOf(text: string): string | undefined {
  if (isObject(text)) return undefined;
  const lines = text.split(/\r\n|[\r\n]/).map((line) => line.trim());
  const at = lines.findIndex((line) => !IGNORED.test(line) && !ENTRY.test(line));
  if (at >= 0) return `line ${at + 1} is not of the form "key = value"`;
  return lines.some((line) => ENTRY.test(line)) ? undefined : 'nothing is in it';
}

/** As some plugins have it. */
function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
