// The quickstart, as a reader of the README meets it: the program starts and prints two commands; each is pasted into a shell
// as printed and leaves a good certificate.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningProgram, startProgram } from '../support/child-process.ts';
import { type CertificateFiles, expectCertificate } from './certificates.ts';
import { apt, built, challengePort, describeWith, programFile } from './harness.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** What is printed on standard output; a command is one line, perhaps continued by backslashes. */
const ISSUED_BY = /^\s*issued by\s+(\S+)$/m;
const CERTBOT = /^.*certbot certonly (?:.*\\\n)*.*$/m;
const LEGO = /^.*lego (?:.*\\\n)*.*\srun$/m;

describeWith('quickstart', [apt('certbot'), built('lego')], () => {
  let folder: string;
  let program: RunningProgram;
  let issuerCa: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-quickstart-'));
    const flags = ['port', 'http-port', 'http01-port', 'tls-alpn01-port'];
    const ports = await Promise.all(flags.map(async (flag) => [`--${flag}`, `${await challengePort()}`]));
    const args = ['examples/quickstart/start.ts', '--data', join(folder, 'data'), ...ports.flat()];
    program = startProgram(process.execPath, args, { cwd: ROOT });
    issuerCa = (await program.waitFor(ISSUED_BY))[1] ?? '';
  });
  afterAll(async () => {
    await program.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Pastes a printed command into a shell, in a folder that is not the clone. */
  const paste = async (command: string): Promise<void> => {
    const path = [dirname(programFile('lego')), process.env['PATH']].join(delimiter);
    await promisify(execFile)('sh', ['-c', command], { cwd: folder, env: { ...process.env, PATH: path } });
  };
  const flag = (command: string, name: string): string => new RegExp(`${name}[ =](\\S+)`).exec(command)?.[1] ?? '';

  test('the certbot command works as printed, and again', async () => {
    const [command] = await program.waitFor(CERTBOT);
    await paste(command);
    const name = flag(command, '-d');
    const live = join(flag(command, '--config-dir'), 'live', name);
    const files: CertificateFiles = { chain: join(live, 'fullchain.pem'), key: join(live, 'privkey.pem') };
    const serial = await expectCertificate(issuerCa, files, [name]);
    await paste(command);
    expect(await expectCertificate(issuerCa, files, [name])).toBe(serial);
  });

  test('the lego command works as printed, and again', async () => {
    const [command] = await program.waitFor(LEGO);
    await paste(command);
    const name = flag(command, '--domains');
    const stem = join(flag(command, '--path'), 'certificates', name);
    const files: CertificateFiles = { chain: `${stem}.crt`, key: `${stem}.key` };
    const serial = await expectCertificate(issuerCa, files, [name]);
    await paste(command);
    expect(await expectCertificate(issuerCa, files, [name])).not.toBe(serial);
  });
});
