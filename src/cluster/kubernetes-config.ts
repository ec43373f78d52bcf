// Where the API server is and who we are to it: inside a Pod from the mounted ServiceAccount, elsewhere from a kubeconfig.
// Files are read again as they rotate.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Clock } from '../ports.ts';
import { loadKubeconfig } from './kubeconfig.ts';
import { type ApiAccess, type ApiConfig, createMaterial } from './kubernetes-access.ts';
import { createFile } from './kubernetes-file.ts';

export interface ApiConfigOptions {
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** Path of a kubeconfig, before all else. */
  kubeconfig?: string;
  /** Of the kubeconfig; its current one when absent. */
  context?: string;
  /** Where a Pod finds its ServiceAccount. */
  serviceAccount?: string;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The given kubeconfig, else those of KUBECONFIG, else the Pod's ServiceAccount, else ~/.kube/config. Throws an Error that says
 * what is wrong with it, or that there is none.
 */
export async function loadApiConfig(options: ApiConfigOptions): Promise<ApiConfig> {
  const { env, kubeconfig } = options;
  const listed = (kubeconfig ?? env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  if (listed.length > 0) return loadKubeconfig(listed, options);
  if (env.KUBERNETES_SERVICE_HOST !== undefined) return inCluster(options);
  const own = join(env.HOME ?? homedir(), '.kube', 'config');
  if (existsSync(own)) return loadKubeconfig([own], options);
  throw new Error(
    'no cluster: not in a Pod (KUBERNETES_SERVICE_HOST), and neither --kubeconfig nor KUBECONFIG names one',
  );
}

function inCluster({ env, clock, serviceAccount = SERVICE_ACCOUNT }: ApiConfigOptions): ApiConfig {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  const token = createFile(join(serviceAccount, 'token'), clock);
  const ca = createFile(join(serviceAccount, 'ca.crt'), clock);
  const materialOf = createMaterial();
  const read = (fresh: boolean): ApiAccess => ({
    tls: materialOf({ ca: ca.read(fresh) }),
    headers: { authorization: `Bearer ${token.read(fresh).trim()}` },
  });
  read(true);
  const namespaceFile = join(serviceAccount, 'namespace');
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    namespace: existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8').trim() : undefined,
    access: async (fresh) => read(fresh),
  };
}
