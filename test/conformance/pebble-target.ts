// Runs pebble as the server under test: one process for each issuer that needs a configuration of its own.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport } from '../support/acme-wire.ts';
import { buildServerCertificate } from '../support/certificate-builder.ts';
import { freePort, type RunningProgram, startProgram } from '../support/child-process.ts';
import { generalName } from '../support/der-writer.ts';
import { EAB_KEYS } from './external-account-keys.ts';
import type { IssuerName, Server, Surroundings } from './target.ts';

const BINARY = process.env['PEBBLE'] ?? join(homedir(), '.cache/countersign/bin/pebble');

interface Variant {
  config?: object;
  env?: Readonly<Record<string, string>>;
}

/** Issuers that a differently configured pebble can stand in for; all the others are `main`. */
const VARIANTS: Partial<Record<IssuerName, Variant>> = {
  main: {},
  eab: { config: { externalAccountBindingRequired: true, externalAccountMACKeys: EAB_KEYS } },
  'eab-once': { config: { externalAccountBindingRequired: true, externalAccountMACKeys: EAB_KEYS } },
  'eab-optional': { config: { externalAccountMACKeys: EAB_KEYS } },
  alternates: { env: { PEBBLE_ALTERNATE_ROOTS: '2' } },
  profiles: {
    config: {
      profiles: {
        server: { description: 'Servers, ninety days', validityPeriod: 7_776_000 },
        short: { description: 'Servers, one day', validityPeriod: 86_400 },
      },
    },
  },
};

/** Issuers for which pebble has no setting at all. */
const UNABLE: Partial<Record<IssuerName, string>> = {
  brief: 'pebble cannot shorten the life of orders',
  broken: 'pebble has no backend that could fail',
  suspended: 'pebble cannot suspend an issuer',
};

interface Running {
  program: RunningProgram;
  directory: string;
  management: string;
}

/** Pebble says that it is available before it listens. */
async function listening(port: number, program: RunningProgram): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error(`pebble does not listen on ${port}:\n${program.output()}`);
}

export async function startPebble(surroundings: Surroundings): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-pebble-'));
  const tls = buildServerCertificate([generalName.ip('127.0.0.1'), generalName.dns('localhost')]);
  const [certificate, privateKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await writeFile(certificate, tls.certificate);
  await writeFile(privateKey, tls.key);
  const running = new Map<string, Promise<Running>>();

  const start = async (name: string, { config, env }: Variant): Promise<Running> => {
    const [port, managementPort] = [await freePort(), await freePort()];
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${managementPort}`,
      certificate,
      privateKey,
      httpPort: surroundings.http01Port,
      tlsPort: surroundings.tlsAlpn01Port,
      domainBlocklist: ['denied.test'],
      retryAfter: { authz: 3, order: 3 },
      keyAlgorithm: 'ecdsa',
      ...config,
    };
    const file = join(folder, `${name}.json`);
    await writeFile(file, JSON.stringify({ pebble }));
    const program = startProgram(BINARY, ['-config', file, '-dnsserver', surroundings.resolver], {
      env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '100', ...env },
    });
    await program.waitFor(/ACME directory available/);
    await listening(port, program);
    await listening(managementPort, program);
    return {
      program,
      directory: `https://127.0.0.1:${port}/dir`,
      management: `https://127.0.0.1:${managementPort}`,
    };
  };
  const pebbleFor = (issuer: IssuerName): Promise<Running> => {
    const name = issuer in VARIANTS ? issuer : 'main';
    const known = running.get(name) ?? start(name, VARIANTS[name] ?? {});
    running.set(name, known);
    return known;
  };
  await pebbleFor('main');

  return {
    trust: tls.ca,
    plainOrigins: [],
    directoryUrl: async (issuer) => {
      const unable = UNABLE[issuer];
      if (unable !== undefined) throw new Error(unable);
      return (await pebbleFor(issuer)).directory;
    },
    issuerRoot: async (transport: Transport) => {
      const { management } = await pebbleFor('main');
      return (await transport.request('GET', `${management}/roots/0`)).text;
    },
    crl: () => Promise.reject(new Error('pebble publishes no CRL')),
    edit: () => Promise.reject(new Error('pebble reads its configuration once')),
    stop: async () => {
      for (const each of running.values()) await (await each).program.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
