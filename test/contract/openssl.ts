// OpenSSL's command line as a second opinion. Where there is none its tests are skipped by name; COUNTERSIGN_REQUIRE=all makes that a failure.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'vitest';
import { pemOf } from '../support/certificate-builder.ts';

const OPENSSL = 'openssl';
const found = spawnSync(OPENSSL, ['version'], { encoding: 'utf8' }).status === 0;
if (!found && process.env['COUNTERSIGN_REQUIRE'] === 'all') throw new Error('openssl is required and does not run');

/** A test that needs openssl. */
export const opensslTest = test.skipIf(!found);

export interface Run {
  ok: boolean;
  /** stdout and stderr. */
  output: string;
}

export function openssl(...args: string[]): Run {
  const { status, stdout, stderr } = spawnSync(OPENSSL, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
  return { ok: status === 0, output: stdout + stderr };
}

/** Gives `use` the paths of these bytes as files, which go away after. */
export function withFiles<T>(
  files: Readonly<Record<string, Buffer | string>>,
  use: (path: (name: string) => string) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-openssl-'));
  try {
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
    return use((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const pem = (ders: readonly Buffer[]) => ders.map((der) => pemOf('CERTIFICATE', der)).join('');

/** `openssl verify -x509_strict` of a chain, leaf first, root last. */
export function verifyStrict(chain: readonly Buffer[], ...options: string[]): Run {
  const files = {
    'leaf.pem': pem(chain.slice(0, 1)),
    'rest.pem': pem(chain.slice(1, -1)),
    'root.pem': pem(chain.slice(-1)),
  };
  return withFiles(files, (path) =>
    openssl(
      'verify',
      '-x509_strict',
      '-check_ss_sig',
      ...options,
      '-CAfile',
      path('root.pem'),
      ...(chain.length > 2 ? ['-untrusted', path('rest.pem')] : []),
      path('leaf.pem'),
    ),
  );
}
