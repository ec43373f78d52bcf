// Builds the image of Dockerfile with buildah, and says how large it is and how soon it serves.
//   node scripts/build-image.ts [--local | --node-image IMAGE] [--tag NAME:TAG] [--archive FILE]
// --local      no registry: Node is the one that runs this, on a base that mmdebstrap makes of the Debian this machine is
// --node-image where Node comes from; the default of Dockerfile when absent
// --archive    also writes the image as an OCI archive, for `ctr images import` and `kind load image-archive`
// Images are kept in COUNTERSIGN_CACHE (~/.cache/countersign), apart from those of the machine. Needs root, and buildah from 1.28 on.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { bundle, ROOT } from './image/bundle.ts';

const STORE = join(process.env['COUNTERSIGN_CACHE'] ?? join(homedir(), '.cache', 'countersign'), 'images');
const DEBIAN_SOURCES = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'];
/** What Node links to besides libc. */
const BASE_PACKAGES = 'libstdc++6,ca-certificates';

const OWN_STORE = ['--storage-driver=vfs', `--root=${STORE}/root`, `--runroot=${STORE}/run`];

function buildah(...args: string[]): string {
  return execFileSync('buildah', [...OWN_STORE, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 26,
  }).trim();
}

function isThere(image: string): boolean {
  return buildah('images', '--quiet', '--filter', `reference=${image}`) !== '';
}

/** An image with the Node of this process on a minimal Debian. Made once for each Node. */
function localBase(): string {
  const image = `localhost/countersign-node:${process.versions.node}`;
  if (isThere(image)) return image;
  const release = readFileSync('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] ?? 'stable';
  const sources = DEBIAN_SOURCES.filter((file) => existsSync(file));
  const folder = mkdtempSync(join(tmpdir(), 'countersign-base-'));
  try {
    const archive = join(folder, 'base.tar');
    console.error(`image: making a base of ${suite} with Node ${process.versions.node}`);
    const args = ['--quiet', '--variant=essential', `--include=${BASE_PACKAGES}`, suite, archive, ...sources];
    execFileSync('mmdebstrap', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const container = buildah('from', 'scratch');
    buildah('add', '--quiet', container, archive, '/');
    buildah('copy', '--quiet', container, process.execPath, '/usr/local/bin/node');
    buildah('commit', '--quiet', '--rm', container, image);
    return image;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds since 1970 of the commit, so that two builds of it have the same times in them. */
function timestamp(): string {
  return execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8' }).trim();
}

async function writeBundle(): Promise<void> {
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  for (const [name, content] of await bundle()) writeFileSync(join(ROOT, 'dist', name), content);
}

const MANIFEST = `apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: {name: main}
spec: {backend: {ca: {secretRef: {name: main-ca}, selfSigned: {commonName: Main CA}}}}
`;

/** Milliseconds until `dev` in a container of the image serves with a fresh CA, from the start of its process. */
async function startTime(container: string): Promise<number> {
  const manifests = mkdtempSync(join(tmpdir(), 'countersign-image-'));
  writeFileSync(join(manifests, 'issuer.yaml'), MANIFEST);
  execFileSync('chmod', ['-R', 'a+rX', manifests]);
  const program = ['/usr/local/bin/node', '/app/countersign.mjs', 'dev', '--memory', '--manifests', '/manifests'];
  const ports = ['--port', '18443', '--http-port', '18080'];
  const run = ['run', '--isolation=chroot', '--user=65532:65532', `--volume=${manifests}:/manifests:ro`, container];
  const started = performance.now();
  const child = spawn('buildah', [...OWN_STORE, ...run, '--', ...program, ...ports], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  try {
    return await new Promise((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (/^ready /m.test(output)) resolve(performance.now() - started);
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`the program in the image ended:\n${output}`)));
    });
  } finally {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('close', resolve));
    rmSync(manifests, { recursive: true, force: true });
  }
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

async function main(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const { values } = parseArgs({
    options: {
      local: { type: 'boolean' },
      'node-image': { type: 'string' },
      tag: { type: 'string', default: `localhost/countersign:${version}` },
      archive: { type: 'string' },
    },
  });
  const { tag, archive } = values;
  await writeBundle();
  const nodeImage = values.local ? localBase() : values['node-image'];
  const argument = nodeImage === undefined ? [] : ['--build-arg', `NODE_IMAGE=${nodeImage}`];
  const pull = values.local ? ['--pull-never'] : [];
  const common = ['--quiet', '--isolation=chroot', `--timestamp=${timestamp()}`, ...pull, ...argument];
  buildah('build', ...common, '--file', 'Dockerfile', '--tag', tag, ROOT);

  const target = archive ?? join(mkdtempSync(join(tmpdir(), 'countersign-archive-')), 'image.tar');
  rmSync(target, { force: true });
  buildah('push', '--quiet', tag, `oci-archive:${target}:${tag}`);
  const digest = buildah('inspect', '--type=image', '--format={{.FromImageDigest}}', tag);
  const container = buildah('from', '--pull-never', tag);
  try {
    const at = buildah('mount', container);
    const [, unpacked = '0'] = /^(\d+)/.exec(execFileSync('du', ['-sb', at], { encoding: 'utf8' })) ?? [];
    const node = execFileSync('chroot', [at, '/usr/local/bin/node', '--version'], { encoding: 'utf8' }).trim();
    buildah('umount', container);
    const ms = await startTime(container);
    console.log(`image    ${tag}\ndigest   ${digest}\nNode     ${node}`);
    console.log(`size     ${megabytes(Number(unpacked))}, ${megabytes(statSync(target).size)} packed`);
    console.log(`start    ${Math.round(ms)} ms until it serves`);
  } finally {
    buildah('rm', container);
    if (archive === undefined) rmSync(join(target, '..'), { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`image: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
