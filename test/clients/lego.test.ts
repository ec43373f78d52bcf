// lego (Go): http-01 for names and an address, tls-alpn-01, a wildcard by dns-01, renewal, revocation.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { built, describeClient, programFile } from './harness.ts';

describeClient('lego', [built('lego')], (world) => {
  const lego = (
    names: readonly string[],
    challenge: readonly string[],
    command: readonly string[],
    fails = false,
  ): Promise<string> => {
    const { target, dnsURL, run, runFailing } = world();
    const account = ['--server', target.directory, '--path', folder(), '--email', 'lego@example.test', '--accept-tos'];
    const domains = names.flatMap((name) => ['--domains', name]);
    const env = { LEGO_CA_CERTIFICATES: target.ca, HTTPREQ_ENDPOINT: dnsURL };
    return (fails ? runFailing : run)(programFile('lego'), [...account, ...domains, ...challenge, ...command], { env });
  };
  const folder = (): string => join(world().folder, 'lego');
  const files = (name: string): CertificateFiles => {
    const stem = join(folder(), 'certificates', name.replace('*', '_'));
    return { chain: `${stem}.crt`, key: `${stem}.key` };
  };
  const http = (): string[] => ['--http', '--http.port', `127.0.0.1:${world().http01Port}`];
  const renew = ['renew', '--days', '10000', '--no-random-sleep'];

  test('http-01: two names, renewed by days, revoked', async () => {
    const names = ['lego.example.test', 'www.lego.example.test'];
    await lego(names, http(), ['run']);
    const first = await expectIssued(world().target, files('lego.example.test'), names);

    await lego(names, http(), [...renew, '--ari-disable']);
    expect(await expectIssued(world().target, files('lego.example.test'), names)).not.toBe(first);

    const revoke = ['revoke', '--keep', '--reason', '4'];
    await lego(['lego.example.test'], [], revoke);
    await expectRevoked(world().target, files('lego.example.test').chain);
    expect(await lego(['lego.example.test'], [], revoke, true)).toContain('urn:ietf:params:acme:error:alreadyRevoked');
  });

  test('http-01: an address', async () => {
    await lego(['127.0.0.1'], http(), ['run']);
    await expectIssued(world().target, files('127.0.0.1'), ['127.0.0.1']);
  });

  test('tls-alpn-01: renewed with ARI on', async () => {
    const challenge = ['--tls', '--tls.port', `127.0.0.1:${world().tlsAlpn01Port}`];
    await lego(['tls.lego.example.test'], challenge, ['run']);
    const first = await expectIssued(world().target, files('tls.lego.example.test'), ['tls.lego.example.test']);

    await lego(['tls.lego.example.test'], challenge, renew);
    expect(await expectIssued(world().target, files('tls.lego.example.test'), ['tls.lego.example.test'])).not.toBe(
      first,
    );
  });

  test('dns-01: a wildcard and its name', async () => {
    const challenge = ['--dns', 'httpreq', '--dns.propagation-wait', '1ms', '--dns.resolvers', world().dns.address];
    const names = ['*.wild.example.test', 'wild.example.test'];
    await lego(names, challenge, ['run']);
    await expectIssued(world().target, files('*.wild.example.test'), names);
  });
});
