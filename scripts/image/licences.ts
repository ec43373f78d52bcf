// The licences and notices of the packages that went into the bundle, as their terms ask for.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lock, nameOf } from './sbom.ts';

const TEXTS = /^(licen[cs]e|copying|notice|third[-_]party[-_]licen[cs]es?)\b.*$/i;
const RULE = '='.repeat(80);

/** `packages` are keys of the lock. */
export function renderLicences(root: string, lock: Lock, packages: readonly string[]): string {
  const sections = packages.map((key) => {
    const { version = '', license = 'see below' } = lock.packages[key] ?? {};
    const texts = readdirSync(join(root, key))
      .filter((name) => TEXTS.test(name))
      .sort()
      .map((name) =>
        readFileSync(join(root, key, name), 'utf8')
          .replaceAll('\r\n', '\n')
          .trim(),
      );
    const text = texts.length > 0 ? texts.join('\n\n') : `Its package says: ${license}.`;
    return `${RULE}\n${nameOf(key)} ${version} (${license})\n${RULE}\n\n${text}\n`;
  });
  return `Countersign contains these packages.\n\n${sections.join('\n')}`;
}
