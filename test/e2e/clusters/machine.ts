// A machine of namespaces: processes, mounts and network of its own on this machine's kernel, joined to it by a veth pair. Everything in
// it ends with its first process. Needs root.
import { execFile, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  globSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from '../../support/eventually.ts';
import { cacheFolder } from '../../support/kubernetes-programs.ts';

const execute = promisify(execFile);

export interface Machine {
  /** At which this machine reaches it. */
  readonly address: string;
  /** Runs to its end and resolves with what it printed. */
  run(command: string, ...args: string[]): Promise<string>;
  /** Starts it; what it prints goes to `<folder>/log/<name>.log`. */
  start(name: string, command: string, ...args: string[]): Daemon;
  /** Ends all its processes. */
  stop(): Promise<void>;
}

export interface Daemon {
  /** Throws with the end of its log if it is no longer there. */
  check(): void;
}

/** Where programs keep what must not mix with that of this machine. */
const OWN_FOLDERS = ['/run', '/var/log', '/var/lib/cni', '/var/lib/kubelet'];
/** Settings of the kernel that a kubelet changes for the whole of it. */
const SETTINGS = ['kernel/panic', 'kernel/panic_on_oops', 'vm/overcommit_memory', 'vm/panic_on_oom'].map(
  (name) => `/proc/sys/${name}`,
);
const SETPRIV = ['--pdeathsig', 'KILL', '--'];
/** The number of the process whose end ends all, in `folder`. */
const HOLDER = 'holder.pid';
const RESTORE = 'settings.json';

/** `outlives`: it stays when this process ends; else it ends with it, however that dies. */
export async function startMachine(folder: string, { outlives }: { outlives: boolean }): Promise<Machine> {
  const settings = Object.fromEntries(SETTINGS.map((file) => [file, readFileSync(file, 'utf8').trim()]));
  writeFileSync(join(folder, RESTORE), JSON.stringify(settings));
  const unshare = ['--net', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc', '--propagation=private'];
  const command = ['unshare', ...unshare, '--', join(cacheFolder(), 'pause')];
  const [file = '', ...args] = outlives ? command : ['setpriv', ...SETPRIV, ...command];
  const child = spawn(file, args, { detached: true, stdio: 'ignore' });
  child.unref();
  const holder = child.pid;
  if (holder === undefined) throw new Error(`${file} does not start`);
  writeFileSync(join(folder, HOLDER), String(holder));
  const first = await eventually('the namespaces are there', () => Promise.resolve(firstProcess(holder)), 30);
  // The namespaces of the processes that follow, by their number here.
  const enter = ['--target', first, '--net', '--mount', '--pid', '--'];
  const machine: Machine = {
    address: joinNetwork(first),
    run: async (...words) => (await execute('nsenter', [...enter, ...words], { maxBuffer: 2 ** 26 })).stdout,
    start: (name, ...words) => startDaemon(join(folder, 'log', `${name}.log`), [...enter, ...words]),
    stop: () => stopMachine(folder),
  };
  await machine.run('sh', '-c', `for d in ${OWN_FOLDERS.join(' ')}; do mkdir -p $d && mount -t tmpfs own $d; done`);
  await machine.run('mkdir', '-p', '/run/netns', '/run/lock');
  return machine;
}

/** Ends the machine whose state is in `folder`, from any process. */
export async function stopMachine(folder: string): Promise<void> {
  const holder = holderOf(folder);
  const containers = globSync(join(folder, 'containerd/run/io.containerd.runtime.v2.task/k8s.io/*'));
  if (holder !== undefined) {
    const first = firstProcess(holder);
    process.kill(holder, 'SIGKILL');
    const all = [String(holder), ...(first === undefined ? [] : [first])];
    const isGone = () => all.every((pid) => !existsSync(`/proc/${pid}`) || isZombie(pid));
    await eventually('its processes end', () => Promise.resolve(isGone() || undefined), 60);
  }
  const saved = join(folder, RESTORE);
  if (existsSync(saved)) {
    const settings = JSON.parse(readFileSync(saved, 'utf8')) as Record<string, string>;
    for (const [file, value] of Object.entries(settings)) writeFileSync(file, value);
  }
  await removeControlGroups(containers.map((path) => basename(path)));
}

/** The process whose end ends the machine of this folder; undefined where it does not run. */
function holderOf(folder: string): number | undefined {
  const file = join(folder, HOLDER);
  if (!existsSync(file)) return undefined;
  const pid = readFileSync(file, 'utf8').trim();
  const words = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') : [];
  return words.includes('--kill-child=KILL') ? Number(pid) : undefined;
}

function firstProcess(holder: number): string | undefined {
  const file = `/proc/${holder}/task/${holder}/children`;
  const child = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return /^\d+$/.test(child) && readFileSync(`/proc/${child}/cmdline`, 'utf8').startsWith(cacheFolder())
    ? child
    : undefined;
}

function isZombie(pid: string): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

/** A network of four addresses that nobody here has; resolves with the address of the other end. */
function joinNetwork(first: string): string {
  const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const taken = ip('-o', '-4', 'address', 'show') + ip('-4', 'route', 'show');
  for (let number = 0; number < 256; number++) {
    const [gateway, address] = [`10.98.${number}.1`, `10.98.${number}.2`];
    if (taken.includes(`10.98.${number}.`)) continue;
    const name = `cse2e-${number}`;
    try {
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'up0', 'netns', first);
    } catch {
      continue;
    }
    ip('address', 'add', `${gateway}/30`, 'dev', name);
    ip('link', 'set', name, 'up');
    const inside = (...args: string[]) => execFileSync('nsenter', ['--target', first, '--net', '--', 'ip', ...args]);
    inside('address', 'add', `${address}/30`, 'dev', 'up0');
    inside('link', 'set', 'up0', 'up');
    inside('link', 'set', 'lo', 'up');
    inside('route', 'add', 'default', 'via', gateway);
    return address;
  }
  throw new Error('no free network');
}

function startDaemon(log: string, args: readonly string[]): Daemon {
  const output = openSync(log, 'a');
  const child = spawn('nsenter', args, { detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  child.unref();
  let ended: string | undefined;
  child.once('error', (error) => (ended = error.message));
  child.once('exit', (code, signal) => (ended = String(code ?? signal)));
  return {
    check() {
      if (ended === undefined) return;
      throw new Error(`it ended (${ended}):\n${readFileSync(log, 'utf8').slice(-4000)}`);
    },
  };
}

/** Those that are left empty when a container is not ended by its runtime. The kernel lets go of them a moment after their processes. */
async function removeControlGroups(containers: readonly string[]): Promise<void> {
  const roots = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}`)];
  let groups = roots
    .flatMap((root) => containers.map((container) => join(root, 'k8s.io', container)))
    .filter(existsSync);
  for (let attempt = 0; attempt < 50 && groups.length > 0; attempt++) {
    groups = groups.filter((group) => {
      try {
        rmdirSync(group);
        return false;
      } catch {
        return existsSync(group);
      }
    });
    if (groups.length > 0) await sleep(100);
  }
}
