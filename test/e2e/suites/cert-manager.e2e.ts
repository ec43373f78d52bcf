// A real cert-manager whose ClusterIssuers have our URL, our CA bundle and no solvers.
import { X509Certificate } from 'node:crypto';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { NAMESPACE, RELEASE } from '../../support/helm.ts';
import {
  CERT_MANAGER,
  certificate,
  certificateOf,
  certManagerInstalled,
  clusterIssuer,
  type Condition,
  type Order,
  ordersOf,
  publishedBundle,
  recordsOf,
  refusalOf,
  renew,
  RIGHTS,
  service,
} from '../cert-manager.ts';
import { connectCluster } from '../cluster.ts';
import { caIssuer } from '../objects.ts';
import { type Signer, startSigner } from '../signer.ts';
import { startBind, startIngress, TSIG_KEY } from '../solvers.ts';
import { measureUsage, usage } from '../usage.ts';

const cluster = connectCluster();
let ns = '';
let bundle = '';
let signer: Signer;

interface SecretObject {
  data: Record<string, string>;
}

/** How long the signer is away. */
const OUTAGE_MS = (process.env['OUTAGE_TESTS'] === 'all' ? 10 : 1) * 60_000;

const ACME = { proof: { certManagerOrders: true, services: true } };

const POLICY = {
  apiVersion: 'countersign.dev/v1alpha1',
  kind: 'CertificateRequestPolicy',
};

async function leafOf(name: string): Promise<X509Certificate> {
  const secret = await cluster.get<SecretObject>('secret', `${name}-tls`, ns);
  return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'));
}

const states = async (prefix: string) =>
  (await ordersOf(cluster, ns))
    .filter(({ metadata }) => metadata.name.startsWith(prefix))
    .map(({ status }) => status?.state ?? 'none');

/** A Service and a Certificate for it, each. */
const forServices = (issuer: string, names: readonly string[]) =>
  names.flatMap((name) => [service(name), certificate(name, { issuer, names: [`${name}.${ns}.svc`] })]);

const numbered = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** Every Certificate arrived, by one Order that is valid and one record. */
async function arrivedOnce(issuer: string, names: readonly string[]): Promise<void> {
  const all = names.map((name) => `certificate/${name}`);
  await cluster.kubectl('wait', ...all, '--namespace', ns, '--for=condition=Ready', '--timeout=480s');
  const orders = await ordersOf(cluster, ns);
  const statesOf = (name: string) =>
    orders.filter((each) => certificateOf(each) === name).map((each) => each.status?.state);
  expect(names.map((name) => [name, statesOf(name)])).toEqual(names.map((name) => [name, ['valid']]));
  const records = (await recordsOf(cluster, issuer, ns)).map(({ spec }) => spec.names.join());
  const wanted = names.map((name) => `dns:${name}.${ns}.svc`);
  expect(records.filter((each) => wanted.includes(each)).sort()).toEqual(wanted.sort());
}

const isReady = (name: string, seconds = 240) => cluster.waitFor(`certificate/${name}`, 'condition=Ready', ns, seconds);

beforeAll(async () => {
  await Promise.all([cluster.installed(RIGHTS), certManagerInstalled(cluster)]);
  ns = await cluster.namespace('cm');
  await cluster.apply(
    caIssuer('cm', ['*.{{namespace}}.svc', '*.{{namespace}}.svc.cluster.local'], {
      acme: ACME,
      publishTrust: { configMap: { name: 'cm-trust' } },
    }),
  );
  await cluster.waitFor('clustercaissuer/cm', 'condition=Ready');
  bundle = await publishedBundle(cluster, 'cm-trust');
  await cluster.apply(clusterIssuer('cm', bundle));
  await cluster.waitFor('clusterissuer/cm', 'condition=Ready');
});

