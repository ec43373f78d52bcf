// Caddy (Go): a web server that gets its own certificate by tls-alpn-01 or http-01, serves it, and renews it; it revokes nothing by itself.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { type RunningProgram, startProgram } from '../support/child-process.ts';
import { type CertificateFiles, expectIssued } from './certificates.ts';
import { built, describeClient, programFile } from './harness.ts';

/** A certificate is due when its renewal time is nearer than Caddy's next look: with this interval every one is, at the start. */
const ALWAYS_DUE = 'renew_interval 100000h';

interface Caddy extends AsyncDisposable {
  program: RunningProgram;
}

describeClient('Caddy', [built('caddy')], (world) => {
  const at = (name: string): string => join(world().folder, 'caddy', name);

  /** Caddy while it runs with one site; `without` turns off the challenge it must not use. */
  const serve = async (site: string, options: { without: string; globally?: string }): Promise<Caddy> => {
    const { target, http01Port, tlsAlpn01Port } = world();
    await mkdir(at(''), { recursive: true });
    const caddyfile = `{
  admin off
  persist_config off
  skip_install_trust
  storage file_system ${at('storage')}
  default_bind 127.0.0.1
  http_port ${http01Port}
  https_port ${tlsAlpn01Port}
  ${options.globally ?? ''}
}
${site} {
  tls {
    issuer acme {
      dir ${target.directory}
      trusted_roots ${target.ca}
      ${options.without}
    }
  }
  respond "hello from {host}"
}
`;
    await writeFile(at('Caddyfile'), caddyfile);
    const env = { HOME: at('home'), XDG_DATA_HOME: at('home'), XDG_CONFIG_HOME: at('home') };
    const program = startProgram(programFile('caddy'), ['run', '--config', at('Caddyfile'), '--adapter', 'caddyfile'], {
      env,
    });
    return { program, [Symbol.asyncDispose]: () => program.stop() };
  };

  /** The files in Caddy's storage, once they are there and hold another certificate than `previous`. */
  const stored = async ({ program }: Caddy, site: string, previous = ''): Promise<CertificateFiles> => {
    const ended = program.ended.then((status) => {
      throw new Error(`Caddy ended: ${status}\n${program.output()}`);
    });
    const found = async (): Promise<string | undefined> => {
      const entries = await readdir(at('storage'), { recursive: true }).catch((): string[] => []);
      const chain = entries.find((entry) => entry.endsWith(`/${site}.crt`));
      const text = chain === undefined ? '' : await readFile(at(`storage/${chain}`), 'utf8');
      return text === '' || text === previous ? undefined : at(`storage/${chain}`);
    };
    await Promise.race([ended, expect.poll(found, { timeout: 55_000, interval: 200 }).toBeDefined()]);
    const chain = (await found()) ?? '';
    return { chain, key: chain.replace(/\.crt$/, '.key') };
  };

  test('tls-alpn-01: issued, served, renewed at the next start', async () => {
    const site = 'caddy.example.test';
    let first: string;
    let previous: string;
    {
      await using caddy = await serve(site, { without: 'disable_http_challenge' });
      const files = await stored(caddy, site);
      previous = await readFile(files.chain, 'utf8');
      first = await expectIssued(world().target, files, [site]);
      await expect.poll(() => servedSerial(site), { timeout: 55_000 }).toBe(first);
    }
    await using caddy = await serve(site, { without: 'disable_http_challenge', globally: ALWAYS_DUE });
    const second = await expectIssued(world().target, await stored(caddy, site, previous), [site]);
    expect(second).not.toBe(first);
    await expect.poll(() => servedSerial(site), { timeout: 55_000 }).toBe(second);
  });

  test('http-01', async () => {
    const site = 'plain.caddy.example.test';
    await using caddy = await serve(site, { without: 'disable_tlsalpn_challenge' });
    await expectIssued(world().target, await stored(caddy, site), [site]);
  });

  /** Serial number of the certificate that the site presents to one who trusts the issuing CA only. */
  const servedSerial = async (servername: string): Promise<string> => {
    const ca = await readFile(world().target.issuerCa);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: world().tlsAlpn01Port, servername, ca }, () => {
        resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
        socket.destroy();
      });
      socket.once('error', reject);
    });
  };
});
