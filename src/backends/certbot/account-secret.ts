// The account's Secret: it holds the key as certbot does, and is read and made by our own client, which wants PEM.
import { createPrivateKey, createPublicKey, createHash, type JsonWebKey } from 'node:crypto';
import type { SecretReader } from '../../ports.ts';
import { RemoteFault } from '../https/remote-fault.ts';

/** Of the Secret, and of the account's folder. */
export const ACCOUNT_KEY = 'private_key.json';
/** Of the Secrets of the `acme` backend. */
const PEM_KEY = 'account.key';

/** Secrets in which the one of this name has the key in the one form, and is kept in the other. */
export function withAccountKey(secrets: SecretReader, account: string): SecretReader {
  return {
    async read(name) {
      const values = await secrets.read(name);
      const jwk = values?.[ACCOUNT_KEY];
      return name === account && jwk ? { ...values, [PEM_KEY]: pemOf(jwk) } : values;
    },
    create(name, type, data) {
      const { [PEM_KEY]: pem, ...rest } = data;
      return secrets.create(name, type, name === account && pem ? { ...rest, [ACCOUNT_KEY]: jwkOf(pem) } : data);
    },
  };
}

function pemOf(jwk: Buffer): Buffer {
  return Buffer.from(keyOf(jwk).export({ type: 'pkcs8', format: 'pem' }));
}

function keyOf(jwk: Buffer) {
  try {
    const key = createPrivateKey({ key: JSON.parse(jwk.toString('utf8')) as JsonWebKey, format: 'jwk' });
    if (key.asymmetricKeyType === 'ec' || key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // What is said of it may quote the key.
  }
  throw new RemoteFault(
    'SecretUnusable',
    `the account key is no private key of certbot's: ${ACCOUNT_KEY} is to hold an EC or RSA key, JWK`,
  );
}

function jwkOf(pem: Buffer): Buffer {
  return Buffer.from(JSON.stringify(createPrivateKey(pem).export({ format: 'jwk' })));
}

/** What certbot calls the account: its folder, and `--account`. `values` are of the Secret. */
export function accountName(values: Readonly<Record<string, Buffer>>): string {
  const pem = createPublicKey(keyOf(values[ACCOUNT_KEY] ?? Buffer.alloc(0))).export({ type: 'spki', format: 'pem' });
  return createHash('md5').update(pem).digest('hex');
}

/** Where certbot looks for an account at a server, under its working directory: of the URL what Python calls netloc and path. */
export function accountFolder(server: string, account: string): string {
  const [bare = ''] = server.slice('https://'.length).split(/[?#]/);
  const last = bare.indexOf('/') < 0 ? -1 : bare.indexOf(';', bare.lastIndexOf('/'));
  return `config/accounts/${(last < 0 ? bare : bare.slice(0, last)).replace(/\/+$/, '')}/${account}`;
}
