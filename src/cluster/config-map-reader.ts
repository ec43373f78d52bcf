// ConfigMaps of one namespace as backends read them: live.
import { ConfigMapKind } from '../api/core.ts';
import type { Right } from '../api/right.ts';
import type { Cluster, ConfigMapReader } from '../ports.ts';

export const CONFIG_MAP_RIGHTS: readonly Right[] = [
  {
    kind: ConfigMapKind,
    verbs: ['get'],
    in: ['operator'],
    why: 'read the CA bundles that issuers name',
  },
];

export function createConfigMapReader(cluster: Pick<Cluster, 'get'>, namespace: string): ConfigMapReader {
  return {
    async read(name) {
      const found = await cluster.get(ConfigMapKind, { namespace, name });
      const texts = Object.entries(found?.data ?? {}).filter(([, value]) => typeof value === 'string');
      return found && Object.fromEntries(texts);
    },
  };
}
