// Images that are made here, without a registry, as OCI archives in <cache>/e2e: each is made once for what goes into it.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { ejbcaProgram } from '../support/ejbca-double.ts';
import { cacheFolder } from '../support/kubernetes-programs.ts';

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(cacheFolder(), '../e2e');
const STORE = ['--storage-driver=vfs', `--root=${FOLDER}/store/root`, `--runroot=${FOLDER}/store/run`];

export interface Image {
  /** `localhost/<name>:<tag>`. The tag stands for the content. */
  reference: string;
  /** Path of an OCI archive that holds it under that name. */
  archive: string;
  /** What its making said, line by line; empty where nothing is worth saying. */
  facts: readonly string[];
}

/** Programs whose own images say that they are not run as root. */
const UNPRIVILEGED = /^cert-manager-/;

/** An image of one program of `node scripts/build-tools.ts`, which is its entry point, and nothing else. */
export async function programImage(program: string): Promise<Image> {
  const file = join(cacheFolder(), program);
  const user = UNPRIVILEGED.test(program) ? ['--user', '65532:65532'] : [];
  const hash = createHash('sha256').update(user.join(' '));
  for await (const part of createReadStream(file)) hash.update(part as Buffer);
  return made(program, hash.digest('hex'), async (target, reference) => {
    const container = await buildah('from', 'scratch');
    await buildah('copy', '--quiet', container, file, `/${program}`);
    await buildah('config', '--entrypoint', JSON.stringify([`/${program}`]), ...user, container);
    await finish(container, reference, target);
    return [];
  });
}

/** Modules of Java that its libraries name. */
const MODULES = 'java.se,jdk.crypto.ec,jdk.httpserver,jdk.unsupported';

/** The double of EJBCA in /ejbca and a Java for it in /java, that of this machine, whose release of Debian `base` is. */
export async function ejbcaImage(base: Image): Promise<Image> {
  const program = ejbcaProgram();
  if ('missing' in program) throw new Error(program.missing);
  const folder = dirname(program.jar);
  const { stderr: version } = await execute(program.java, ['-version']);
  const inputs = [base.reference, version, readFileSync(join(folder, '.inputs'), 'utf8')].join();
  return made('ejbca', createHash('sha256').update(inputs).digest('hex'), async (target, reference) => {
    const scratch = await mkdtemp(join(tmpdir(), 'countersign-image-'));
    try {
      const java = join(scratch, 'java');
      const bare = ['--strip-debug', '--no-header-files', '--no-man-pages'];
      await execute('jlink', ['--add-modules', MODULES, ...bare, '--output', java], { maxBuffer: 2 ** 26 });
      const container = await buildah('from', `oci-archive:${base.archive}`);
      await buildah('copy', '--quiet', container, java, '/java');
      await buildah('copy', '--quiet', container, folder, '/ejbca');
      await finish(container, reference, target);
      await buildah('rmi', base.reference);
      return [];
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/** An image of a minimal Debian (of this machine's release and sources) with packages of it. */
export async function debianImage(name: string, packages: readonly string[]): Promise<Image> {
  const release = readFileSync('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] ?? 'stable';
  const recipe = JSON.stringify([suite, packages]);
  return made(name, createHash('sha256').update(recipe).digest('hex'), async (target, reference) => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-image-'));
    try {
      const archive = join(folder, 'root.tar');
      const sources = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].filter((file) =>
        existsSync(file),
      );
      const include = `--include=${['ca-certificates', ...packages].join(',')}`;
      await execute('mmdebstrap', ['--quiet', '--variant=minbase', include, suite, archive, ...sources], {
        maxBuffer: 2 ** 26,
      });
      const container = await buildah('from', 'scratch');
      await buildah('add', '--quiet', container, archive, '/');
      await finish(container, reference, target);
      return [];
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** The image of the product, from Dockerfile. */
export async function productImage(): Promise<Image> {
  const hash = createHash('sha256').update(process.versions.node);
  const sources = [
    'Dockerfile',
    'package-lock.json',
    ...globSync('scripts/{bundle.ts,build-image.ts,image/**}', { cwd: ROOT }),
  ];
  for (const file of [
    ...sources,
    ...globSync('src/**/*.ts', { cwd: ROOT }),
    ...globSync('crds/*', { cwd: ROOT }),
  ].sort()) {
    const path = join(ROOT, file);
    if (!file.endsWith('.test.ts') && existsSync(path) && /\.\w+$|Dockerfile$/.test(file))
      hash.update(`${file}\n`).update(readFileSync(path));
  }
  return made('countersign', hash.digest('hex'), async (target, reference) => {
    const script = join(ROOT, 'scripts/build-image.ts');
    const args = [script, '--local', '--tag', reference, '--archive', target];
    const { stdout } = await execute(process.execPath, args, { cwd: ROOT, maxBuffer: 2 ** 26 });
    return stdout.trim().split('\n');
  });
}

async function buildah(...args: string[]): Promise<string> {
  mkdirSync(FOLDER, { recursive: true });
  return (await execute('buildah', [...STORE, ...args], { maxBuffer: 2 ** 26 })).stdout.trim();
}

async function finish(container: string, reference: string, target: string): Promise<void> {
  await buildah('commit', '--quiet', '--rm', container, reference);
  await buildah('push', '--quiet', reference, `oci-archive:${target}:${reference}`);
  await buildah('rmi', reference);
}

const DAY = 86_400_000;

/** Of yesterday and before: younger ones may be in use by another checkout. */
function removeOld(): void {
  const files = globSync(join(FOLDER, '*-????????????.{tar,json}'));
  for (const file of files.filter((each) => Date.now() - statSync(each).mtimeMs > DAY)) rmSync(file, { force: true });
}

/** `make` writes the archive and gives the facts. */
async function made(
  name: string,
  inputs: string,
  make: (target: string, reference: string) => Promise<readonly string[]>,
): Promise<Image> {
  const tag = inputs.slice(0, 12);
  const reference = `localhost/${name}:${tag}`;
  const [archive, facts] = [join(FOLDER, `${name}-${tag}.tar`), join(FOLDER, `${name}-${tag}.json`)];
  if (!existsSync(archive) || !existsSync(facts)) {
    mkdirSync(FOLDER, { recursive: true });
    const fresh = `${archive}.${process.pid}`;
    try {
      writeFileSync(facts, JSON.stringify(await make(fresh, reference)));
      renameSync(fresh, archive);
      removeOld();
    } finally {
      rmSync(fresh, { force: true });
    }
  }
  const now = new Date();
  for (const file of [archive, facts]) utimesSync(file, now, now);
  return { reference, archive, facts: JSON.parse(readFileSync(facts, 'utf8')) as string[] };
}
