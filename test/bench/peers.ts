// The servers that are compared, each in a process of its own, on core 0 where the machine lets us choose.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildServerCertificate } from '../support/certificate-builder.ts';
import { freePort, type RunningProgram, startProgram } from '../support/child-process.ts';
import { createTransport } from '../support/acme-wire.ts';
import { generalName } from '../support/der-writer.ts';

const project = join(import.meta.dirname, '..', '..');
const bin = join(process.env.COUNTERSIGN_CACHE ?? join(homedir(), '.cache', 'countersign'), 'bin');

export interface Surroundings {
  /** host:port of the name server. */
  resolver: string;
  http01Port: number;
}

export interface Peer {
  name: string;
  pid: number;
  directory: string;
  /** PEM. */
  ca: string;
  /** Milliseconds from the start of its process to the first 200 of its directory. */
  startedMs: number;
  stop(): Promise<void>;
}

function pinned(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningProgram {
  return startProgram('taskset', ['-c', '0', command, ...args], { env });
}

const MANIFESTS = `apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: {name: bench}
spec:
  backend: {ca: {secretRef: {name: bench-ca}, selfSigned: {commonName: Bench CA}}}
---
apiVersion: countersign.dev/v1alpha1
kind: CertificateRequestPolicy
metadata: {name: bench}
spec:
  selector: {}
  allowed: {dnsNames: {values: ["**.bench.test"]}}
`;

export async function startCountersign(surroundings: Surroundings, store: 'memory' | 'sqlite'): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  writeFileSync(join(folder, 'bench.yaml'), MANIFESTS);
  const [port, httpPort] = [await freePort(), await freePort()];
  const started = performance.now();
  const program = pinned(process.execPath, [
    join(project, 'src', 'main.ts'),
    'dev',
    ...(store === 'memory' ? ['--memory'] : ['--data', join(folder, 'data')]),
    '--manifests',
    folder,
    '--port',
    String(port),
    '--http-port',
    String(httpPort),
    '--resolver',
    surroundings.resolver,
    '--http01-port',
    String(surroundings.http01Port),
  ]);
  const line = await program.waitFor(/^ready directory=(\S+) ca=(\S+)/m);
  return {
    name: store === 'memory' ? 'countersign' : 'countersign on SQLite',
    pid: program.pid,
    directory: line[1] ?? '',
    ca: readFileSync(line[2] ?? '', 'utf8'),
    startedMs: (await firstAnswer(line[1] ?? '', readFileSync(line[2] ?? '', 'utf8'))) - started,
    stop: async () => {
      await program.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function tlsFiles(): { folder: string; cert: string; key: string; ca: string } {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const tls = buildServerCertificate([generalName.ip('127.0.0.1'), generalName.dns('localhost')]);
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(cert, tls.certificate);
  writeFileSync(key, tls.key);
  return { folder, cert, key, ca: tls.ca };
}

export async function startPebble(surroundings: Surroundings): Promise<Peer> {
  const { folder, cert, key, ca } = tlsFiles();
  const [port, managementPort] = [await freePort(), await freePort()];
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${managementPort}`,
      certificate: cert,
      privateKey: key,
      httpPort: surroundings.http01Port,
      tlsPort: 5001,
      keyAlgorithm: 'ecdsa',
    },
  };
  writeFileSync(join(folder, 'pebble.json'), JSON.stringify(config));
  const started = performance.now();
  const program = pinned(
    join(bin, 'pebble'),
    ['-config', join(folder, 'pebble.json'), '-dnsserver', surroundings.resolver],
    {
      PEBBLE_VA_NOSLEEP: '1',
      PEBBLE_WFE_NONCEREJECT: '0',
      PEBBLE_AUTHZREUSE: '0',
    },
  );
  await program.waitFor(/Listening on/);
  const directory = `https://127.0.0.1:${port}/dir`;
  return {
    name: 'pebble',
    pid: program.pid,
    directory,
    ca,
    startedMs: (await firstAnswer(directory, ca)) - started,
    stop: async () => stopAndRemove(program, folder),
  };
}

export async function startFloor(): Promise<Peer & { costs: { verify: number; sign: number } }> {
  const { folder, cert, key, ca } = tlsFiles();
  const port = await freePort();
  const started = performance.now();
  const program = pinned(process.execPath, [join(import.meta.dirname, 'floor.ts'), String(port), cert, key]);
  const line = await program.waitFor(/^ready (.*)$/m);
  const costs = JSON.parse(line[1] ?? '') as { verify: number; sign: number };
  return {
    name: 'floor',
    pid: program.pid,
    directory: `https://127.0.0.1:${port}`,
    ca,
    costs,
    startedMs: performance.now() - started,
    stop: async () => stopAndRemove(program, folder),
  };
}

async function stopAndRemove(program: RunningProgram, folder: string): Promise<void> {
  await program.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** When the directory was there, on the clock of performance.now(); some servers say that they listen a moment before they do. */
export async function firstAnswer(directory: string, ca: string): Promise<number> {
  const transport = createTransport(ca);
  try {
    for (const end = performance.now() + 60_000; ; await sleep(2)) {
      const status = await transport.request('GET', directory).then(
        (reply) => reply.status,
        (error: unknown) => String(error),
      );
      if (status === 200) return performance.now();
      if (performance.now() > end) throw new Error(`${directory}: ${status}`);
    }
  } finally {
    transport.close();
  }
}

/** User and system time of a process so far, in milliseconds; of all its threads. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  // proc(5): utime and stime are fields 14 and 15; the clock ticks 100 times a second.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory, MiB: now, or the most there ever was. */
export function residentMiB(pid: number, which: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${which}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
}
