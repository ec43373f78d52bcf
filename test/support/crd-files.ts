// The CustomResourceDefinitions of crds/, and their way into an API server.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type ApiClient, APPLY_PATCH } from './api-client.ts';
import { eventually } from './eventually.ts';

const CRDS = join(import.meta.dirname, '../../crds');

export interface CrdFile {
  file: string;
  definition: {
    metadata: { name: string };
    spec: { group: string; names: { kind: string; plural: string }; versions: { name: string; served: boolean }[] };
  };
}

export function crdFiles(): CrdFile[] {
  return readdirSync(CRDS)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => ({ file, definition: parse(readFileSync(join(CRDS, file), 'utf8')) as CrdFile['definition'] }));
}

/** Applies all of them and waits until every version is served. */
export async function installCrds(api: ApiClient): Promise<void> {
  const files = crdFiles();
  for (const { definition } of files) {
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`;
    await api.expect('PATCH', `${path}?fieldManager=test&force=true`, definition, APPLY_PATCH);
  }
  for (const { definition } of files) await untilServed(api, definition);
}

async function untilServed(api: ApiClient, { spec }: CrdFile['definition']): Promise<void> {
  for (const { name, served } of spec.versions) {
    if (!served) continue;
    const path = `/apis/${spec.group}/${name}/${spec.names.plural}`;
    await eventually(`${path} is served`, async () =>
      (await api.request('GET', `${path}?limit=1`)).status === 200 ? true : undefined,
    );
  }
}
