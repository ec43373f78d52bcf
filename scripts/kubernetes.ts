// Has etcd and kube-apiserver at hand for the tests in test/integration, and prints their folder:
//   npm run -s kubernetes
// Looked for in KUBEBUILDER_ASSETS, then in the cache (COUNTERSIGN_CACHE, by default ~/.cache/countersign); else fetched into it with
// setup-envtest, which needs Go and a network. Without a network, `node scripts/build-tools.ts etcd kube-apiserver` builds them.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { cacheFolder, KUBERNETES_PROGRAMS, kubernetesPrograms } from '../test/support/kubernetes-programs.ts';

const SETUP_ENVTEST = 'sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1';

/** The minor release that test/tools/go.mod pins; whatever patch of it there is. */
function wantedRelease(): string {
  const goMod = readFileSync(join(import.meta.dirname, '../test/tools/go.mod'), 'utf8');
  const [, minor] = /\bk8s\.io\/kubernetes v(\d+\.\d+)\.\d+/.exec(goMod) ?? [];
  if (minor === undefined) throw new Error('test/tools/go.mod does not name k8s.io/kubernetes');
  return `${minor}.x`;
}

function fetchInto(folder: string): void {
  const release = wantedRelease();
  const downloads = mkdtempSync(join(tmpdir(), 'setup-envtest-'));
  try {
    const args = ['run', SETUP_ENVTEST, 'use', release, '--print', 'path', '--bin-dir', downloads];
    console.error(`kubernetes: fetching ${release}: go ${args.join(' ')}`);
    const assets = execFileSync(process.env['GO'] ?? 'go', args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim();
    mkdirSync(folder, { recursive: true });
    for (const program of KUBERNETES_PROGRAMS) {
      // Into its place at once, so that a program in use is never half written.
      const fresh = join(folder, `.${program}.${process.pid}`);
      copyFileSync(join(assets, program), fresh);
      renameSync(fresh, join(folder, program));
    }
  } finally {
    // What was unpacked there may be read-only.
    execFileSync('chmod', ['-R', 'u+w', downloads]);
    rmSync(downloads, { recursive: true, force: true });
  }
}

try {
  let found = kubernetesPrograms();
  const named = process.env['KUBEBUILDER_ASSETS'];
  if ('folder' in found) {
    console.error(`kubernetes: found in ${named === undefined ? 'the cache' : 'KUBEBUILDER_ASSETS'}`);
  } else {
    if (named !== undefined) throw new Error(found.missing);
    console.error(`kubernetes: not in the cache, ${cacheFolder()}`);
    fetchInto(cacheFolder());
    found = kubernetesPrograms();
  }
  if ('missing' in found) throw new Error(found.missing);
  console.log(found.folder);
} catch (error) {
  console.error(`kubernetes: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
