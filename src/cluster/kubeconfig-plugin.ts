// Credentials by exec plugins and auth providers of a kubeconfig, through the Kubernetes client library. That is loaded only when
// such a user is met: it is 77 MB of resident memory.
import { resolve } from 'node:path';
import type { RequestOptions } from 'node:https';
import type { Clock } from '../ports.ts';
import { type ApiAccess, createMaterial, withoutUndefined } from './kubernetes-access.ts';

/** How long what a plugin said is taken as it is; the library itself minds the expiry it was told. */
const REMEMBER_MS = 5_000;
/** A plugin may ask its own server, not wait for a person. */
const PLUGIN_MS = 30_000;

interface Entry {
  name: string;
  body: Record<string, unknown>;
  folder: string;
}

export function pluginAccess(given: {
  cluster: Entry;
  user: Entry;
  clock: Clock;
}): (fresh: boolean) => Promise<ApiAccess> {
  const { clock } = given;
  const materialOf = createMaterial();
  let library: Promise<Plugin> | undefined;
  let known: { access: Promise<ApiAccess>; at: number } | undefined;

  async function ask(fresh: boolean): Promise<ApiAccess> {
    if (fresh || !library) library = createPlugin(given.cluster, given.user);
    const apply = await library;
    const options: RequestOptions = {};
    await withinTime(clock, apply(options));
    const { ca, cert, key, servername } = options;
    const headers = Object.entries((options.headers ?? {}) as Record<string, string>);
    return {
      tls: materialOf(withoutUndefined({ ca: pem(ca), cert: pem(cert), key: pem(key), servername })),
      headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
    };
  }

  return (fresh) => {
    const now = clock.monotonic();
    if (!fresh && known && now - known.at < REMEMBER_MS) return known.access;
    const access = ask(fresh);
    known = { access, at: now };
    access.catch(() => {
      if (known?.access === access) known = undefined;
    });
    return access;
  };
}

type Plugin = (options: RequestOptions) => Promise<void>;

async function createPlugin(cluster: Entry, user: Entry): Promise<Plugin> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const chosen = { name: 'chosen', cluster: cluster.name, user: user.name };
  config.loadFromString(
    JSON.stringify({
      clusters: [{ name: cluster.name, cluster: absolute(cluster) }],
      users: [{ name: user.name, user: absolute(user) }],
      contexts: [{ name: chosen.name, context: chosen }],
      'current-context': chosen.name,
    }),
  );
  return (options) => config.applyToHTTPSOptions(options);
}

const PATHS = ['certificate-authority', 'client-certificate', 'client-key'];

function absolute({ body, folder }: Entry): Record<string, unknown> {
  const at = (field: string, value: unknown) =>
    PATHS.includes(field) && typeof value === 'string' ? resolve(folder, value) : value;
  return Object.fromEntries(Object.entries(body).map(([field, value]) => [field, at(field, value)]));
}

async function withinTime(clock: Clock, work: Promise<void>): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(PLUGIN_MS, over.signal).then(() => {
    throw new Error('the credential plugin of the kubeconfig gave no answer in time');
  });
  late.catch(() => undefined);
  await Promise.race([work, late]).finally(() => over.abort());
}

/** The library hands on what files and plugins hold: text or its bytes. */
function pem(value: unknown): string | undefined {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : undefined;
}
