// Secrets of one namespace as backends and doors read them: live, never cached whole.
import { SecretKind } from '../api/core.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import type { Cluster, SecretReader } from '../ports.ts';

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
