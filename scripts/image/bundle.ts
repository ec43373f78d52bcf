// The program and all it needs of node_modules as one file, the same bytes for the same sources, with what that file is made of.
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { rolldown } from 'rolldown';
import { renderLicences } from './licences.ts';
import { type Lock, packageOf, renderSbom } from './sbom.ts';

export const ROOT = join(import.meta.dirname, '../..');
export const BUNDLE = 'countersign.mjs';
export const SBOM = 'sbom.cdx.json';
export const LICENCES = 'THIRD-PARTY-LICENSES.txt';

/** Of the library only this file is used (by src/cluster/kubeconfig-plugin.ts): without its index 15 MB of generated API fall away. */
const CLIENT_LIBRARY = 'node_modules/@kubernetes/client-node';

/**
 * The same program in ASCII: one letter beyond Latin-1 and V8 keeps the whole text, which it needs while the program runs, with two bytes
 * for each. Throws where an escape would not mean what it stands for: in raw templates, and behind a backslash.
 */
function escaped(code: string): string {
  const [odd] = /\braw`[^`]*[^\0-\x7f]|\\[^\0-\x7f]/.exec(code) ?? [];
  if (odd !== undefined) throw new Error(`cannot be written in ASCII: ${odd.slice(0, 80)}`);
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Content by file name: the program, its bill of materials, the licences of what it contains. `root`: of the checkout. */
export async function bundle(root: string = ROOT): Promise<Map<string, string>> {
  const build = await rolldown({
    input: join(root, 'src/main.ts'),
    cwd: root,
    platform: 'node',
    tsconfig: false,
    // Paths are those in the checkout, wherever node_modules really is.
    resolve: { symlinks: false, alias: { '@kubernetes/client-node': join(root, CLIENT_LIBRARY, 'dist/config.js') } },
    treeshake: { moduleSideEffects: [{ test: /node_modules\/@kubernetes\/client-node\//, sideEffects: false }] },
    onLog: (level, { message }) => {
      if (level !== 'debug' && level !== 'info') throw new Error(`rolldown: ${message}`);
    },
  });
  const { output } = await build.generate({
    format: 'esm',
    codeSplitting: false,
    // Stack traces stay readable. The names of functions are also what some libraries show.
    minify: false,
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await build.close();
  const [chunk, ...more] = output;
  if (more.length > 0) throw new Error(`one file was wanted, there are ${output.length}`);
  const modules = Object.entries(chunk.modules).flatMap(([file, { renderedLength }]) =>
    renderedLength > 0 ? [relative(root, file)] : [],
  );
  const packages = [...new Set(modules.flatMap((file) => packageOf(file) ?? []))].sort();
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  return new Map([
    [BUNDLE, escaped(chunk.code)],
    [SBOM, renderSbom(lock, packages)],
    [LICENCES, renderLicences(root, lock, packages)],
  ]);
}
