// Certificates a second and CPU of each process on the way to them: our server with the API server and etcd behind it, and step-ca with
// a database of its own on the same disk, by the same client, challenges answered by the same program.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildCaCertificate, createKeyPair, pemOf } from '../../support/certificate-builder.ts';
import { freePort, type RunningProgram, startProgram } from '../../support/child-process.ts';
import { isExecutable, cacheFolder } from '../../support/kubernetes-programs.ts';
import { createLoad } from '../load.ts';
import { cpuMs, firstAnswer } from '../peers.ts';
import { ACCOUNTS, servingCA, type Serving, type Stage, walP99, walSyncs } from './stage.ts';

/** The world answers tokens by itself. */
const http01 = { set: () => undefined, remove: () => undefined };

/** Certificates before those that count: until then Node compiles what it runs, which is no part of a server's life. */
const WARM_UP = 2000;

/** Names of different runs differ. */
let runs = 0;

export interface IssueOptions {
  clients: number;
  certificates: number;
}

export interface IssueFigures {
  perSecond: number;
  /** Milliseconds of an order. */
  p50: number;
  p99: number;
  /** CPU milliseconds per certificate. */
  cpu: Readonly<Record<string, number>>;
  /** Milliseconds, of etcd's log. */
  walP99: number;
}

/** A load of orders, with a first part that does not count. Accounts of later loads are others. */
export async function orders(
  stage: Stage,
  server: { directory: string; ca: string },
  { clients, certificates }: IssueOptions,
  firstAccount = 0,
) {
  if (firstAccount + clients > ACCOUNTS) throw new Error(`the world knows ${ACCOUNTS} accounts`);
  const run = runs++;
  const times: number[] = [];
  const load = await createLoad({
    ...server,
    clients,
    certificates,
    http01,
    keys: stage.keys.slice(firstAccount),
    names: (client, n) => [`c${firstAccount + client}-${run}-${n}.bench.test`],
    onOrder: (ms) => times.push(ms),
  });
  return { ...load, times };
}

export async function measureOurs(stage: Stage, serving: Serving, options: IssueOptions): Promise<IssueFigures> {
  const pids = { ...stage.pids, serve: serving.program.pid };
  const server = { directory: serving.directory, ca: await servingCA(stage) };
  return measure(stage, { server, pids }, options);
}

export async function measureStepCa(stage: Stage, options: IssueOptions): Promise<IssueFigures> {
  const peer = await startStepCa(stage);
  try {
    return await measure(stage, { server: peer, pids: { 'step-ca': peer.program.pid } }, options);
  } finally {
    await peer.program.stop();
  }
}

async function measure(
  stage: Stage,
  { server, pids }: { server: { directory: string; ca: string }; pids: Readonly<Record<string, number>> },
  options: IssueOptions,
): Promise<IssueFigures> {
  const load = await orders(stage, server, options);
  await load.run(WARM_UP);
  load.times.length = 0;
  const all = { ...pids, client: process.pid, world: stage.world.pid };
  const spent = () => Object.entries(all).map(([name, pid]) => [name, cpuMs(pid)] as const);
  const [before, syncs, began] = [spent(), await walSyncs(stage), performance.now()];
  await load.run(options.certificates);
  const seconds = (performance.now() - began) / 1000;
  const after = new Map(spent());
  const cpu = before.map(([name, ms]) => [name, ((after.get(name) ?? 0) - ms) / options.certificates] as const);
  load.close();
  return {
    perSecond: options.certificates / seconds,
    p50: percentile(load.times, 0.5),
    p99: percentile(load.times, 0.99),
    cpu: Object.fromEntries(cpu),
    walP99: walP99(syncs, await walSyncs(stage)),
  };
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

interface StepCa {
  program: RunningProgram;
  directory: string;
  ca: string;
}

async function startStepCa(stage: Stage): Promise<StepCa> {
  const command = join(cacheFolder(), 'step-ca');
  if (!isExecutable(command)) throw new Error('step-ca is missing: node scripts/build-tools.ts step-ca');
  const folder = join(stage.folder, 'step-ca');
  mkdirSync(folder);
  const write = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const [root, intermediate] = [createKeyPair(), createKeyPair()];
  const ca = pemOf('CERTIFICATE', buildCaCertificate('Bench root', root));
  const issuing = buildCaCertificate('Bench CA', intermediate, { subject: 'Bench root', keys: root });
  const port = await freePort();
  const config = {
    root: write('root.crt', ca),
    crt: write('ca.crt', pemOf('CERTIFICATE', issuing)),
    key: write('ca.key', intermediate.privateKey.export({ type: 'sec1', format: 'pem' }) as string),
    address: `127.0.0.1:${port}`,
    dnsNames: ['127.0.0.1'],
    logger: { format: 'text' },
    db: { type: 'bbolt', dataSource: join(folder, 'db') },
    authority: { provisioners: [{ type: 'ACME', name: 'bench', challenges: ['http-01'] }] },
  };
  const file = write('ca.json', JSON.stringify(config));
  const program = startProgram(command, [file, '--resolver', `${stage.world.address}:53`], {
    bound: true,
    env: { STEPPATH: folder, HOME: folder },
  });
  const directory = `https://127.0.0.1:${port}/acme/bench/directory`;
  await firstAnswer(directory, ca);
  return { program, directory, ca };
}
