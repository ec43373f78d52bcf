// The program under test as its user sees it: a process on one data folder that is started again whenever it was killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Answer, Order, ProgramSettings } from './main.ts';
import type { Kill } from './meter.ts';

export const ISSUER = 'main';
const COMPILED = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'countersign-kill');

export interface ProgramOptions {
  http01Port: number;
  nameserver: string;
  /** Files beside the issuer and the policy that are always there. */
  manifests?: Readonly<Record<string, readonly object[]>>;
  /** Counts from the start of the first process. */
  kill?: Kill;
  /** Looks at what a dead process left, before the next one starts. */
  autopsy?: (data: string) => void;
}

export interface Program {
  readonly data: string;
  readonly directory: string;
  /** Of CRLs, and of what CAs elsewhere fetch. */
  readonly httpPort: number;
  /** PEM of what a client must trust. */
  readonly ca: string;
  /** Rejects once the program ends in a way nobody asked for. */
  readonly fault: Promise<never>;
  /** Makes the file of the manifests' folder say this. */
  manifest(file: string, objects: readonly object[]): void;
  /** From now on calls count; in the process that follows after death, from its start, towards the next kill. */
  arm(...kills: Kill[]): Promise<void>;
  /** Resolves once a process runs that has nothing to do, after a death that of the next process. */
  settle(): Promise<void>;
  /** The calls at which the program died since it was armed. */
  deaths(): readonly string[];
  stop(): Promise<void>;
}

const MANIFESTS = {
  'issuer.yaml': {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name: ISSUER },
    spec: {
      backend: { ca: { secretRef: { name: 'main-ca' }, selfSigned: { commonName: 'Kill test CA' } } },
      acme: { caa: { identities: ['ca.test'], enforce: true } },
    },
  },
  'policy.yaml': {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'CertificateRequestPolicy',
    metadata: { name: 'open' },
    spec: {
      selector: {},
      allowed: { dnsNames: { values: ['**.test'] } },
      constraints: { servers: { cidrs: ['127.0.0.0/8'] } },
    },
  },
};

export async function startProgram(options: ProgramOptions): Promise<Program> {
  const home = mkdtempSync(join(tmpdir(), 'countersign-kill-'));
  const [manifests, data] = [join(home, 'manifests'), join(home, 'data')];
  mkdirSync(manifests);
  for (const [name, object] of Object.entries(MANIFESTS)) writeFileSync(join(manifests, name), JSON.stringify(object));
  for (const [name, objects] of Object.entries(options.manifests ?? {}))
    writeFileSync(join(manifests, name), rendered(objects));
  const settings: ProgramSettings = {
    data,
    manifests,
    death: join(home, 'death'),
    port: await steadyPort(),
    httpPort: await steadyPort(),
    http01Port: options.http01Port,
    nameserver: options.nameserver,
    issuer: ISSUER,
  };
  const life = createLife(settings, options);
  const { ca, directory } = await life.ready();
  return {
    data,
    directory,
    httpPort: settings.httpPort,
    ca: readFileSync(ca, 'utf8'),
    fault: life.fault,
    manifest: (file, objects) => {
      writeFileSync(join(home, file), rendered(objects));
      renameSync(join(home, file), join(manifests, file));
    },
    arm: async (kill, ...then) => {
      life.expect(kill ? [kill, ...then] : []);
      await life.ask({ say: 'arm', kill });
    },
    settle: () => life.settle(),
    deaths: () => life.deaths,
    stop: async () => {
      await life.end();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function rendered(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join('\n---\n');
}

/** One process after the other. */
function createLife(settings: ProgramSettings, { kill, autopsy }: ProgramOptions) {
  const fault = Promise.withResolvers<never>();
  fault.promise.catch(() => undefined);
  const deaths: string[] = [];
  let expected: Kill[] = kill ? [kill] : [];
  let ending = false;
  let current: Incarnation;

  const start = (next: Kill | undefined): void => {
    current = incarnate({ ...settings, ...(next ? { kill: next } : {}) });
    void succeed(current);
  };

  /** The next process, once this one was killed as it was told to be. */
  const succeed = async (dead: Incarnation): Promise<void> => {
    const end = await dead.ended;
    if (ending) return;
    try {
      if (end !== 'SIGKILL' || deaths.length === expected.length)
        throw new Error(`the program ended by itself (${end}):\n${dead.output()}`);
      deaths.push(readFileSync(settings.death, 'utf8'));
      writeFileSync(settings.death, '');
      autopsy?.(settings.data);
      start(expected[deaths.length]);
    } catch (error) {
      fault.reject(error);
    }
  };
  start(kill);

  /** The answer, unless the process dies first. */
  async function ask(order: Order): Promise<Answer | undefined> {
    await ready();
    return Promise.race([current.ask(order), current.ended.then(() => undefined), fault.promise]);
  }

  /** What the process says when it is ready, or the one after it. */
  async function ready(): Promise<Answer & { say: 'ready' }> {
    for (;;) {
      const said = await Promise.race([current.ready, current.ended.then(() => undefined), fault.promise]);
      if (said) return said;
      await new Promise((resolve) => void setImmediate(resolve));
    }
  }

  return {
    fault: fault.promise,
    ready,
    ask,
    deaths,
    expect: (kills: Kill[]) => {
      deaths.length = 0;
      expected = kills;
    },
    settle: async () => {
      while (!(await ask({ say: 'settle' }))) await new Promise((resolve) => void setImmediate(resolve));
    },
    end: async () => {
      ending = true;
      current.kill();
      await current.ended;
    },
  };
}

interface Incarnation {
  ready: Promise<Answer & { say: 'ready' }>;
  ask(order: Order): Promise<Answer>;
  /** Exit code or signal. */
  ended: Promise<number | string>;
  output(): string;
  kill(): void;
}

function incarnate(settings: ProgramSettings): Incarnation {
  const child: ChildProcess = spawn(
    process.execPath,
    [join(import.meta.dirname, 'main.ts'), JSON.stringify(settings)],
    {
      // Hundreds of starts: the second and later ones need not compile.
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILED },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    },
  );
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-20_000);
  });
  const answers: ((answer: Answer) => void)[] = [];
  const ready = Promise.withResolvers<Answer & { say: 'ready' }>();
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  child.on('message', (answer: Answer) => {
    if (answer.say === 'ready') ready.resolve(answer);
    else answers.shift()?.(answer);
  });
  return {
    ready: ready.promise,
    ended,
    ask: (order) =>
      new Promise((resolve) => {
        answers.push(resolve);
        // A process that is gone does not answer.
        child.send(order, () => undefined);
      }),
    output: () => output,
    kill: () => child.kill('SIGKILL'),
  };
}

/** A free port that the system gives to nobody who asks for any, so that it is still free after a restart. */
async function steadyPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => void server.close(resolve));
    if (free) return port;
  }
}
