// That pages for people are true: links and paths lead somewhere, examples are accepted, quoted messages are the program's own.
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ALL_KINDS } from '../../src/api/index.ts';
import type { KubeObject } from '../../src/api/kind.ts';
import { validateObject } from '../../src/api/validate.ts';
import { loadManifests } from '../../src/commands/manifest-files.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGES = [
  'CONTRIBUTING.md',
  'SECURITY.md',
  'charts/countersign/README.md',
  'docs/backup.md',
  'docs/claims.md',
  'docs/e2e.md',
  'docs/first-steps.md',
  'docs/install.md',
  'docs/rfc8555.md',
  'docs/runbooks.md',
  'docs/tenants.md',
  'docs/troubleshooting.md',
  'docs/walkthrough.md',
];
const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');
const spans = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);

/** As GitHub names headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

test.each(PAGES)('links of %s lead somewhere', (page) => {
  const broken = [...read(page).matchAll(/\]\(([^)]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^https?:/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchors(read(file)).includes(anchor);
    });
  expect(broken).toEqual([]);
});

test.each(PAGES)('files and folders that %s names exist', (page) => {
  const paths = spans(read(page)).filter((span) => /^[\w.-]+(\/[\w.-]+)*(\/|\/[\w.-]+\.\w+)$/.test(span));
  // What users make themselves.
  const ours = paths.filter((path) => !/^(countersign-data|dist|my-manifests)\//.test(path));
  expect(ours.filter((path) => ![path, join('src', path)].some((each) => existsSync(join(ROOT, each))))).toEqual([]);
});

test('commands of the pages are scripts that package.json has', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const run = PAGES.flatMap((page) =>
    [...read(page).matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, name = '']) => name),
  );
  expect(run.length).toBeGreaterThan(10);
  expect(run.filter((name) => !(name in scripts))).toEqual([]);
});

test.each([
  ['docs/claims.md', ['CertificateClaim', 'Secret', 'CertificateClaim']],
  ['docs/install.md', []],
  ['docs/backup.md', []],
])('the examples of %s are accepted', (page, more) => {
  const objects = [...read(page).matchAll(/^```yaml[^\n]*\n(apiVersion:.*?)^```$/gms)].flatMap(([, yaml = '']) =>
    parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject),
  );
  const first = ['ClusterCAIssuer', 'CertificateRequestPolicy', 'CertificateClaim'];
  expect(objects.map(({ kind }) => kind)).toEqual([...first, ...more]);
  for (const object of objects) {
    const kind = ALL_KINDS.find((each) => each.kind === object.kind);
    if (!kind) throw new Error(`no kind ${object.kind}`);
    expect(validateObject(kind, object), object.metadata.name).toEqual([]);
  }
});

test('the examples of docs/tenants.md and of the folder of examples are accepted', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-pages-'));
  const [yaml = ''] = [...read('docs/tenants.md').matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text);
  writeFileSync(join(folder, 'page.yaml'), yaml);
  const folders = globSync('examples/*/manifests', { cwd: ROOT }).map((path) => join(ROOT, path));
  expect(folders.length).toBeGreaterThan(1);
  for (const each of [folder, ...folders]) {
    const { manifests, errors } = loadManifests(each);
    expect(errors).toEqual([]);
    expect(manifests.length).toBeGreaterThan(0);
  }
  rmSync(folder, { recursive: true });
});

/** What other programs say. */
const FOREIGN =
  /^(additional properties|exists and cannot be imported|namespaces "|AttributeError|RemoteDisconnected|SSL certificate|certificate verify|connection closed|exceeded quota|maximum memory usage)/;
/** A message in the source has gaps where names and numbers go; between them it has this many characters in a row. */
const IN_A_ROW = 12;

function isSaid(message: string, source: string): boolean {
  const length = Math.min(IN_A_ROW, message.length);
  return Array.from({ length: message.length - length + 1 }, (_, at) => message.slice(at, at + length)).some((part) =>
    source.includes(part),
  );
}

test.each(['docs/troubleshooting.md', 'docs/claims.md'])('what %s quotes is what the program says', (page) => {
  const files = [
    ...globSync('src/**/*.ts', { cwd: ROOT }).filter((file) => !file.endsWith('.test.ts')),
    'examples/quickstart/start.ts',
    'charts/countersign/templates/_helpers.tpl',
  ];
  const source = files.map(read).join('\n');
  const firstCells = read(page)
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| | ') && !line.startsWith('| ---'))
    .map((line) => line.split(' | ')[0] ?? '');
  const quoted = firstCells.flatMap(spans).filter((span) => !FOREIGN.test(span));
  const reasons = quoted.filter((span) => /^[A-Z]\w+$/.test(span));
  expect(reasons.length).toBeGreaterThan(5);
  expect(reasons.filter((reason) => !source.includes(`'${reason}'`))).toEqual([]);
  const messages = quoted.filter((span) => span.includes(' '));
  expect(messages.filter((message) => !isSaid(message, source))).toEqual([]);
});

test('a message that nobody says is noticed', () => {
  expect(isSaid('the moon is not made of cheese', "'the sun is not'")).toBe(false);
  expect(isSaid('port 8443 is taken: end what holds it', '`port ${port} is taken: end what holds it`')).toBe(true);
});
