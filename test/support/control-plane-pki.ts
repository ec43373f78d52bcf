// The certificates and keys of a control plane: an API server that clients trust, and its administrator.
import {
  basicConstraints,
  buildCaCertificate,
  buildCertificate,
  createKeyPair,
  extendedKeyUsage,
  keyIdentifier,
  keyUsage,
  pemOf,
  privateKeyPem,
} from './certificate-builder.ts';
import { contextPrimitive, type Der, distinguishedName, generalName, sequence, subjectAltName } from './der-writer.ts';

export interface Credentials {
  /** PEM. */
  cert: string;
  key: string;
}

export interface ControlPlanePki {
  ca: string;
  server: Credentials;
  admin: Credentials;
  /** The keys that sign and verify tokens of ServiceAccounts, PEM. */
  serviceAccounts: { privateKey: string; publicKey: string };
  /** Of a further user. */
  user: (name: string, group?: string) => Credentials;
  /** Of a further server, at its address. */
  host: (name: string, address: string) => Credentials;
}

const CA = 'test control plane';
const DAY = 86_400_000;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const ORGANIZATION = '2.5.4.10';
const COMMON_NAME = '2.5.4.3';

/** Valid from yesterday for ten years, so that a test may move a clock. `addresses` are those at which the server answers. */
export function createControlPlanePki(addresses: readonly string[]): ControlPlanePki {
  const [caKeys, tokens] = [createKeyPair(), createKeyPair()];
  const issue = (subject: Der, usage: string, names: readonly Der[] = []): Credentials => {
    const keys = createKeyPair();
    const der = buildCertificate({
      subject,
      issuer: CA,
      keys,
      signer: caKeys,
      notAfter: new Date(Date.now() + 3650 * DAY),
      extensions: [
        basicConstraints(false),
        keyUsage(0),
        extendedKeyUsage(usage),
        { oid: '2.5.29.35', value: sequence(contextPrimitive(0, keyIdentifier(caKeys))) },
        ...(names.length > 0 ? [subjectAltName(names)] : []),
      ],
    });
    return { cert: pemOf('CERTIFICATE', der), key: privateKeyPem(keys) };
  };
  const user = (name: string, group?: string): Credentials =>
    issue(
      distinguishedName([
        ...(group === undefined ? [] : [[ORGANIZATION, group] as const]),
        [COMMON_NAME, name] as const,
      ]),
      CLIENT_AUTH,
    );
  const hosts = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  return {
    ca: pemOf('CERTIFICATE', buildCaCertificate(CA, caKeys)),
    server: issue(distinguishedName([[COMMON_NAME, 'kube-apiserver']]), SERVER_AUTH, [
      ...hosts.map(generalName.dns),
      ...new Set(['127.0.0.1', ...addresses]).values().map(generalName.ip),
    ]),
    admin: user('admin', 'system:masters'),
    serviceAccounts: {
      privateKey: privateKeyPem(tokens),
      publicKey: tokens.publicKey.export({ type: 'spki', format: 'pem' }) as string,
    },
    user,
    host: (name, address) =>
      issue(distinguishedName([[COMMON_NAME, name]]), SERVER_AUTH, [generalName.dns(name), generalName.ip(address)]),
  };
}
