// Pebble, Let's Encrypt's test server, as a CA upstream: set to be as unpleasant as it can be.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'vitest';
import { buildServerCertificate } from './certificate-builder.ts';
import { freePort, type RunningProgram, startProgram } from './child-process.ts';
import { generalName } from './der-writer.ts';
import { cacheFolder } from './kubernetes-programs.ts';

const BINARY = process.env['PEBBLE'] ?? join(cacheFolder(), 'pebble');

export interface Pebble {
  directory: string;
  /** PEM of what a client must trust to reach it. */
  caBundle: string;
  /** PEM of its roots, the default one first. */
  roots: readonly string[];
  /** Accounts made so far. */
  accounts(): number;
  /** Orders made so far. */
  orders(): number;
  /** Whether a certificate (serial in hex) is revoked there. */
  isRevoked(serial: string): Promise<boolean>;
  stop(): Promise<void>;
}

export interface PebbleOptions {
  /** Where it looks for answers to http-01. */
  httpPort: number;
  /** `address:port` of the DNS server that it asks. */
  resolver: string;
  config?: object;
  /** Its settings by environment, beside quiet ones. */
  env?: Readonly<Record<string, string>>;
  alternateRoots?: number;
}

/** In place of its defaults, which are to annoy. */
const QUIET = { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0' };

export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-pebble-'));
  const tls = buildServerCertificate([generalName.ip('127.0.0.1'), generalName.dns('localhost')]);
  const [certificate, privateKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await writeFile(certificate, tls.certificate);
  await writeFile(privateKey, tls.key);
  const [port, management] = [await freePort(), await freePort()];
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate,
    privateKey,
    httpPort: options.httpPort,
    tlsPort: 1,
    keyAlgorithm: 'ecdsa',
    retryAfter: { authz: 1, order: 1 },
    profiles: {
      default: { description: 'A week.', validityPeriod: 604_800 },
      short: { description: 'A day.', validityPeriod: 86_400 },
    },
    ...options.config,
  };
  const file = join(folder, 'config.json');
  await writeFile(file, JSON.stringify({ pebble }));
  const { alternateRoots = 0 } = options;
  const env = { ...QUIET, PEBBLE_ALTERNATE_ROOTS: String(alternateRoots), ...options.env };
  const program = startProgram(BINARY, ['-config', file, '-dnsserver', options.resolver], { env, bound: true });
  await program.waitFor(/ACME directory available/);
  for (const each of [port, management]) await listening(each, program);
  const ask = (path: string) => read(`https://127.0.0.1:${management}${path}`, tls.ca);
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    caBundle: tls.ca,
    roots: await Promise.all(Array.from({ length: alternateRoots + 1 }, (_, i) => ask(`/roots/${i}`))),
    accounts: () => Number([...program.output().matchAll(/There are now (\d+) accounts in memory/g)].at(-1)?.[1] ?? 0),
    orders: () => Number([...program.output().matchAll(/There are now (\d+) orders in the db/g)].at(-1)?.[1] ?? 0),
    isRevoked: async (serial) =>
      (JSON.parse(await ask(`/cert-status-by-serial/${serial}`)) as { Status: string }).Status === 'Revoked',
    stop: async () => {
      await program.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** It says that it is available before it listens. */
async function listening(port: number, program: RunningProgram): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('connect', () => socket.destroy());
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error(`pebble does not listen on ${port}:\n${program.output()}`);
}

function read(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { ca, agent: false }, (response) => void text(response).then(resolve, reject)).once('error', reject);
  });
}

const MISSING = 'pebble is missing (node scripts/build-tools.ts pebble)';

/** Without pebble the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWithPebble(title: string, tests: () => void): void {
  describe(title, () => {
    if (existsSync(BINARY)) tests();
    else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(MISSING, () => {
        throw new Error(MISSING);
      });
    } else test.skip(MISSING, () => {});
  });
}
