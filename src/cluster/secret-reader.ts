// Secrets of one namespace as backends and doors read them: live, never cached whole.
import { SecretKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cluster, SecretReader } from '../ports.ts';

export const OPERATOR_SECRET_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['get'],
    in: ['operator'],
    why: 'read CA keys, external account binding keys, sealing keys and the serving CA when they are needed; issuers name them, so no list of names can stand here',
  },
  {
    kind: SecretKind,
    verbs: ['list', 'watch'],
    in: ['operator'],
    why: 'notice a new CA key or chain; the metadata alone is asked for and kept',
  },
  {
    kind: SecretKind,
    verbs: ['create'],
    in: ['operator'],
    why: 'make sealing keys, the serving CA, self-signed CAs and the keys of accounts at ACME CAs elsewhere, once; never written over',
  },
];

export const TENANT_SECRET_RIGHTS: readonly Right[] = [
  {
    kind: SecretKind,
    verbs: ['get', 'list', 'watch'],
    in: ['tenants'],
    why: 'read the CA keys and external account binding keys that CAIssuers name, and notice new ones',
  },
  { kind: SecretKind, verbs: ['create'], in: ['tenants'], why: 'make their self-signed CAs and account keys, once' },
];

export function createSecretReader(cluster: Pick<Cluster, 'get' | 'create'>, namespace: string): SecretReader {
  return {
    read: async (name) => {
      const secret = await cluster.get(SecretKind, { namespace, name });
      return (
        secret &&
        Object.fromEntries(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]))
      );
    },
    create: async (name, type, data) => {
      try {
        const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.toString('base64')]));
        await cluster.create(SecretKind, { metadata: { name, namespace }, type, data: encoded });
        return true;
      } catch (error) {
        if (isClusterError(error, 'AlreadyExists')) return false;
        throw error;
      }
    },
  };
}
