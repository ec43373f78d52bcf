// Who may import whom (docs/adr/0001). A new edge is a reviewed one-line change here.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '..', 'src');

/** Folder or file under src → what it may import of src, and which packages. `node:*` is free except in domain and ports. */
const MAY: Record<string, { src: string[]; packages: string[] | 'any' }> = {
  api: { src: ['api', 'domain'], packages: ['typebox', 'typebox/compile'] },
  domain: { src: ['domain', 'api'], packages: ['node:crypto', 'node:net', 'tr46', 'typebox'] },
  'ports.ts': { src: ['domain', 'api'], packages: [] },
  issuance: { src: ['issuance', 'ports.ts', 'domain', 'api'], packages: ['node:crypto'] },
  'acme-server': { src: ['acme-server', 'issuance', 'ports.ts', 'domain', 'api'], packages: 'any' },
  distribution: { src: ['distribution', 'ports.ts', 'domain', 'api'], packages: 'any' },
  controllers: { src: ['controllers', 'runtime', 'issuance', 'ports.ts', 'domain', 'api'], packages: 'any' },
  runtime: { src: ['runtime', 'ports.ts', 'domain', 'api'], packages: ['node:crypto'] },
  validators: { src: ['validators', 'ports.ts', 'domain', 'api'], packages: 'any' },
  'backends/acme': { src: ['backends/acme', 'backends/https', 'ports.ts', 'domain', 'api'], packages: 'any' },
  // The account at the ACME server is kept by our own client.
  'backends/certbot': {
    src: ['backends/certbot', 'backends/acme', 'backends/https', 'ports.ts', 'domain', 'api'],
    packages: 'any',
  },
  'backends/ca': { src: ['backends/ca', 'ports.ts', 'domain', 'api'], packages: 'any' },
  'backends/https': { src: ['backends/https', 'ports.ts', 'domain', 'api'], packages: 'any' },
  'backends/ejbca': { src: ['backends/ejbca', 'backends/https', 'ports.ts', 'domain', 'api'], packages: 'any' },
  'backends/webhook': { src: ['backends/webhook', 'backends/https', 'ports.ts', 'domain', 'api'], packages: 'any' },
  'backends/index.ts': {
    src: [
      'backends/acme',
      'backends/ca',
      'backends/certbot',
      'backends/ejbca',
      'backends/webhook',
      'ports.ts',
      'domain',
      'api',
    ],
    packages: 'any',
  },
  cluster: { src: ['cluster', 'ports.ts', 'domain', 'api'], packages: 'any' },
  telemetry: { src: ['telemetry', 'ports.ts', 'domain', 'api'], packages: 'any' },
  expressions: { src: ['expressions', 'ports.ts', 'domain', 'api'], packages: 'any' },
};

/** commands/, main.ts, config.ts and cli/ are the wiring: the only places that know all of it. */
const WIRING = ['commands', 'main.ts', 'config.ts', 'types'];

interface Import {
  file: string;
  target: string;
}

function imports(): Import[] {
  return globSync('**/*.ts', { cwd: SRC })
    .filter((file) => !file.endsWith('.test.ts') && !file.endsWith('.d.ts'))
    .flatMap((file) => {
      const source = readFileSync(join(SRC, file), 'utf8');
      const specifiers = [
        ...source.matchAll(
          /(?:^|\n)\s*(?:import|export)\s(?:[^'"]*?from\s)?['"]([^'"]+)['"]|import\(['"]([^'"]+)['"]\)/g,
        ),
      ];
      return specifiers.map((match) => {
        const specifier = match[1] ?? match[2] ?? '';
        const target = specifier.startsWith('.')
          ? `src:${relative(SRC, normalize(join(SRC, dirname(file), specifier)))}`
          : specifier;
        return { file, target };
      });
    });
}

function ruleFor(file: string) {
  const key = Object.keys(MAY).find((prefix) => file === prefix || file.startsWith(`${prefix}/`));
  return key === undefined ? undefined : MAY[key];
}

function violation({ file, target }: Import): string | undefined {
  const rule = ruleFor(file);
  if (!rule)
    return WIRING.some((w) => file === w || file.startsWith(`${w}/`)) ? undefined : `${file} is in no known place`;
  if (target.startsWith('src:')) {
    const path = target.slice(4);
    return rule.src.some((may) => path === may || path.startsWith(`${may}/`)) ? undefined : `${file} imports ${path}`;
  }
  if (rule.packages === 'any') return undefined;
  return rule.packages.includes(target) ? undefined : `${file} imports ${target}`;
}

test('every import follows the direction domain ← ports ← issuance ← doors, adapters apart', () => {
  const found = imports();
  expect(found.length).toBeGreaterThan(20);
  expect(found.flatMap((edge) => violation(edge) ?? [])).toEqual([]);
});

test('a planted violation is caught', () => {
  expect(violation({ file: 'domain/order.ts', target: 'src:cluster/embedded.ts' })).toBeDefined();
  expect(violation({ file: 'domain/order.ts', target: 'node:fs' })).toBeDefined();
  expect(violation({ file: 'validators/http-01.ts', target: 'src:cluster/embedded.ts' })).toBeDefined();
});

test('every property test has an end: fast-check is imported in one place', () => {
  const importers = globSync('{src,test}/**/*.ts', { cwd: join(SRC, '..') }).filter((file) =>
    /from 'fast-check'/.test(readFileSync(join(SRC, '..', file), 'utf8')),
  );
  expect(importers.filter((file) => file !== 'test/architecture.test.ts')).toEqual(['test/support/property.ts']);
});
