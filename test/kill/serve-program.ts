// Replicas of `serve` on a stage, each a process that is started again whenever it was killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { NAMESPACE } from '../support/serve.ts';
import type { Stage } from '../support/serving-stage.ts';
import type { Kill } from './meter.ts';
import type { ServeAnswer, ServeOrder, ServeSettings } from './serve-main.ts';

const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/countersign-leader`;
const COMPILED = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'countersign-kill');

export interface KillableReplica {
  origin: string;
  /** Whether it says that it is ready, and was not killed since. */
  isUp(): boolean;
  /** From now on its calls count, in this life. */
  arm(kill: Kill | undefined): Promise<void>;
  /** The call at which it died since it was armed. */
  death(): string | undefined;
}

export interface KillableReplicas {
  replicas: readonly KillableReplica[];
  /** Rejects once one ends in a way nobody asked for. */
  fault: Promise<never>;
  /** Position of the one that leads; waits until all are up and one of them does. */
  leader(): Promise<number>;
  /** Resolves once all are up and have nothing to do. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * While `hurry` says so, the Lease of a holder that died is taken away, so that another need not wait out its fifteen seconds; who is dead writes
 * nothing either way.
 */
export async function startKillable(stage: Stage, { hurry }: { hurry: () => boolean }): Promise<KillableReplicas> {
  const home = mkdtempSync(join(tmpdir(), 'countersign-kill-'));
  const first = 20_000 + (process.pid % 400) * 30;
  const listen = { acme: first, distribution: first + 1, peers: first + 2 };
  const origins = stage.addresses.map((address) => `https://${address}:${listen.acme}`);
  const fault = Promise.withResolvers<never>();
  fault.promise.catch(() => undefined);
  const onDeath = async (led: boolean): Promise<void> => {
    if (led && hurry()) await stage.plane.api.request('DELETE', LEASE);
  };
  const lives = stage.addresses.map((address, i) => {
    const config = { namespace: NAMESPACE, externalURLs: origins, listen: { address, ...listen } };
    const settings = { kubeconfig: stage.kubeconfig, config, address, death: join(home, `death-${i}`) };
    return createLife(settings, { origin: origins[i] ?? '', fault: fault.reject, onDeath });
  });
  const allUp = () =>
    Promise.race([
      eventually('all replicas are up', async () => (lives.every((life) => life.isUp()) ? true : undefined)),
      fault.promise,
    ]);
  await allUp();
  return {
    replicas: lives,
    fault: fault.promise,
    leader: async () => {
      await allUp();
      return eventually('one leads', async () => {
        const answers = await Promise.all(lives.map((life) => life.ask({ say: 'who leads' })));
        const at = answers.findIndex((said) => said?.say === 'leads' && said.leads);
        return at < 0 ? undefined : at;
      });
    },
    settle: async () => {
      await allUp();
      for (const life of lives) while (!(await life.ask({ say: 'settle' }))) await allUp();
    },
    stop: async () => {
      for (const life of lives) await life.end();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

interface Circumstances {
  origin: string;
  fault: (error: unknown) => void;
  onDeath: (led: boolean) => Promise<void>;
}

/** One process after the other. */
function createLife(settings: ServeSettings, { origin, fault, onDeath }: Circumstances) {
  let child: ChildProcess;
  let answers: ((answer: ServeAnswer | undefined) => void)[] = [];
  let [up, led, ending] = [false, false, false];
  let armed: Kill | undefined;
  let death: string | undefined;
  let output = '';
  writeFileSync(settings.death, '');

  const start = (): void => {
    const made = spawn(process.execPath, [join(import.meta.dirname, 'serve-main.ts'), JSON.stringify(settings)], {
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILED },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    child = made;
    led = false;
    made.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000);
      if (text.includes('"leading"')) led = true;
    });
    made.on('message', (answer: ServeAnswer) => {
      if (answer.say === 'ready') up = true;
      else answers.shift()?.(answer);
    });
    made.once('exit', (code, signal) => {
      succeed(code ?? signal ?? 'unknown').catch(fault);
    });
  };

  async function succeed(end: number | string): Promise<void> {
    up = false;
    for (const resolve of answers.splice(0)) resolve(undefined);
    if (ending) return;
    if (end !== 'SIGKILL' || !armed) throw new Error(`a replica ended by itself (${end}):\n${output}`);
    armed = undefined;
    death = readFileSync(settings.death, 'utf8');
    writeFileSync(settings.death, '');
    await onDeath(led);
    if (!ending) start();
  }
  start();

  /** Undefined where it dies before it answers. */
  async function ask(order: ServeOrder): Promise<ServeAnswer | undefined> {
    if (!up) return undefined;
    return new Promise((resolve) => {
      answers.push(resolve);
      child.send(order, () => undefined);
    });
  }

  return {
    origin,
    isUp: () => up,
    ask,
    arm: async (kill: Kill | undefined) => {
      death = undefined;
      armed = kill;
      await ask({ say: 'arm', kill });
    },
    death: () => death,
    end: async () => {
      ending = true;
      const ended = new Promise((resolve) => void child.once('exit', resolve));
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await ended;
      answers = [];
    },
  };
}
