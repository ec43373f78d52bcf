// CAs in Secrets, for tests of the `ca` backend. The certificates come from test/support, not from the code under test.
import type { ClusterCAIssuer } from '../../src/api/ca-issuer.ts';
import type { SecretReader } from '../../src/ports.ts';
import { basicConstraints, buildCertificate, keyUsage, pemOf, privateKeyPem } from '../support/certificate-builder.ts';
import { type Der, type Extension, octetString } from '../support/der-writer.ts';
import { createKey, type KeyKind, type TestKey } from './models.ts';

const DAY_MS = 86_400_000;

export interface TestAuthority {
  subject: string | Der;
  keys: TestKey;
  der: Buffer;
  pem: string;
  key: string;
}

export interface AuthorityOptions {
  subject?: string | Der;
  kind?: KeyKind;
  keys?: TestKey;
  /** The CA that signs it; itself when absent. */
  parent?: TestAuthority;
  /** In place of CA:TRUE and keyCertSign, cRLSign. */
  basics?: readonly Extension[];
  extensions?: readonly Extension[];
  notBefore?: Date;
  notAfter?: Date;
}

export function createAuthority(options: AuthorityOptions = {}): TestAuthority {
  const keys = options.keys ?? createKey(options.kind ?? 'P-256');
  const subject = options.subject ?? 'Test CA';
  const der = buildCertificate({
    subject,
    issuer: options.parent?.subject ?? subject,
    keys,
    signer: options.parent?.keys ?? keys,
    notBefore: options.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + 3650 * DAY_MS),
    extensions: [...(options.basics ?? [basicConstraints(true), keyUsage(5, 6)]), ...(options.extensions ?? [])],
  });
  return { subject, keys, der, pem: pemOf('CERTIFICATE', der), key: privateKeyPem(keys) };
}

/** subjectKeyIdentifier of these bytes. */
export function subjectKeyIdentifier(bytes: Buffer): Extension {
  return { oid: '2.5.29.14', value: octetString(bytes) };
}

export interface MemorySecrets extends SecretReader {
  values: Map<string, Record<string, Buffer>>;
  /** Reads so far. */
  reads: number;
  /** Thrown by every read while set, as by an API server that is away. */
  failure: Error | undefined;
}

export function createMemorySecrets(initial: Record<string, Record<string, string | Buffer>> = {}): MemorySecrets {
  const bytes = (data: Readonly<Record<string, string | Buffer>>) =>
    Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)]));
  const values = new Map(Object.entries(initial).map(([name, data]) => [name, bytes(data)]));
  return {
    values,
    reads: 0,
    failure: undefined,
    async read(name) {
      this.reads++;
      if (this.failure) throw this.failure;
      return values.get(name);
    },
    async create(name, _type, data) {
      if (values.has(name)) return false;
      values.set(name, bytes(data));
      return true;
    },
  };
}

/** An issuer as the API server has it. */
export function anIssuer(backend: ClusterCAIssuer['spec']['backend'], generation = 1): ClusterCAIssuer {
  return {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: {
      name: 'corporate',
      uid: 'b2b8b0ce-2d5c-4f0e-9a39-3f7f4c1f0a11',
      resourceVersion: '1',
      generation,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { backend },
  };
}
