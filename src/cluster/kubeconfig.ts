// Reads kubeconfig files: tokens and client certificates by itself, credential plugins through the Kubernetes client library.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import type { Clock } from '../ports.ts';
import { type ApiAccess, type ApiConfig, createMaterial, withoutUndefined } from './kubernetes-access.ts';
import { createFile } from './kubernetes-file.ts';
import { pluginAccess } from './kubeconfig-plugin.ts';

type Section = Record<string, unknown>;
/** A named entry and the folder that its relative paths start from. */
interface Entry {
  name: string;
  body: Section;
  folder: string;
}

/** Throws an Error naming file and fault. Of several files the first that has an entry decides. */
export async function loadKubeconfig(
  paths: readonly string[],
  { clock, context }: { clock: Clock; context?: string },
): Promise<ApiConfig> {
  const files = paths.map(readConfig);
  const current = context ?? files.map(({ root }) => text(root['current-context'])).find((name) => name !== undefined);
  const where = paths.join(', ');
  if (current === undefined) throw new Error(`${where}: has no current-context`);
  const find = (list: string, item: string, name: string | undefined): Entry => {
    const found = files.flatMap((file) => entriesOf(file, list, item)).find((entry) => entry.name === name);
    if (!found) throw new Error(`${where}: no entry of ${list} is named ${name ?? '(nothing)'}`);
    return found;
  };
  const chosen = find('contexts', 'context', current);
  const cluster = find('clusters', 'cluster', text(chosen.body.cluster));
  const user = find('users', 'user', text(chosen.body.user));
  const server = serverOf(cluster, where);
  const config = { server, namespace: text(chosen.body.namespace) };
  if (user.body.exec !== undefined || user.body['auth-provider'] !== undefined) {
    return { ...config, access: pluginAccess({ cluster, user, clock }) };
  }
  const access = staticAccess(cluster, user, clock);
  access(true);
  return { ...config, access: async (fresh) => access(fresh) };
}

function readConfig(path: string): { root: Section; folder: string; path: string } {
  let root: unknown;
  try {
    root = parse(readFileSync(path, 'utf8'), { maxAliasCount: 0 });
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (!isSection(root)) throw new Error(`${path}: is no kubeconfig`);
  return { root, folder: dirname(resolve(path)), path };
}

function entriesOf({ root, folder }: { root: Section; folder: string }, list: string, item: string): Entry[] {
  const entries: unknown = root[list];
  if (!Array.isArray(entries)) return [];
  return entries.filter(isSection).flatMap((entry) => {
    const [name, body] = [text(entry.name), entry[item]];
    return name !== undefined && isSection(body) ? [{ name, body, folder }] : [];
  });
}

function serverOf({ body, name }: Entry, where: string): URL {
  const server = text(body.server);
  const about = `${where}: cluster ${name}`;
  if (server === undefined || !URL.canParse(server)) throw new Error(`${about} has no usable server`);
  if (!server.startsWith('https://')) throw new Error(`${about}: server must begin with https://`);
  if (body['insecure-skip-tls-verify'] === true)
    throw new Error(`${about}: insecure-skip-tls-verify is not supported; give certificate-authority`);
  if (body['proxy-url'] !== undefined) throw new Error(`${about}: proxy-url is not supported`);
  return new URL(server);
}

function staticAccess(cluster: Entry, user: Entry, clock: Clock): (fresh: boolean) => ApiAccess {
  const ca = source(cluster, 'certificate-authority', clock);
  const cert = source(user, 'client-certificate', clock);
  const key = source(user, 'client-key', clock);
  const token = tokenOf(user, clock);
  if (!token && !cert) throw new Error(`user ${user.name} has neither token nor client certificate that is supported`);
  const materialOf = createMaterial();
  const servername = text(cluster.body['tls-server-name']);
  const impersonated = impersonation(user.body);
  return (fresh) => ({
    tls: materialOf(withoutUndefined({ ca: ca?.(fresh), cert: cert?.(fresh), key: key?.(fresh), servername })),
    headers: { ...impersonated, ...(token ? { authorization: `Bearer ${token(fresh).trim()}` } : {}) },
  });
}

type Source = (fresh: boolean) => string;

/** `<field>-data` in base64, else the file that `<field>` names. */
function source({ body, folder }: Entry, field: string, clock: Clock): Source | undefined {
  const data = text(body[`${field}-data`]);
  if (data !== undefined) {
    const decoded = Buffer.from(data, 'base64').toString('utf8');
    return () => decoded;
  }
  return fileSource(text(body[field]), folder, clock);
}

/** The file wins, as it does for kubectl: it is what rotates. */
function tokenOf({ body, folder }: Entry, clock: Clock): Source | undefined {
  const file = fileSource(text(body.tokenFile), folder, clock);
  const token = text(body.token);
  return file ?? (token === undefined ? undefined : () => token);
}

function fileSource(path: string | undefined, folder: string, clock: Clock): Source | undefined {
  if (path === undefined) return undefined;
  const file = createFile(resolve(folder, path), clock);
  return (fresh) => file.read(fresh);
}

function impersonation(user: Section): Record<string, string | string[]> {
  const as = text(user.as);
  const groups: unknown = user['as-groups'];
  return {
    ...(as === undefined ? {} : { 'impersonate-user': as }),
    ...(Array.isArray(groups) ? { 'impersonate-group': groups.map(String) } : {}),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
