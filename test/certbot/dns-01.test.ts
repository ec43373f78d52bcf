// A plugin of certbot with a credentials file, behind the whole program: names proved by dns-01 to pebble, which asks the BIND that the
// plugin writes to.
import { randomBytes, X509Certificate } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateClaimKind } from '../../src/api/certificate-claim.ts';
import { SecretKind } from '../../src/api/core.ts';
import { createChildRunner } from '../../src/backends/certbot/child-runner.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';
import { type Bind, describeWithBind, startBind } from '../support/bind.ts';
import { describeWithCertbot } from '../support/certbot.ts';
import { freePort } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { describeWithPebble, type Pebble, startPebble } from '../support/pebble.ts';
import { readyIssuer } from '../support/ready-issuer.ts';

const ZONE = 'plugin.test';
const [KEY, WRONG_KEY] = [0, 1].map(() => randomBytes(32).toString('base64')) as [string, string];
let bind: Bind;
let pebble: Pebble;
let operator: Awaited<ReturnType<typeof startOperator>>;

const credentials = (secret: string): string => {
  const [server = '', port = ''] = bind.address.split(':');
  const values = { server, port, name: 'certbot', secret, algorithm: 'HMAC-SHA256' };
  return Object.entries(values)
    .map(([name, value]) => `dns_rfc2136_${name} = ${value}\n`)
    .join('');
};

const secretOf = (name: string, secret: string) => ({
  metadata: { namespace: NAMESPACE, name },
  stringData: { 'credentials.ini': credentials(secret) },
});

async function issuer(name: string, secret: string): Promise<void> {
  await operator.cluster.create(ClusterCAIssuerKind, {
    metadata: { name },
    spec: {
      backend: {
        certbot: {
          // What certbot makes of the path of its accounts is without it.
          config: `server = ${pebble.directory}?of=${name}\n`,
          caBundle: pebble.caBundle,
          trustAnchors: pebble.roots.join(''),
          account: {
            keySecretRef: { name: 'certbot-account' },
            termsOfService: 'data:text/plain,Do%20what%20thou%20wilt',
          },
          dns01: {
            plugin: 'rfc2136',
            credentialsSecretRef: { name: secret, key: 'credentials.ini' },
            propagation: '1s',
          },
        },
      },
      defaults: { duration: '168h' },
    },
  });
  await readyIssuer(operator.cluster, name);
}

const claim = (name: string, issuerName: string, dnsNames: readonly string[]) =>
  operator.cluster.create(CertificateClaimKind, {
    metadata: { namespace: 'default', name },
    spec: {
      issuerRef: { kind: 'ClusterCAIssuer', name: issuerName },
      secretName: `${name}-tls`,
      dnsNames: [...dnsNames],
    },
  });

const leafOf = (name: string) =>
  eventually(`the claim ${name} has its Secret`, async () => {
    const found = await operator.cluster.get(SecretKind, { namespace: 'default', name: `${name}-tls` });
    const pem = Buffer.from(found?.data?.['tls.crt'] ?? '', 'base64').toString();
    return pem === '' ? undefined : new X509Certificate(pem);
  });

async function texts(name: string): Promise<string[]> {
  const resolver = new Resolver();
  resolver.setServers([bind.address]);
  try {
    return (await resolver.resolveTxt(name)).flat();
  } catch (error) {
    if (['ENOTFOUND', 'ENODATA'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

function tests(): void {
  beforeAll(async () => {
    const keys = [{ name: 'certbot', algorithm: 'hmac-sha256', secret: KEY }];
    bind = await startBind([{ name: ZONE, records: [], updatedBy: 'certbot' }], keys);
    pebble = await startPebble({ httpPort: await freePort(), resolver: bind.address });
    const secrets = {
      read: (name: string) => createSecretReader(operator.cluster, NAMESPACE).read(name),
      create: () => Promise.reject(new Error('it makes none')),
    };
    operator = await startOperator({
      nameserver: bind.address,
      overrides: {
        certbot: createChildRunner({
          secrets,
          clock: createClock(),
          random: createRandom(),
          answersURL: 'http://127.0.0.1:1/',
        }),
      },
    });
    await operator.cluster.create(SecretKind, secretOf('right', KEY));
    await operator.cluster.create(SecretKind, secretOf('wrong', WRONG_KEY));
  });

  afterAll(async () => {
    await operator?.stop();
    await pebble?.stop();
    await bind?.stop();
  });

  test('a name and the wildcard over it, whose records are gone afterwards', async () => {
    await issuer('right', 'right');
    const names = [`a.${ZONE}`, `*.a.${ZONE}`];
    await claim('wild', 'right', names);
    const leaf = await leafOf('wild');
    expect(leaf.subjectAltName?.split(', ').sort()).toEqual(names.map((name) => `DNS:${name}`).sort());
    expect(bind.output()).toMatch(/adding an RR at '_acme-challenge\.a\.plugin\.test' TXT/);
    expect(await texts(`_acme-challenge.a.${ZONE}`)).toEqual([]);
    expect(pebble.accounts()).toBe(1);
  });

  test('a key that BIND does not take is said so, is shown to nobody, and another one is taken up', async () => {
    await issuer('wrong', 'wrong');
    await claim('later', 'wrong', [`b.${ZONE}`]);
    const said = await eventually('the log says so', async () =>
      operator.lines.find((line) => /certbot failed: .*the signature we sent/.test(line)),
    );
    expect(said).not.toContain(WRONG_KEY);
    const ref = { namespace: NAMESPACE, name: 'wrong' };
    const before = await operator.cluster.get(SecretKind, ref);
    if (!before) throw new Error('the Secret is gone');
    const data = { 'credentials.ini': Buffer.from(credentials(KEY)).toString('base64') };
    await operator.cluster.replace(SecretKind, { ...before, data });
    expect((await leafOf('later')).subjectAltName).toBe(`DNS:b.${ZONE}`);
    const objects = [
      await operator.cluster.list(ClusterCAIssuerKind),
      await operator.cluster.list(CertificateClaimKind),
    ];
    const shown = JSON.stringify(objects) + operator.lines.join('') + JSON.stringify(operator.audit);
    for (const key of [KEY, WRONG_KEY]) expect(shown).not.toContain(key);
  });
}

describeWithCertbot(
  'dns-01 by a plugin of certbot',
  () => describeWithBind('with BIND', () => describeWithPebble('and pebble', tests)),
  'rfc2136',
);