test('a Certificate for a Service of its namespace is issued, without a solver', async () => {
  const name = `web.${ns}.svc`;
  await cluster.apply(service('web'), ns);
  const times: number[] = [];
  for (const each of ['web', 'web-2', 'web-3']) {
    const begun = performance.now();
    await cluster.apply(certificate(each, { issuer: 'cm', names: [name, `${name}.cluster.local`] }), ns);
    await isReady(each);
    times.push((performance.now() - begun) / 1000);
  }
  cluster.measure(
    'cert-manager: Certificate applied to Ready, three',
    times.map((s) => `${s.toFixed(1)} s`).join(', '),
  );
  // Five seconds on a machine that does nothing else.
  expect(Math.min(...times)).toBeLessThan(20);
  const leaf = await leafOf('web');
  expect(leaf.subjectAltName).toBe(`DNS:${name}, DNS:${name}.cluster.local`);
  expect(leaf.issuer).toBe('CN=CA of cm');
  const [order] = await ordersOf(cluster, ns, 'web');
  expect(order?.status?.state).toBe('valid');
  const challenges = await cluster.kubectl('get', 'challenges', '--namespace', ns, '--output', 'name');
  expect(challenges).toBe('');
  expect(await recordsOf(cluster, 'cm', ns)).toHaveLength(3);
});

test('a name that policy refuses: kubectl describe order shows the policy and the name', async () => {
  await cluster.apply(certificate('foreign', { issuer: 'cm', names: ['wanted.other.svc'] }), ns);
  const { metadata, status } = await refusalOf(cluster, ns, 'foreign');
  expect(status?.reason).toContain('403');
  expect(status?.reason).toContain('policy "cm" refuses "wanted.other.svc"');
  const text = await cluster.kubectl('describe', 'order', metadata.name, '--namespace', ns);
  expect(text).toContain('policy "cm" refuses "wanted.other.svc"');
  expect(await recordsOf(cluster, 'cm', ns)).toHaveLength(3);
});

test('a Certificate is renewed when cert-manager is told to, and by itself before it ends', async () => {
  const { serialNumber } = await leafOf('web');
  await renew(cluster, ns, 'web');
  const second = await eventually(
    'the Secret has another certificate',
    async () => {
      const leaf = await leafOf('web');
      return leaf.serialNumber === serialNumber ? undefined : leaf;
    },
    240,
  );
  expect(second.subjectAltName).toContain(`DNS:web.${ns}.svc`);
  expect(await recordsOf(cluster, 'cm', ns)).toHaveLength(4);
});

test('a Certificate of a short life is renewed in time without being told to', async () => {
  await cluster.apply(clusterIssuer('cm-duration', bundle, { enableDurationFeature: true }, 'cm'));
  await cluster.waitFor('clusterissuer/cm-duration', 'condition=Ready');
  // cert-manager takes no life under an hour; with this there is a quarter of a minute until the first renewal.
  const spec = { duration: '1h0m0s', renewBefore: '59m45s' };
  await cluster.apply(certificate('short', { issuer: 'cm-duration', names: [`web.${ns}.svc`], spec }), ns);
  await isReady('short');
  const { serialNumber } = await leafOf('short');
  await eventually(
    'it was renewed',
    async () => ((await leafOf('short')).serialNumber === serialNumber ? undefined : true),
    240,
  );
  await cluster.kubectl('delete', 'certificate', 'short', '--namespace', ns);
});

