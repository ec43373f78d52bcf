// BIND, authoritative on loopback for the zones that a test gives it, one of which takes updates signed by a key.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'vitest';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createResolver } from '../../src/validators/resolver.ts';
import { freePort, startProgram } from './child-process.ts';

const BINARY = ['/usr/sbin/named', '/usr/local/sbin/named'].find(existsSync);

export interface TsigKey {
  name: string;
  algorithm: string;
  /** Base64. */
  secret: string;
}

export interface Zone {
  name: string;
  /** Lines of the zone file beside SOA and NS. */
  records: readonly string[];
  /** Name of a key that may change any of it. */
  updatedBy?: string;
}

export interface Bind {
  /** `127.0.0.1:port`. */
  address: string;
  output(): string;
  stop(): Promise<void>;
}

export async function startBind(zones: readonly Zone[], keys: readonly TsigKey[]): Promise<Bind> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bind-'));
  const port = await freePort();
  const all = [...zones, { name: '.', records: [], updatedBy: undefined }];
  for (const { name, records } of all) {
    const soa = `$TTL 60\n@ SOA ns root 1 60 60 60 5\n@ NS ns\nns A 127.0.0.1\n`;
    await writeFile(join(folder, fileOf(name)), `${soa}${records.join('\n')}\n`);
  }
  const options = [
    `directory "${folder}"`,
    'pid-file none',
    'session-keyfile none',
    // Answers are whole where an alias leads from one of its zones to another. It is its own root, and asks nobody.
    'recursion yes',
    'dnssec-validation no',
    'notify no',
    `listen-on port ${port} { 127.0.0.1; }`,
    'listen-on-v6 { none; }',
  ];
  const configuration = [
    `options { ${options.join('; ')}; };`,
    'controls { };',
    ...keys.map(({ name, algorithm, secret }) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };`),
    ...all.map(
      ({ name, updatedBy }) =>
        `zone "${name}" { type primary; file "${fileOf(name)}"; allow-update { ${updatedBy === undefined ? 'none' : `key "${updatedBy}"`}; }; };`,
    ),
  ];
  const file = join(folder, 'named.conf');
  await writeFile(file, `${configuration.join('\n')}\n`);
  const program = startProgram(BINARY ?? 'named', ['-g', '-c', file], { bound: true });
  await answering(`127.0.0.1:${port}`, zones[0]?.name ?? '', () => program.output());
  return {
    address: `127.0.0.1:${port}`,
    output: () => program.output(),
    stop: async () => {
      await program.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const fileOf = (zone: string) => `${zone === '.' ? 'root' : zone}.zone`;

async function answering(address: string, zone: string, output: () => string): Promise<void> {
  const resolver = createResolver({
    clock: createClock(),
    random: createRandom(),
    nameservers: [address],
    totalMs: 500,
  });
  for (let attempt = 0; attempt < 300; attempt++) {
    const answer = await resolver.addresses(`ns.${zone}`, new AbortController().signal);
    if (answer.state === 'found') return;
    await sleep(100);
  }
  throw new Error(`named does not answer:\n${output()}`);
}

const MISSING = 'named is missing (apt-get install bind9)';

/** Without BIND the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWithBind(title: string, tests: () => void): void {
  describe(title, () => {
    if (BINARY !== undefined) tests();
    else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(MISSING, () => {
        throw new Error(MISSING);
      });
    } else test.skip(MISSING, () => {});
  });
}
