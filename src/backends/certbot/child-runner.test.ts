// The program that runs certbot, and its child process, with a certbot that does as a test wants.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySecrets } from '../../../test/contract/authorities.ts';
import { eventually } from '../../../test/support/eventually.ts';
import type { CertbotRun, CertbotRunner, CertbotState } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { createRandom } from '../../runtime/random.ts';
import { createChildRunner } from './child-runner.ts';
import { HOOK_PROGRAM, PLAN_VARIABLE, renderPlan, RUN_PROGRAM } from './program.ts';
import { readTranscript, type Transcript } from './transcript.ts';

let folder: string;
let server: Server;
/** Answers that are laid out, by token. */
const laidOut = new Map<string, string>();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-fake-certbot-'));
  vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH'] ?? ''}`);
  laidOut.clear();
  server = createServer((request, response) => {
    const found = laidOut.get((request.url ?? '').slice('/.well-known/acme-challenge/'.length));
    response.writeHead(found === undefined ? 404 : 200).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

/** Puts a certbot on the PATH: lines of a shell. */
function certbotIs(...lines: string[]): void {
  const file = join(folder, 'certbot');
  writeFileSync(file, ['#!/bin/sh', ...lines].join('\n'));
  chmodSync(file, 0o755);
}

const runnerOf = (): CertbotRunner =>
  createChildRunner({
    secrets: createMemorySecrets({ account: { 'private_key.json': 'the key' } }),
    clock: createClock(),
    random: createRandom(),
    answersURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/acme-challenge/`,
  });

const aRun = (more: Partial<CertbotRun> = {}): CertbotRun => ({
  name: 'ic-a',
  issuer: 'main',
  arguments: ['certonly', '--csr', 'csr.pem'],
  files: { 'csr.pem': 'the CSR', 'hook.py': HOOK_PROGRAM },
  secrets: { 'config/accounts/key.json': { name: 'account', key: 'private_key.json' } },
  deadlineMs: 60_000,
  pod: { image: undefined, imagePullSecrets: [], resources: { requests: {}, limits: {} }, nodeSelector: {} },
  ...more,
});

const read = (state: CertbotState): Transcript =>
  'marker' in state ? readTranscript(state.log ?? '', state.marker) : readTranscript('', 'none');

async function ended(runner: CertbotRunner, name = 'ic-a'): Promise<Transcript & { cut: unknown; log: string }> {
  const state = await eventually('the run has ended', async () => {
    const now = await runner.state(name);
    return now.kind === 'ended' ? now : undefined;
  });
  return { ...read(state), cut: state.cut?.message, log: state.log ?? '' };
}

const isThere = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const gone = (pid: number) => eventually(`process ${pid} is gone`, async () => !isThere(pid) || undefined);

test('certbot finds its arguments, files and secrets in a folder of its own, which is gone after it', async () => {
  certbotIs(
    'echo "arguments: $*"; echo "csr: $(cat csr.pem)"; echo "key: $(cat config/accounts/key.json)"',
    'echo "modes: $(stat -c %a csr.pem config/accounts/key.json . | tr \'\\n\' \' \')"; echo "at: $(pwd)"',
    'echo "plan: ${COUNTERSIGN_CERTBOT_PLAN:-none}"; echo "home: $HOME"',
    'printf "a chain\\n" > out/fullchain.pem',
  );
  const runner = runnerOf();
  expect(await runner.state('ic-a')).toEqual({ kind: 'absent' });
  await runner.start(aRun());
  const { said, chain, exit, cut } = await ended(runner);
  const at = said.find((line) => line.startsWith('at: '))?.slice(4) ?? '';
  expect(said.slice(0, 3)).toEqual(['arguments: certonly --csr csr.pem', 'csr: the CSR', 'key: the key']);
  expect(said[3]).toMatch(/^modes: 600 600 7/);
  expect(said.slice(5)).toEqual(['plan: none', `home: ${at}`]);
  expect([chain, exit, cut]).toEqual(['a chain', 0, undefined]);
  await eventually('the folder is gone', async () => !existsSync(join(at, '..')) || undefined);
});

test('a run that is there is left alone; removed, it is ended and may begin anew', async () => {
  certbotIs('echo "pid: $$"; sleep 1000');
  const runner = runnerOf();
  await runner.start(aRun());
  await runner.start(aRun());
  const pidOf = async () =>
    Number(
      (
        await eventually('it runs', async () =>
          read(await runner.state('ic-a')).said.find((line) => line.startsWith('pid: ')),
        )
      ).slice(5),
    );
  const first = await pidOf();
  await runner.remove('ic-a');
  expect(await runner.state('ic-a')).toEqual({ kind: 'absent' });
  await gone(first);
  await runner.start(aRun());
  const second = await pidOf();
  expect(second).not.toBe(first);
  await runner.remove('ic-a');
  await gone(second);
});

test('certbot that hangs is killed at its deadline, and all that it started', async () => {
  certbotIs('sleep 1000 & echo "pid: $!"; wait');
  const runner = runnerOf();
  await runner.start(aRun({ deadlineMs: 1_000 }));
  const { exit, said } = await ended(runner);
  expect(exit).toBe('timeout');
  await gone(Number(said[0]?.slice(5)));
});

describe('a program whose parent is gone ends certbot, and leaves nothing behind', () => {
  function start() {
    const cwd = join(folder, 'of-the-run', 'run');
    mkdirSync(cwd, { recursive: true });
    const plan = {
      marker: 'm',
      arguments: [],
      files: { a: 'a' },
      secrets: {},
      answersURL: '',
      deadlineSeconds: 600,
      attached: true,
    };
    const program = spawn('python3', ['-c', RUN_PROGRAM], {
      cwd,
      env: { PATH: process.env['PATH'] ?? '', [PLAN_VARIABLE]: renderPlan(plan) },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    return { program, above: join(cwd, '..') };
  }

  const pidOf = (line: Buffer) => Number(/pid: (\d+)/.exec(line.toString())?.[1]);

  test('while certbot runs', async () => {
    certbotIs('echo "pid: $$"; sleep 1000');
    const { program, above } = start();
    const [line] = (await once(program.stdout, 'data')) as [Buffer];
    const closed = once(program, 'close');
    program.stdin.destroy();
    await closed;
    await gone(pidOf(line));
    expect(existsSync(above)).toBe(false);
  });

  test('in the moment that certbot ends', async () => {
    certbotIs('echo "pid: $$"; until [ -e go ]; do sleep 0.1; done; exit 1');
    const { program, above } = start();
    const [line] = (await once(program.stdout, 'data')) as [Buffer];
    const closed = once(program, 'close');
    // What it says of the end reaches nobody.
    program.stdout.destroy();
    writeFileSync(join(above, 'run', 'go'), '');
    await closed;
    await gone(pidOf(line));
    expect(existsSync(above)).toBe(false);
  });
});

test.each([
  ['exit 1', 1],
  ['exit 2', 2],
  ['kill -9 $$', -9],
])('certbot that ends by %s is told so', async (line, exit) => {
  certbotIs('echo "last words"', line);
  const runner = runnerOf();
  await runner.start(aRun());
  expect(await ended(runner)).toMatchObject({ exit, chain: undefined, problem: undefined, said: ['last words'] });
});

test('of a failure the last problem that the ACME server told is read in the log of certbot', async () => {
  certbotIs(
    'for type in rateLimited rejectedIdentifier badNonce; do echo "{\\"type\\": \\"urn:ietf:params:acme:error:$type\\"}" >> logs/letsencrypt.log; done',
    'exit 1',
  );
  const runner = runnerOf();
  await runner.start(aRun());
  expect((await ended(runner)).problem).toBe('rejectedIdentifier');
});

test('what certbot says of a Secret is passed on without it', async () => {
  certbotIs('echo "Invalid line (\'$(sed -n 2p credentials.ini)\') of"; cat credentials.ini config/key.json', 'exit 1');
  const values = ['tok3n-of-the-zone', 'c2VjcmV0IHNlY3JldA', 'a\\b-s3cret', 'Wor.ds/of+key'];
  const ini = `dns_x_token = ${values[0]}\nbare ${values[1]}==\ndns_x_password = "${values[2]}"\n`;
  const secrets = createMemorySecrets({
    dns: { ini },
    account: { 'private_key.json': `{"kty":"EC","d":"${values[3]}"}` },
  });
  const runner = createChildRunner({ secrets, clock: createClock(), random: createRandom(), answersURL: '' });
  const paths = {
    'credentials.ini': { name: 'dns', key: 'ini' },
    'config/key.json': { name: 'account', key: 'private_key.json' },
  };
  await runner.start(aRun({ secrets: paths }));
  const { said, log } = await ended(runner);
  for (const value of values) expect(log).not.toContain(value);
  expect(said).toEqual([
    "Invalid line ('bare [secret]==') of",
    'dns_x_token = [secret]',
    'bare [secret]==',
    'dns_x_password = "[secret]"',
    '{"kty":"EC","d":"[secret]"}',
  ]);
});

test('words that are looked for are passed on, whatever stands in Secrets', async () => {
  const words = [
    'Certbot failed to authenticate some',
    '  Domain: a.test',
    '  Type:   connection',
    'An unexpected error occurred:',
  ];
  certbotIs(...words.map((line) => `echo '${line}'`), 'exit 1');
  const ini = '# Certbot\ndns_x_user = Certbot Domain: connection "unexpected" occurred\n';
  const secrets = createMemorySecrets({ dns: { ini } });
  const runner = createChildRunner({ secrets, clock: createClock(), random: createRandom(), answersURL: '' });
  await runner.start(aRun({ secrets: { 'credentials.ini': { name: 'dns', key: 'ini' } } }));
  expect((await ended(runner)).said).toEqual(words);
});

test('certbot that says much is heard to its end', async () => {
  certbotIs(
    'head -c 3000000 /dev/zero | tr "\\0" x; i=0; while [ $i -lt 20000 ]; do echo line; i=$((i+1)); done',
    'echo chain > out/fullchain.pem',
  );
  const runner = runnerOf();
  await runner.start(aRun());
  const { exit, chain, log } = await ended(runner);
  expect([exit, chain]).toEqual([0, 'chain']);
  expect(log.length).toBeLessThan(100_000);
});

test('a chain without an end is cut', async () => {
  certbotIs('head -c 3000000 /dev/zero | tr "\\0" x > out/fullchain.pem');
  const runner = runnerOf();
  await runner.start(aRun());
  expect((await ended(runner)).chain?.length).toBe(262_144);
});

test('without python3 or certbot on the PATH that is what it lacks', async () => {
  vi.stubEnv('PATH', folder);
  expect(runnerOf().lacks(aRun())).toMatchObject({ reason: 'CertbotMissing' });
  await runnerOf().start(aRun());
  const runner = runnerOf();
  await runner.start(aRun());
  expect((await ended(runner)).cut).toBe('there is no python3, which certbot needs, on the PATH');
});

test('a Secret that is not there begins nothing', async () => {
  certbotIs('exit 0');
  const runner = runnerOf();
  const secrets = { 'a.json': { name: 'nowhere', key: 'x' } };
  await expect(runner.start(aRun({ secrets }))).rejects.toMatchObject({ reason: 'SecretMissing' });
  expect(await runner.state('ic-a')).toEqual({ kind: 'absent' });
});

describe('the hook', () => {
  const PRINT = 't'.repeat(43);
  /** As certbot calls it, once for each name. */
  const hooks = (...values: string[]) =>
    certbotIs(
      ...values.map(
        (value, i) =>
          `CERTBOT_VALIDATION='${value}' CERTBOT_REMAINING_CHALLENGES=${values.length - i - 1} python3 hook.py || exit 1`,
      ),
      'echo done > out/fullchain.pem',
    );

  test('hands on every answer and waits until all are to be seen', async () => {
    hooks(`one.${PRINT}`, `two.${PRINT}`);
    const runner = runnerOf();
    await runner.start(aRun());
    const answers = await eventually('both are told', async () => {
      const told = read(await runner.state('ic-a')).answers;
      return told.length === 2 ? told : undefined;
    });
    expect(answers).toEqual([`one.${PRINT}`, `two.${PRINT}`]);
    laidOut.set('one', `one.${PRINT}`);
    laidOut.set('two', 'another');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await runner.state('ic-a')).kind).toBe('running');
    laidOut.set('two', `two.${PRINT}`);
    expect((await ended(runner)).exit).toBe(0);
  });

  test.each([`../../x.${PRINT}`, `$(id).${PRINT}`, `a b.${PRINT}`, `a\n.${PRINT}`, 'x', `${'a'.repeat(129)}.${PRINT}`])(
    'hands on nothing that is no answer: %j',
    async (value) => {
      hooks(value);
      const runner = runnerOf();
      await runner.start(aRun());
      expect(await ended(runner)).toMatchObject({ exit: 1, answers: [] });
    },
  );
});