test('keys are minted for namespaces: an Issuer of one is bound with its key, and speaks for it', async () => {
  await cluster.kubectl('label', 'namespace', ns, 'cm-minted=yes');
  await cluster.apply([
    ...caIssuer('cm-bound', ['*.{{namespace}}.svc'], {
      acme: {
        proof: { services: true },
        externalAccountBinding: {
          mode: 'Required',
          mint: { namespaceSelector: { matchLabels: { 'cm-minted': 'yes' } }, secretName: 'acme-eab' },
        },
      },
    }),
  ]);
  await cluster.waitFor('clustercaissuer/cm-bound', 'condition=Ready');
  const secret = await eventually('the key is minted', () => cluster.get<SecretObject>('secret', 'acme-eab', ns));
  expect(Buffer.from(secret.data['keyID'] ?? '', 'base64').toString()).toBe(`ns.${ns}`);
  const spec = (externalAccountBinding: object) => ({
    ...clusterIssuer('bound', bundle, { externalAccountBinding }, 'cm-bound'),
    kind: 'Issuer',
  });
  await cluster.apply(spec({ keyID: `ns.${ns}`, keySecretRef: { name: 'acme-eab', key: 'secret' } }), ns);
  await cluster.waitFor('issuer/bound', 'condition=Ready', ns);
  await cluster.apply(certificate('bound', { issuer: 'bound', kind: 'Issuer', names: [`web.${ns}.svc`] }), ns);
  await isReady('bound');
  const [record] = await recordsOf(cluster, 'cm-bound', ns);
  expect(record?.spec.requester).toMatchObject({ namespace: ns, eabKeyID: `ns.${ns}` });
  await cluster.apply(certificate('bound-other', { issuer: 'bound', kind: 'Issuer', names: ['web.other.svc'] }), ns);
  expect((await refusalOf(cluster, ns, 'bound-other')).status?.reason).toContain('policy "cm-bound" refuses');
});

describe('an issuer on the webhook backend', () => {
  beforeAll(async () => {
    signer = await startSigner(cluster, { name: 'cm-signer', namespace: ns, spec: { acme: ACME } });
    await cluster.apply({
      ...POLICY,
      metadata: { name: 'cm-signer' },
      spec: {
        selector: { issuerRef: { name: 'cm-signer' } },
        allowed: { dnsNames: { values: ['*.{{namespace}}.svc'] } },
      },
    });
    await cluster.apply(clusterIssuer('cm-signer', bundle));
    await cluster.waitFor('clusterissuer/cm-signer', 'condition=Ready');
  });

  test('its signer is away for a while: no Order fails, and the certificates arrive when it is back', {
    timeout: 2 * OUTAGE_MS + 600_000,
  }, async () => {
    const names = numbered('away', 3);
    await signer.stop();
    await cluster.apply(forServices('cm-signer', names), ns);
    await eventually('all have Orders', async () => ((await states('away')).length === 3 ? true : undefined), 120);
    // Long enough that each was tried again, and the breaker opened.
    await sleep(OUTAGE_MS);
    expect(new Set(await states('away'))).toEqual(new Set(['ready']));
    await signer.start();
    const begun = performance.now();
    await arrivedOnce('cm-signer', names);
    // cert-manager was told of each, so that it need not wait for its own time.
    const orders = (await ordersOf(cluster, ns)).filter((order) => names.includes(certificateOf(order) ?? ''));
    const marks = orders.map(({ metadata }) => metadata.annotations?.['countersign.dev/answered']);
    expect(marks).toEqual(names.map(() => expect.stringMatching(/^ic-/) as string));
    const seconds = (performance.now() - begun) / 1000;
    const away = `${OUTAGE_MS / 60_000} min`;
    cluster.measure(`cert-manager: signer back after ${away} to 3 certificates`, `${seconds.toFixed(0)} s`);
  });

  test('five Orders that wait for their signer take nothing from another issuer', async () => {
    const slow = numbered('slow', 5);
    await signer.hold();
    await cluster.apply(forServices('cm-signer', slow), ns);
    await eventually(
      'all five were finalized',
      async () => ((await states('slow')).filter((state) => state === 'ready').length === 5 ? true : undefined),
      120,
    );
    await sleep(3000);
    const begun = performance.now();
    await cluster.apply(forServices('cm', ['fast']), ns);
    await isReady('fast');
    cluster.measure(
      'cert-manager: a Certificate beside five that wait',
      `${((performance.now() - begun) / 1000).toFixed(1)} s`,
    );
    expect((await states('slow')).filter((state) => state === 'valid')).toEqual([]);
    await signer.release();
    await arrivedOnce('cm-signer', slow);
  });
});

