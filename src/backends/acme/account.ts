// Our account at one ACME server: its key in a Secret, made once; registered once, and found again by its key (RFC 8555 section 7.3).
import type { AcmeAccountSpec } from '../../api/acme-backend.ts';
import { parseBase64url } from '../../domain/encoding.ts';
import { readValue } from '../https/mutual-tls.ts';
import { shownText } from '../../domain/remote-text.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { BackendDeps } from '../../ports.ts';
import { type AccountKey, bindAccount, makeAccountKey, readAccountKey } from './account-key.ts';
import { type Connection, type Signer, statusFault } from './connection.ts';
import { bad, type Directory, ownUrl, problemOf } from './messages.ts';

export interface Account {
  /** Registers where that has not been done. Throws RemoteFault for what keeps the server from having us. */
  signer(signal: AbortSignal): Promise<Required<Signer>>;
  /** The next `signer` asks the server again. */
  refresh(): void;
}

export interface AccountDeps extends Pick<BackendDeps, 'secrets'> {
  connection: Connection;
  spec: AcmeAccountSpec;
}

/** Longest URL of terms that is shown. */
const MAX_TERMS = 512;
/** Of the Secret. */
const KEY = 'account.key';

export function createAccount(deps: AccountDeps): Account {
  let known: Promise<Required<Signer>> | undefined;
  return {
    signer(signal) {
      if (known) return known;
      const loading = register(deps, signal);
      known = loading;
      loading.catch(() => {
        if (known === loading) known = undefined;
      });
      return loading;
    },
    refresh() {
      known = undefined;
    },
  };
}

async function register(deps: AccountDeps, signal: AbortSignal): Promise<Required<Signer>> {
  const { connection, spec } = deps;
  const directory = await connection.directory(signal);
  requireTerms(directory, spec);
  const key = await keyOf(deps, spec.keySecretRef.name);
  const previous = spec.previousKeySecretRef && (await existingKey(deps, spec.previousKeySecretRef.name));
  if (previous && !(await find(deps, key, signal))) await rollOver(deps, { from: previous, to: key }, signal);
  const answer = await connection.post(
    { key, url: undefined },
    { url: directory.newAccount, payload: await newAccount(deps, key, directory) },
    signal,
  );
  if (answer.status !== 200 && answer.status !== 201) throw accountFault(answer);
  return { key, url: locationOf(connection, answer) };
}

/** Terms are agreed to by their URL: new ones are for people to read first. */
function requireTerms({ termsOfService }: Directory, { termsOfService: agreed }: AcmeAccountSpec): void {
  if (termsOfService === undefined || termsOfService === agreed) return;
  throw new RemoteFault(
    'TermsOfServiceNotAgreed',
    `the ACME server has terms of service at ${shownText(termsOfService, MAX_TERMS)}: read them, and agree by that URL in account.termsOfService`,
  );
}

async function newAccount({ secrets, spec }: AccountDeps, key: AccountKey, directory: Directory): Promise<object> {
  const { externalAccountBinding: binding, contacts } = spec;
  if (!binding && directory.externalAccountRequired)
    throw new RemoteFault(
      'ExternalAccountRequired',
      'the ACME server wants an external account binding: account.externalAccountBinding has none',
    );
  return {
    termsOfServiceAgreed: true,
    ...(contacts ? { contact: contacts.map((address) => `mailto:${address}`) } : {}),
    ...(binding
      ? {
          externalAccountBinding: bindAccount(key, {
            keyID: binding.keyID,
            macKey: macKeyOf(await readValue({ secrets }, binding.secretRef)),
            url: directory.newAccount.href,
          }),
        }
      : {}),
  };
}

/** As CAs hand them out: base64url, perhaps padded, or plain base64. */
function macKeyOf(value: Buffer): Buffer {
  const text = value.toString('latin1').trim().replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_');
  const key = parseBase64url(text);
  if (key && key.length > 0) return key;
  throw new RemoteFault('SecretUnusable', 'the key of the external account binding is no base64url text');
}

/** The key of the Secret, which is made where there is none. */
async function keyOf(deps: AccountDeps, name: string): Promise<AccountKey> {
  const { secrets } = deps;
  // Of several replicas one makes it.
  if (!(await secrets.read(name))) await secrets.create(name, 'Opaque', { [KEY]: makeAccountKey() });
  return existingKey(deps, name);
}

async function existingKey({ secrets }: AccountDeps, name: string): Promise<AccountKey> {
  return readAccountKey(await readValue({ secrets }, { name, key: KEY }));
}

/** Whether the server knows the key. */
async function find({ connection }: AccountDeps, key: AccountKey, signal: AbortSignal): Promise<string | undefined> {
  const { newAccount: url } = await connection.directory(signal);
  const payload = { onlyReturnExisting: true };
  const answer = await connection.post({ key, url: undefined }, { url, payload }, signal);
  if (answer.status === 200) return locationOf(connection, answer);
  if (problemOf(answer).type === 'accountDoesNotExist') return undefined;
  throw accountFault(answer);
}

/** RFC 8555 section 7.3.5. An old key without an account has nothing to hand over. */
async function rollOver(
  deps: AccountDeps,
  { from, to }: { from: AccountKey; to: AccountKey },
  signal: AbortSignal,
): Promise<void> {
  const { connection } = deps;
  const account = await find(deps, from, signal);
  if (account === undefined) return;
  const { keyChange } = await connection.directory(signal);
  if (!keyChange) throw bad('lets no account change its key: it names no keyChange');
  const payload = to.sign({ jwk: to.jwk, url: keyChange.href }, { account, oldKey: from.jwk });
  const answer = await connection.post({ key: from, url: account }, { url: keyChange, payload }, signal);
  if (answer.status !== 200) throw accountFault(answer);
}

function locationOf({ directoryURL }: Connection, { headers }: { headers: { location?: string | undefined } }): string {
  return ownUrl(directoryURL, headers.location, 'the account').href;
}

type Refused = Parameters<typeof statusFault>[0];

/** What people must mend is told apart from what time may. */
function accountFault(answer: Refused): RemoteFault {
  const { type, detail } = problemOf(answer);
  if (answer.status >= 500 || answer.status === 429 || type === '') return statusFault(answer, 'to our account');
  return new RemoteFault('AccountRefused', `the ACME server refuses our account (${type}): ${detail}`);
}
