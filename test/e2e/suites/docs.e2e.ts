// Every command of the pages, as it stands there, in a copy of this checkout.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import { certManagerInstalled } from '../cert-manager.ts';
import { connectCluster } from '../cluster.ts';
import { ROOT, stepsOf } from '../pages.ts';
import { INSTALLED, INSTALLING, WITH_CERT_MANAGER } from '../run-pages.ts';
import { readSession } from '../session.ts';

const cluster = connectCluster();
const checkout = join(cluster.folder, 'countersign');
/** What the pages have made for nodes, which they cannot give them: that differs by cluster. */
const ARCHIVE = join(checkout, 'countersign.tar');

beforeAll(() => {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const files = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\0');
  for (const file of files.filter((each) => each !== '' && existsSync(join(ROOT, each)))) {
    mkdirSync(dirname(join(checkout, file)), { recursive: true });
    cpSync(join(ROOT, file), join(checkout, file));
  }
  // The time of a commit goes into the image.
  execFileSync('git', ['clone', '--quiet', '--bare', '--shared', ROOT, join(checkout, '.git')]);
  execFileSync('git', ['config', 'core.bare', 'false'], { cwd: checkout });
  givePredecessors();
});

/** What those who come from Serles and ACMEMS have at hand. */
function givePredecessors(): void {
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', 'client.pem'];
  execFileSync('openssl', ['req', '-x509', ...key, '-out', 'ejbca-ca.pem', '-subj', '/CN=acme', '-days', '30'], {
    cwd: checkout,
    stdio: 'ignore',
  });
  const certificate = readFileSync(join(checkout, 'ejbca-ca.pem'));
  appendFileSync(join(checkout, 'client.pem'), certificate);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
  writeFileSync(join(checkout, 'account.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
  writeFileSync(join(checkout, 'tsig.key'), randomBytes(32).toString('base64'));
}

async function remove(): Promise<void> {
  await cluster.command('helm', ['uninstall', RELEASE, '--namespace', NAMESPACE, '--wait']);
  await cluster.kubectl('delete', 'crd', '--selector=app.kubernetes.io/name=countersign', '--ignore-not-found');
  await cluster.kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found');
}

/** Named by where its block begins. */
async function run(page: string, line: number, text: string): Promise<void> {
  const script = `cd '${checkout}' && set -euo pipefail\n${text}`;
  const { status, stdout, stderr } = await cluster.command('bash', ['-c', script]);
  expect(status, `${page}:${line}\n${text}${stdout.slice(-4000)}${stderr.slice(-4000)}`).toBe(0);
  if (!existsSync(ARCHIVE)) return;
  const [program = '', ...args] = readSession().load;
  expect(await cluster.command(program, [...args, ARCHIVE])).toMatchObject({ status: 0 });
  rmSync(ARCHIVE);
}

function testPage(page: string): void {
  for (const step of stepsOf(page)) {
    if ('write' in step)
      test(`${page}:${step.line}: ${step.file}`, () => writeFileSync(join(checkout, step.file), step.write));
    else if ('run' in step) test(`${page}:${step.line}`, () => run(page, step.line, step.run));
    else console.log(`${page}:${step.line}: not run: ${step.leave}`);
  }
}

describe.each(INSTALLING)('%s, where nothing is installed', (page) => {
  beforeAll(remove);
  testPage(page);
});

describe.each(INSTALLED)('%s', (page) => {
  beforeAll(() => cluster.installed());
  testPage(page);
});

describe.each(WITH_CERT_MANAGER)('%s', (page) => {
  beforeAll(() => Promise.all([cluster.installed(), certManagerInstalled(cluster)]));
  testPage(page);
  afterAll(async () => {
    await cluster.kubectl('delete', 'namespace', 'payments', '--wait=false', '--ignore-not-found');
    await cluster.kubectl('delete', 'clusterissuer', 'corporate', '--ignore-not-found');
  });
});
