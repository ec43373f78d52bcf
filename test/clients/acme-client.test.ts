// acme-client (npm, TypeScript/JavaScript): every challenge, a wildcard, an address, renewal, revocation.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import acme from 'acme-client';
import { beforeAll, expect, test } from 'vitest';
import { type CertificateFiles, expectIssued, expectRevoked } from './certificates.ts';
import { serveTlsAlpn, serveWebroot } from './challenge-servers.ts';
import { describeClient } from './harness.ts';

describeClient('acme-client', [], (world) => {
  const at = (name: string): string => join(world().folder, 'acme-client', name);
  let client: acme.Client;
  beforeAll(async () => {
    await mkdir(at('webroot'), { recursive: true });
    acme.axios.defaults.httpsAgent = new Agent({ ca: await readFile(world().target.ca) });
    client = new acme.Client({
      directoryUrl: world().target.directory,
      accountKey: await acme.crypto.createPrivateEcdsaKey(),
      backoffMin: 500,
    });
  });

  const issue = async (challenge: Challenge, names: readonly string[]): Promise<CertificateFiles> => {
    const [key, csr] = await acme.crypto.createCsr({ altNames: [...names] }, await acme.crypto.createPrivateEcdsaKey());
    const chain = await client.auto({
      csr,
      email: 'acme-client@example.test',
      termsOfServiceAgreed: true,
      skipChallengeVerification: true,
      challengePriority: [challenge.type],
      challengeCreateFn: async (authorization, { token }, answer) =>
        challenge.present(authorization.identifier.value, token, answer),
      challengeRemoveFn: async (authorization, { token }, answer) =>
        challenge.remove(authorization.identifier.value, token, answer),
    });
    const files = { chain: at(`${names[0]}.crt`), key: at(`${names[0]}.key`) };
    await writeFile(files.chain, chain);
    await writeFile(files.key, key);
    return files;
  };

  const http: Challenge = {
    type: 'http-01',
    present: (_name, token, answer) => writeFile(at(`webroot/${token}`), answer),
    remove: (_name, token) => rm(at(`webroot/${token}`)),
  };

  test('http-01: two names, renewed, revoked', async () => {
    const names = ['js.example.test', 'www.js.example.test'];
    await using _ = await serveWebroot(world().http01Port, at('webroot'));
    const first = await expectIssued(world().target, await issue(http, names), names);
    const files = await issue(http, names);
    expect(await expectIssued(world().target, files, names)).not.toBe(first);

    const chain = await readFile(files.chain);
    await client.revokeCertificate(chain);
    await expectRevoked(world().target, files.chain);
    await expect(client.revokeCertificate(chain)).rejects.toThrow(/revoked/i);
  });

  test('http-01: an address, step by step', async () => {
    await using _ = await serveWebroot(world().http01Port, at('webroot'));
    const order = await client.createOrder({ identifiers: [{ type: 'ip', value: '127.0.0.1' }] });
    const [authorization] = await client.getAuthorizations(order);
    const challenge = authorization?.challenges.find(({ type }) => type === 'http-01');
    if (!challenge) throw new Error('http-01 is not offered');
    await http.present('127.0.0.1', challenge.token, await client.getChallengeKeyAuthorization(challenge));
    await client.completeChallenge(challenge);
    await client.waitForValidStatus(challenge);
    const [key, csr] = await acme.crypto.createCsr(
      { altNames: ['127.0.0.1'] },
      await acme.crypto.createPrivateEcdsaKey(),
    );
    const files = { chain: at('address.crt'), key: at('address.key') };
    await writeFile(files.chain, await client.getCertificate(await client.finalizeOrder(order, csr)));
    await writeFile(files.key, key);
    await expectIssued(world().target, files, ['127.0.0.1']);
  });

  test('dns-01: a name and its wildcard', async () => {
    const names = ['wild.example.test', '*.wild.example.test'];
    const publish = async (path: string, name: string, value: string): Promise<void> => {
      const body = JSON.stringify({ fqdn: `_acme-challenge.${name}.`, value });
      const response = await fetch(`${world().dnsURL}/${path}`, { method: 'POST', body });
      expect(response.status).toBe(200);
    };
    const dns: Challenge = {
      type: 'dns-01',
      present: (name, _token, answer) => publish('present', name, answer),
      remove: (name, _token, answer) => publish('cleanup', name, answer),
    };
    await expectIssued(world().target, await issue(dns, names), names);
  });

  test('tls-alpn-01', async () => {
    const answers = new Map<string, SecureContextOptions>();
    await using _ = await serveTlsAlpn(world().tlsAlpn01Port, async (name) => answers.get(name) ?? {});
    const alpn: Challenge = {
      type: 'tls-alpn-01',
      present: async (name, _token, answer) => {
        const [key, cert] = await acme.crypto.createAlpnCertificate(
          { identifier: { type: 'dns', value: name } } as acme.Authorization,
          answer,
        );
        answers.set(name, { key, cert });
      },
      remove: async (name) => void answers.delete(name),
    };
    await expectIssued(world().target, await issue(alpn, ['tls.js.example.test']), ['tls.js.example.test']);
  });
});

/** How one type of challenge is answered; `answer` is what acme-client computes for the type. */
interface Challenge {
  type: string;
  present(name: string, token: string, answer: string): Promise<void>;
  remove(name: string, token: string, answer: string): Promise<void>;
}