/** How far a Certificate has come that waits for its signer in the end. */
const STEPS: Readonly<Record<string, (order: Order | undefined) => boolean>> = {
  'has no Order': () => true,
  'has an Order': (order) => order !== undefined,
  'has an order of ours': (order) => order?.status?.url !== undefined,
  'is finalized': (order) => order?.status?.state === 'ready',
};

describe('killed at each step', () => {
  const issuer = 'cm-signer';
  const kill = async (namespace: string, name: string) => {
    const args = ['--namespace', namespace, '--grace-period=0', '--force', '--ignore-not-found'];
    await cluster.kubectl('delete', 'pod', name, ...args);
  };
  const leader = () =>
    eventually('somebody leads', async () => {
      const lease = await cluster.get<{ spec: { holderIdentity?: string } }>('lease', `${RELEASE}-leader`, NAMESPACE);
      const name = lease?.spec.holderIdentity?.split('_')[0] ?? '';
      return name !== '' && (await cluster.get('pod', name, NAMESPACE)) ? name : undefined;
    });
  const podOf = async (namespace: string, selector: string, not = '') => {
    const args = ['--selector', selector, '--field-selector=status.phase=Running', '--output=name'];
    const found = await cluster.kubectl('get', 'pods', '--namespace', namespace, ...args);
    const names = found.split('\n').map((name) => name.replace('pod/', ''));
    return names.find((name) => name !== '' && name !== not);
  };
  const VICTIMS = {
    'the replica that leads': async () => kill(NAMESPACE, await leader()),
    'a replica that does not lead': async () => {
      const leads = await leader();
      const selector = `app.kubernetes.io/instance=${RELEASE},app.kubernetes.io/name=countersign`;
      await kill(NAMESPACE, await eventually('another runs', () => podOf(NAMESPACE, selector, leads)));
    },
    'cert-manager': async () => {
      const selector = 'app.kubernetes.io/component=controller';
      await kill(CERT_MANAGER, await eventually('cert-manager runs', () => podOf(CERT_MANAGER, selector)));
    },
  };

  afterAll(async () => {
    const where = ['--namespace', NAMESPACE, '--timeout=300s'];
    await cluster.kubectl('rollout', 'status', `deployment/${RELEASE}`, ...where);
  });

  test.each(Object.entries(VICTIMS))('%s: no Order is stuck, and nothing is issued twice', async (who, strike) => {
    const names = Object.keys(STEPS).map((_, i) => `${who.split(' ').at(-1)}-${i}`);
    await signer.hold();
    try {
      for (const [i, [step, isThere]] of Object.entries(STEPS).entries()) {
        const name = names[i] ?? '';
        await cluster.apply(forServices(issuer, [name]), ns);
        await eventually(
          `${name} ${step}`,
          async () => ((await ordersOf(cluster, ns, name)).some(isThere) || i === 0 ? true : undefined),
          300,
        );
        await strike();
      }
    } finally {
      await signer.release();
    }
    await arrivedOnce(issuer, names);
  });
});

test('sixty Certificates at once: how fast, and who writes how much', async () => {
  const names = numbered('many', 60);
  const writes = async () => {
    const found = (await cluster.audit()) ?? [];
    const isWrite = ({ verb }: { verb: string }) => ['create', 'update', 'patch', 'delete'].includes(verb);
    const of = (user: string) =>
      found.filter(
        (entry) =>
          isWrite(entry) &&
          entry.user.username === `system:serviceaccount:${user}` &&
          entry.objectRef?.resource !== 'leases',
      ).length;
    return [of(`${NAMESPACE}:${RELEASE}`), of(`${CERT_MANAGER}:${CERT_MANAGER}`)] as const;
  };
  const idle = await usage(cluster);
  const before = await writes();
  const begun = performance.now();
  await cluster.apply(forServices('cm', names), ns);
  const all = names.map((name) => `certificate/${name}`);
  await cluster.kubectl('wait', ...all, '--namespace', ns, '--for=condition=Ready', '--timeout=480s');
  const seconds = (performance.now() - begun) / 1000;
  const after = await writes();
  cluster.measure('cert-manager: 60 Certificates at once', `${seconds.toFixed(1)} s, ${(60 / seconds).toFixed(1)}/s`);
  const [ours, theirs] = [0, 1].map((i) => (((after[i] ?? 0) - (before[i] ?? 0)) / 60).toFixed(1));
  cluster.measure('API writes for each: ours, of cert-manager', `${ours}, ${theirs}`);
  measureUsage(cluster, 'sixty at once', idle, await usage(cluster, Date.now()));
  await arrivedOnce('cm', names);
});

