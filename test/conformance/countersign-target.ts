// Runs our own program as the server under test: `countersign dev` in memory, on a copy of `manifests/` that tests may edit.
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { freePort, startProgram } from '../support/child-process.ts';
import { writeAlternatesSecrets } from './alternate-chains.ts';
import type { Server, Surroundings } from './target.ts';

const ROOT = join(import.meta.dirname, '../..');

export async function startCountersign(surroundings: Surroundings): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-countersign-'));
  const manifests = join(folder, 'manifests');
  await cp(join(import.meta.dirname, 'manifests'), manifests, { recursive: true });
  await writeAlternatesSecrets(manifests);
  const [port, httpPort] = [await freePort(), await freePort()];
  const options = {
    manifests,
    port,
    'http-port': httpPort,
    resolver: surroundings.resolver,
    'http01-port': surroundings.http01Port,
    'tls-alpn01-port': surroundings.tlsAlpn01Port,
    issuer: 'main',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const program = startProgram(process.execPath, [join(ROOT, 'src/main.ts'), 'dev', '--memory', ...flags], {
    cwd: folder,
  });
  const stop = async (): Promise<void> => {
    await program.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const ready = /^ready directory=(\S+) ca=(\S+) issuer-ca=(\S+)$/m;
  const [, directory = '', trustFile = '', rootFile = ''] = await program
    .waitFor(ready)
    .catch(async (error: unknown) => {
      await stop();
      throw error;
    });
  const plainOrigin = `http://127.0.0.1:${httpPort}`;

  return {
    trust: await readFile(trustFile, 'utf8'),
    plainOrigins: [plainOrigin],
    directoryUrl: (issuer) => Promise.resolve(`${dirname(dirname(directory))}/${issuer}/directory`),
    issuerRoot: () => readFile(rootFile, 'utf8'),
    crl: async (issuer, transport) => {
      const reply = await transport.request('GET', `${plainOrigin}/crl/${issuer}.crl`);
      if (reply.status !== 200) throw new Error(`CRL of ${issuer}: ${reply.status} ${reply.text}`);
      return reply.body;
    },
    edit: async (file, change) => {
      const path = join(manifests, file);
      const next = join(folder, `${file}.next`);
      await writeFile(next, change(await readFile(path, 'utf8')));
      await rename(next, path);
    },
    stop,
  };
}
