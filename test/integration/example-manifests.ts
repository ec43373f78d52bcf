// What people copy: the manifests of examples/ and the YAML of the pages, as far as it is of our kinds.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { OWN_KINDS } from '../../src/api/index.ts';
import { apiVersion, type Kind, type KubeObject } from '../../src/api/kind.ts';

const ROOT = join(import.meta.dirname, '../..');

export interface Example {
  /** File, and which document of it. */
  where: string;
  kind: Kind;
  object: KubeObject;
}

export function exampleManifests(): Example[] {
  const manifests = globSync('examples/**/*.{yaml,yml,json}', { cwd: ROOT });
  const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT });
  return [
    ...manifests.sort().flatMap((file) => documents(file, readFileSync(join(ROOT, file), 'utf8'))),
    ...pages.sort().flatMap((file) => {
      const page = readFileSync(join(ROOT, file), 'utf8');
      return [...page.matchAll(/^```ya?ml\n(.*?)^```$/gms)].flatMap(([, yaml = '']) => documents(file, yaml));
    }),
  ];
}

function documents(file: string, yaml: string): Example[] {
  return parseAllDocuments(yaml).flatMap((document, i) => {
    if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0]?.message}`);
    const object = document.toJS() as Partial<KubeObject> | null;
    const kind = OWN_KINDS.find(
      (each) => each.kind === object?.kind && (object.apiVersion ?? apiVersion(each)) === apiVersion(each),
    );
    if (!kind || !object?.metadata) return [];
    // Excerpts leave out what goes without saying; the namespaces of the others need not exist.
    const namespace = kind.namespaced ? { namespace: 'default' } : {};
    const whole = { ...object, apiVersion: apiVersion(kind), metadata: { ...object.metadata, ...namespace } };
    return [{ where: `${file}, ${kind.kind} ${object.metadata.name}, ${i + 1}`, kind, object: whole as KubeObject }];
  });
}