describe('names that nothing in the cluster proves, with a solver', () => {
  const ZONE = 'outside.example';
  const challenges = async () =>
    (await cluster.kubectl('get', 'challenges', '--namespace', ns, '--output', 'name')).trim();

  async function issue(name: string, issuer: string, host: string): Promise<void> {
    const begun = performance.now();
    await cluster.apply(certificate(name, { issuer, names: [host] }), ns);
    let seen = '';
    await eventually(
      `cert-manager has solved ${host}`,
      async () => {
        seen ||= await challenges();
        const found = await cluster.get<{ status?: { conditions?: Condition[] } }>('certificate', name, ns);
        const ready = found?.status?.conditions?.find(({ type }) => type === 'Ready');
        return ready?.status === 'True' ? true : undefined;
      },
      300,
    );
    cluster.measure(`cert-manager: ${name}`, `${((performance.now() - begun) / 1000).toFixed(1)} s`);
    expect(seen).toContain('challenge');
    expect((await leafOf(name)).subjectAltName).toBe(`DNS:${host}`);
  }

  test('by http-01, with a solver Pod behind an ingress controller', async () => {
    const host = `app.${ns}.${ZONE}`;
    const address = await startIngress(cluster, 'cm-ingress', ns);
    await cluster.resolve({ [host]: address });
    await cluster.apply(caIssuer('cm-http', [`**.${ZONE}`]));
    await cluster.waitFor('clustercaissuer/cm-http', 'condition=Ready');
    const solvers = [{ http01: { ingress: { ingressClassName: 'cm-ingress' } } }];
    await cluster.apply(clusterIssuer('cm-http', bundle, { solvers }));
    await cluster.waitFor('clusterissuer/cm-http', 'condition=Ready');
    await issue('http-01', 'cm-http', host);
  });

  test('by dns-01, with updates of a zone of BIND (RFC 2136), a wildcard', async () => {
    const { address, secret } = await startBind(cluster, ZONE, ns);
    await certManagerInstalled(cluster, [
      '--dns01-recursive-nameservers-only',
      `--dns01-recursive-nameservers=${address}:53`,
    ]);
    const [issuer, policy] = caIssuer('cm-dns', [`**.${ZONE}`], { acme: { validation: { nameservers: [address] } } });
    const { spec } = policy as { spec: { allowed: { dnsNames: object } } };
    const dnsNames = { ...spec.allowed.dnsNames, wildcards: true };
    await cluster.apply([issuer as object, { ...policy, spec: { ...spec, allowed: { dnsNames } } }]);
    await cluster.waitFor('clustercaissuer/cm-dns', 'condition=Ready');
    const key = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'cm-tsig' }, stringData: { secret } };
    await cluster.apply(key, CERT_MANAGER);
    const rfc2136 = {
      nameserver: `${address}:53`,
      tsigKeyName: TSIG_KEY,
      tsigAlgorithm: 'HMACSHA256',
      tsigSecretSecretRef: { name: 'cm-tsig', key: 'secret' },
    };
    await cluster.apply(clusterIssuer('cm-dns', bundle, { solvers: [{ dns01: { rfc2136 } }] }));
    await cluster.waitFor('clusterissuer/cm-dns', 'condition=Ready');
    await issue('dns-01', 'cm-dns', `*.${ns}.${ZONE}`);
  });
});
