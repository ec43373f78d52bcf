// Claims and what belongs to them, written by somebody who means harm, with what becomes of each: run on the embedded store and on a real
// API server. The writer may write anything in a namespace of tenants, statuses and Secrets too. Numbers are those of the hostile inputs.
import { createHmac } from 'node:crypto';
import { expect } from 'vitest';
import {
  type CertificateClaim,
  CertificateClaimKind,
  type CertificateClaimSpec,
  type CertificateClaimStatus,
} from '../../src/api/certificate-claim.ts';
import { EventKind, type Secret, SecretKind } from '../../src/api/core.ts';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { type CertificateRecord, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import type { Condition, ObjectMeta } from '../../src/api/kind.ts';
import { parseCertificate } from '../../src/domain/certificate.ts';
import { parsePemCertificates } from '../../src/domain/chain.ts';
import { findCondition } from '../../src/domain/conditions.ts';
import { recordName } from '../../src/issuance/records.ts';
import type { Cluster, ObjectRef } from '../../src/ports.ts';
import { buildCaCertificate, createKeyPair, pemOf } from './certificate-builder.ts';
import { eventually } from './eventually.ts';

export interface Ground {
  /** Somebody who may do anything. */
  cluster: Cluster;
  /** The operator's namespace, one of tenants, and another one. */
  namespace: string;
  tenant: string;
  other: string;
}

export interface HostileClaim {
  input: 63 | 64 | 65 | 66;
  title: string;
  /** Throws where the outcome is another than it should be. */
  run: (ground: Ground) => Promise<void>;
}

type Fields = Partial<CertificateClaimSpec>;

/** Each case has names of its own, so that they can share a ground. */
function subject(ground: Ground, name: string, namespace = ground.tenant) {
  const { cluster } = ground;
  const ref = { namespace, name };
  const secretName = `${name}-tls`;
  return {
    ref,
    secretName,
    create: (fields: Fields = {}, metadata: Partial<ObjectMeta> = {}) =>
      cluster.create(CertificateClaimKind, {
        metadata: { ...metadata, ...ref },
        spec: {
          secretName,
          issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
          dnsNames: [`${name}.test`],
          ...fields,
        },
      }),
    ready: (reason: string) => readyFor(cluster, ref, reason),
    secret: (secret = secretName) => cluster.get(SecretKind, { namespace, name: secret }),
    claim: () => cluster.get(CertificateClaimKind, ref),
    records: async () => recordsOf(ground, name, namespace),
  };
}

const readyFor = (cluster: Cluster, ref: ObjectRef, reason: string): Promise<Condition> =>
  eventually(`the claim ${ref.name} says ${reason}`, async () => {
    const claim = await cluster.get(CertificateClaimKind, ref);
    const ready = findCondition(claim?.status?.conditions, 'Ready');
    return ready?.reason === reason && ready.observedGeneration === claim?.metadata.generation ? ready : undefined;
  });

/** The Ready condition of a tenant's issuer once it is False, for this reason where one is given. */
const issuerReady = ({ cluster }: Ground, ref: ObjectRef, reason?: string): Promise<Condition> =>
  eventually(`the issuer ${ref.name} is not ready: ${reason ?? 'whatever the reason'}`, async () => {
    const issuer = await cluster.get(CAIssuerKind, ref);
    const ready = findCondition(issuer?.status?.conditions, 'Ready');
    return ready?.status === 'False' && (reason === undefined || ready.reason === reason) ? ready : undefined;
  });

async function recordsOf({ cluster, namespace: home }: Ground, claim: string, namespace: string) {
  const { items } = await cluster.list(IssuedCertificateKind, { namespace: home });
  return items.filter(({ spec }) => spec.requester.claim === claim && spec.requester.namespace === namespace);
}

async function aSecret(
  ground: Ground,
  secret: Omit<Partial<Secret>, 'metadata'> & { metadata: Partial<ObjectMeta> & { name: string } },
) {
  const { metadata, ...content } = secret;
  return ground.cluster.create(SecretKind, {
    metadata: { namespace: ground.tenant, ...metadata },
    type: 'Opaque',
    data: { precious: 'eA==' },
    ...content,
  });
}

/** The claim is refused its Secret, which stays as it was to the last byte and version; nothing is issued. */
async function expectLeftAlone(made: Secret, it: ReturnType<typeof subject>, reason: string) {
  await it.ready(reason);
  expect(await it.secret(made.metadata.name)).toEqual(made);
  expect(await it.records()).toEqual([]);
}

const leafOf = (secret: Secret | undefined) =>
  parseCertificate(
    parsePemCertificates(Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString())[0] ?? Buffer.alloc(0),
  );

/** The claim has a certificate of the issuer for its own names. */
async function expectGenuine(it: ReturnType<typeof subject>) {
  await it.ready('Issued');
  const leaf = leafOf(await it.secret());
  expect(leaf.names.dnsNames).toEqual([`${it.ref.name}.test`]);
  const live = (await it.records()).filter(({ spec }) => !spec.revocation);
  expect(live.map(({ status }) => status?.certificate)).toContain(leaf.der.toString('base64'));
  return leaf;
}

/** Sets what of the status is given, against whoever else writes it. */
async function forgeStatus(ground: Ground, ref: ObjectRef, forged: CertificateClaimStatus): Promise<void> {
  await eventually('the status is forged', async () => {
    const claim = await ground.cluster.get(CertificateClaimKind, ref);
    if (!claim) throw new Error('no claim');
    const status = { ...claim.status, ...forged };
    return ground.cluster.replaceStatus(CertificateClaimKind, { ...claim, status }).catch(() => undefined);
  });
}

async function change(
  ground: Ground,
  it: ReturnType<typeof subject>,
  next: (claim: CertificateClaim) => CertificateClaim,
): Promise<void> {
  await eventually('the claim is changed', async () => {
    const claim = await it.claim();
    if (!claim) throw new Error('no claim');
    return ground.cluster.replace(CertificateClaimKind, next(claim)).catch(() => undefined);
  });
}

const refused = async (attempt: Promise<unknown>) => expect(attempt).rejects.toMatchObject({ reason: 'Invalid' });
const stores = (name: string, more: object = {}) => ({
  pkcs12: { create: true, passwordSecretRef: { name, key: 'precious', ...more } },
});
const adopt = { 'countersign.dev/adopt': 'true' };

const CONFUSED_DEPUTIES: readonly HostileClaim[] = [
  {
    input: 63,
    title: 'a namespace in any reference is no field: the object is refused',
    run: async (ground) => {
      const it = subject(ground, 'far');
      const far = { namespace: ground.namespace };
      await refused(it.create({ issuerRef: { kind: 'CAIssuer', name: 'main', ...far } as never }));
      await refused(it.create({ keystores: stores('x', far) }));
      await refused(it.create({ secretNamespace: ground.namespace } as never));
      for (const secretName of [`${ground.other}/x`, '../x', `${ground.other}%2fx`])
        await refused(it.create({ secretName }));
      expect(await it.claim()).toBeUndefined();
    },
  },
  {
    input: 63,
    title: "another namespace's issuer is not found",
    run: async (ground) => {
      const backend = { ca: { secretRef: { name: 'other-ca' }, selfSigned: { commonName: 'Other CA' } } };
      const metadata = { namespace: ground.other, name: 'theirs' };
      await ground.cluster.create(CAIssuerKind, { metadata, spec: { backend } });
      const it = subject(ground, 'borrower');
      await it.create({ issuerRef: { kind: 'CAIssuer', name: 'theirs' } });
      await it.ready('IssuerNotFound');
      expect(await it.secret()).toBeUndefined();
    },
  },
  ...[
    { type: 'Opaque', annotations: {}, name: 'plain' },
    { type: 'kubernetes.io/tls', annotations: {}, name: 'tls' },
    {
      type: 'kubernetes.io/service-account-token',
      annotations: { ...adopt, 'kubernetes.io/service-account.name': 'default' },
      name: 'token',
    },
    { type: 'helm.sh/release.v1', annotations: {}, name: 'release' },
    { type: 'helm.sh/release.v1', annotations: adopt, name: 'helm' },
    { type: 'bootstrap.kubernetes.io/token', annotations: adopt, name: 'bootstrap' },
    { type: 'kubernetes.io/dockerconfigjson', annotations: adopt, name: 'registry' },
    { type: 'kubernetes.io/dockercfg', annotations: adopt, name: 'old-registry' },
    { type: 'kubernetes.io/basic-auth', annotations: adopt, name: 'login' },
    { type: 'kubernetes.io/ssh-auth', annotations: adopt, name: 'ssh' },
    { type: 'example.com/anything', annotations: adopt, name: 'anything' },
  ].map(
    ({ type, annotations, name }): HostileClaim => ({
      input: 63,
      title: `a Secret of somebody else's stays as it is: ${type}${'countersign.dev/adopt' in annotations ? ', even handed over' : ''}`,
      run: async (ground) => {
        const it = subject(ground, `taker-of-${name}`);
        const registry = Buffer.from('{"auths":{}}').toString('base64');
        const data = {
          '.dockerconfigjson': registry,
          '.dockercfg': registry,
          username: 'eA==',
          'ssh-privatekey': 'eA==',
          'tls.crt': 'eA==',
          'tls.key': 'eA==',
          precious: 'eA==',
        };
        const made = await aSecret(ground, { metadata: { name: `precious-${name}`, annotations }, type, data });
        await it.create({ secretName: made.metadata.name });
        await expectLeftAlone(made, it, 'SecretNotOurs');
      },
    }),
  ),
  {
    input: 63,
    title: "the operator's own Secrets and those of kube-system are nobody's target",
    run: async (ground) => {
      for (const [namespace, name] of [
        [ground.namespace, 'countersign-sealing-keys'],
        [ground.namespace, 'main-ca'],
        ['kube-system', 'system-secret'],
      ] as const) {
        if (namespace === 'kube-system') await aSecret(ground, { metadata: { namespace, name } });
        const it = subject(ground, `claim-on-${name}`, namespace);
        const made = await it.secret(name);
        expect(made).toBeDefined();
        await it.create({ secretName: name });
        if (made) await expectLeftAlone(made, it, 'SecretNotOurs');
      }
    },
  },
  {
    input: 63,
    title: 'of two claims for one Secret the older has it, the other says whose it is',
    run: async (ground) => {
      const [first, second] = [subject(ground, 'first'), subject(ground, 'second')];
      await first.create();
      await first.ready('Issued');
      await second.create({ secretName: first.secretName });
      expect((await second.ready('SecretInUse')).message).toContain('CertificateClaim first');
      await expectGenuine(first);
      expect(await second.records()).toEqual([]);
    },
  },
  {
    input: 63,
    title:
      'of two claims made for one Secret at the same moment one has it, the other waits, and each is issued once at most',
    run: async (ground) => {
      const names = ['twin-a', 'twin-b'];
      const twins = names.map((name) => subject(ground, name));
      await Promise.all(twins.map((twin) => twin.create({ secretName: 'twins-tls' })));
      const reasons = await eventually('both are judged', async () => {
        const claims = await Promise.all(twins.map((twin) => twin.claim()));
        const found = claims.map((claim) => findCondition(claim?.status?.conditions, 'Ready')?.reason ?? '');
        return found.toSorted().join() === 'Issued,SecretInUse' ? found : undefined;
      });
      const holder = twins[reasons.indexOf('Issued')];
      const secret = await ground.cluster.get(SecretKind, { namespace: ground.tenant, name: 'twins-tls' });
      expect(leafOf(secret).names.dnsNames).toEqual([`${holder?.ref.name}.test`]);
      const records = await Promise.all(twins.map((twin) => twin.records()));
      // One that saw the other too late has a certificate that is in no Secret, and gets no second one.
      for (const own of records) expect(own.length).toBeLessThanOrEqual(1);
    },
  },
  {
    input: 63,
    title: 'another owner in a Secret, whoever it is, does not make it a claim’s',
    run: async (ground) => {
      const [owner, thief] = [subject(ground, 'true-owner'), subject(ground, 'thief-of-owned')];
      const claim = await owner.create();
      await expectGenuine(owner);
      const { annotations = {} } = (await owner.secret())?.metadata ?? {};
      const others = [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop', uid: '1b4e28ba-2fa1-11d2-883f-0016d3cca427' },
        {
          apiVersion: 'countersign.dev/v1alpha1',
          kind: 'CertificateClaim',
          name: 'true-owner',
          uid: claim.metadata.uid,
        },
      ];
      for (const [i, reference] of others.entries()) {
        const ownerReferences = [{ ...reference, controller: true }];
        const made = await aSecret(ground, { metadata: { name: `owned-${i}`, ownerReferences, annotations } });
        if (i === 0) await thief.create({ secretName: 'owned-0' });
        else await change(ground, thief, (it) => ({ ...it, spec: { ...it.spec, secretName: `owned-${i}` } }));
        await expectLeftAlone(made, thief, 'SecretNotOurs');
      }
    },
  },
  {
    input: 63,
    title: 'an issuer names Secrets without a namespace, and a tenant’s reaches no CA elsewhere',
    run: async ({ cluster, namespace, tenant }) => {
      const ca = { secretRef: { name: 'main-ca' } };
      const far = { ...ca.secretRef, namespace };
      const webhook = {
        url: 'https://ca.test/sign',
        trustAnchors: 'x',
        authentication: { hmac: { secretRef: { name: 'key', key: 'key' } } },
      };
      const metadata = { namespace: tenant, name: 'reacher' };
      const backends: readonly object[] = [
        { ca: { secretRef: far } },
        { ca: { ...ca, passphraseSecretRef: { ...far, key: 'x' } } },
        { ca: { ...ca, alternateChains: [{ ...far, key: 'x' }] } },
        { ca: { ...ca, caBundle: 'x' } },
        { webhook },
        { webhook: { ...webhook, caBundleRef: { ...far, key: 'ca.crt' } } },
      ];
      for (const backend of backends) await refused(cluster.create(CAIssuerKind, { metadata, spec: { backend } }));
      for (const backend of [backends[0], backends[5], { webhook: { ...webhook, caBundle: { ...far } } }])
        await refused(
          cluster.create(ClusterCAIssuerKind, { metadata: { name: 'reacher' }, spec: { backend } as never }),
        );
      expect(await cluster.get(CAIssuerKind, metadata)).toBeUndefined();
    },
  },
  {
    input: 63,
    title: 'a tenant’s issuer makes no CA of what is there for others, and changes none of it',
    run: async (ground) => {
      const { cluster, namespace, tenant } = ground;
      const types = ['helm.sh/release.v1', 'Opaque', 'kubernetes.io/service-account-token'];
      const annotations = { 'kubernetes.io/service-account.name': 'default' };
      for (const [i, type] of types.entries()) {
        const name = `no-ca-${i}`;
        const made = await aSecret(ground, { metadata: { name, annotations }, type });
        const backend = { ca: { secretRef: { name }, selfSigned: { commonName: 'Mine' } } };
        await cluster.create(CAIssuerKind, { metadata: { namespace: tenant, name }, spec: { backend } });
        const { message } = await issuerReady(ground, { namespace: tenant, name }, 'SecretIncomplete');
        expect(message).not.toContain('eA==');
        expect(await cluster.get(SecretKind, { namespace: tenant, name })).toEqual(made);
      }
      const ref = { namespace, name: 'borrows-main' };
      const before = await cluster.get(SecretKind, { namespace, name: 'main-ca' });
      await cluster.create(CAIssuerKind, {
        metadata: ref,
        spec: { backend: { ca: { secretRef: { name: 'main-ca' } } } },
      });
      const { reason } = await issuerReady(ground, ref);
      expect(['NamespaceForbidden', 'SecretUnreadable']).toContain(reason);
      expect(await cluster.get(SecretKind, { namespace, name: 'main-ca' })).toEqual(before);
    },
  },
  {
    input: 63,
    title: 'a token or a key is no password for a store',
    run: async (ground) => {
      const it = subject(ground, 'squeezer');
      const pair = { 'tls.crt': '', 'tls.key': '', precious: 'eA==' };
      await aSecret(ground, { metadata: { name: 'squeezed' }, type: 'kubernetes.io/tls', data: pair });
      await it.create({ keystores: stores('squeezed') });
      await it.ready('PasswordUnusable');
      expect(await it.secret()).toBeUndefined();
    },
  },
];

const selfMade = (name: string): Record<string, string> => {
  const keys = createKeyPair();
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return {
    'tls.crt': Buffer.from(pemOf('CERTIFICATE', buildCaCertificate(`${name}.test`, keys))).toString('base64'),
    'tls.key': Buffer.from(key).toString('base64'),
  };
};

const FORGERIES: readonly HostileClaim[] = [
  {
    input: 64,
    title: 'a status that says Ready gives no certificate to a claim that policy denies',
    run: async (ground) => {
      const it = subject(ground, 'liar');
      await it.create({ dnsNames: ['bank.example'] });
      const denied = await it.ready('Denied');
      const ready = { ...denied, status: 'True' as const, reason: 'Issued', message: 'trust me' };
      await forgeStatus(ground, it.ref, {
        conditions: [ready],
        serial: 'ab',
        record: `ic-${'a'.repeat(52)}`,
        revision: 7,
      });
      await it.ready('Denied');
      expect(await it.secret()).toBeUndefined();
      expect(await it.records()).toEqual([]);
    },
  },
  {
    input: 64,
    title: 'a status that knows a self-made certificate does not make it the one that is kept',
    run: async (ground) => {
      const it = subject(ground, 'self-made');
      await it.create();
      const { serial } = await expectGenuine(it);
      const secret = await it.secret();
      if (!secret) throw new Error('no Secret');
      const { 'countersign.dev/record': _record, ...annotations } = secret.metadata.annotations ?? {};
      const data = { ...secret.data, ...selfMade('self-made') };
      await forgeStatus(ground, it.ref, { serial: leafOf({ ...secret, data }).serial, revision: 1 });
      await ground.cluster.replace(SecretKind, { ...secret, metadata: { ...secret.metadata, annotations }, data });
      await eventually('the certificate is replaced', async () =>
        (await it.claim())?.status?.revision === 2 ? true : undefined,
      );
      expect((await expectGenuine(it)).serial).not.toBe(serial);
    },
  },
  {
    input: 64,
    title:
      'a status with revisions, failures and times beyond all measure neither stops a claim nor makes it run in circles',
    run: async (ground) => {
      const it = subject(ground, 'boaster');
      await it.create();
      await expectGenuine(it);
      const nextAttempt = '9999-01-01T00:00:00Z';
      await forgeStatus(ground, it.ref, { revision: Number.MAX_SAFE_INTEGER, failures: 1_000_000, nextAttempt });
      await eventually('the status is as it was', async () =>
        (await it.claim())?.status?.revision === 1 ? true : undefined,
      );
      await forgeStatus(ground, it.ref, { revision: Number.MAX_SAFE_INTEGER, failures: 1_000_000, nextAttempt });
      await ground.cluster.delete(SecretKind, { namespace: it.ref.namespace, name: it.secretName });
      await eventually('there is a Secret again', async () => it.secret());
      await expectGenuine(it);
      expect((await it.records()).length).toBeLessThanOrEqual(3);
    },
  },
  {
    input: 64,
    title: 'a marker that is copied, guessed or made with another key marks nothing',
    run: async (ground) => {
      const it = subject(ground, 'marked');
      await it.create();
      await expectGenuine(it);
      const { annotations = {} } = (await it.secret())?.metadata ?? {};
      const mac = createHmac('sha256', 'guess').update('x').digest('base64url');
      const forged = [annotations, { ...annotations, 'countersign.dev/marker': `1.${mac}` }];
      for (const [i, marks] of forged.entries()) {
        const thief = subject(ground, `thief-${i}`);
        const made = await aSecret(ground, { metadata: { name: `prey-${i}`, annotations: marks } });
        await thief.create({ secretName: made.metadata.name });
        await expectLeftAlone(made, thief, 'SecretNotOurs');
      }
    },
  },
  {
    input: 64,
    title: 'labels, annotations, owners and finalizers of ours on a claim or a Secret grant nothing',
    run: async (ground) => {
      const it = subject(ground, 'costume');
      const annotations = {
        'countersign.dev/owner': 'x',
        'countersign.dev/adopt': 'true',
        'countersign.dev/policy': 'open',
      };
      const labels = { 'countersign.dev/namespace': ground.namespace, 'countersign.dev/revoked': 'true' };
      await it.create({}, { annotations, labels, finalizers: ['countersign.dev/revoke'] });
      await expectGenuine(it);
      const claim = await it.claim();
      // It never asked to be revoked, so it is not held.
      expect(claim?.metadata.finalizers ?? []).toEqual([]);
      const [record] = await it.records();
      expect(record?.metadata.labels).toMatchObject({ 'countersign.dev/namespace': ground.tenant });
      const owner = { apiVersion: 'countersign.dev/v1alpha1', kind: 'CertificateClaim', controller: true };
      const { name, uid = '' } = claim?.metadata ?? {};
      const ownerReferences = [{ ...owner, name: name ?? '', uid }];
      const made = await aSecret(ground, { metadata: { name: 'owned', ownerReferences, labels } });
      const taker = subject(ground, 'taker');
      await taker.create({ secretName: 'owned' });
      await expectLeftAlone(made, taker, 'SecretNotOurs');
    },
  },
  {
    input: 64,
    title: 'a claim held after its deletion is no claim: its Secret goes to the next, and it gets nothing more',
    run: async (ground) => {
      const [held, next] = [subject(ground, 'held'), subject(ground, 'next')];
      await held.create({}, { finalizers: ['example.com/forever'] });
      await expectGenuine(held);
      await next.create({ secretName: held.secretName });
      await next.ready('SecretInUse');
      await ground.cluster.delete(CertificateClaimKind, held.ref);
      await next.ready('Issued');
      expect(leafOf(await held.secret()).names.dnsNames).toEqual(['next.test']);
      expect(await held.records()).toHaveLength(1);
      await change(ground, held, (claim) => ({ ...claim, metadata: { ...claim.metadata, finalizers: [] } }));
    },
  },
  {
    input: 64,
    title: 'a record made by hand for a request of the claim is never released',
    run: async (ground) => {
      const { cluster, namespace } = ground;
      const [model, it] = [subject(ground, 'model'), subject(ground, 'planted')];
      await model.create();
      await expectGenuine(model);
      const [template] = await model.records();
      if (!template) throw new Error('no record');
      // Suspended by its issuer's absence, so that the record is there first.
      await it.create({ issuerRef: { kind: 'CAIssuer', name: 'later' } });
      await it.ready('IssuerNotFound');
      const { labels, annotations } = template.metadata;
      const requester = { namespace: ground.tenant, claim: 'planted' };
      const plant = async (revision: number, marks: Record<string, string>) => {
        const requestID = `${(await it.claim())?.metadata.uid}/${revision}`;
        const name = recordName('CertificateClaim', requestID);
        const planted: Pick<CertificateRecord, 'spec' | 'status'> = {
          spec: { ...template.spec, requestID, requester },
          ...(template.status ? { status: template.status } : {}),
        };
        const metadata = { namespace, name, labels: { ...labels }, annotations: marks };
        return cluster.create(IssuedCertificateKind, { metadata, ...planted });
      };
      const made = [await plant(1, {}), await plant(2, { ...annotations })];
      await change(ground, it, (claim) => ({
        ...claim,
        spec: { ...claim.spec, issuerRef: { kind: 'ClusterCAIssuer', name: 'main' } },
      }));
      await expectGenuine(it);
      expect((await it.claim())?.status?.revision).toBe(3);
      for (const { metadata } of made) {
        expect(await cluster.get(IssuedCertificateKind, metadata)).toEqual(
          made.find((each) => each.metadata.name === metadata.name),
        );
        await eventually(`an Event tells of ${metadata.name}`, async () => {
          const { items } = await cluster.list(EventKind, { namespace: 'default' });
          return items.find(({ reason, note }) => reason === 'ForgedRecord' && note?.includes(metadata.name));
        });
      }
    },
  },
  {
    input: 64,
    title:
      'a label changed on the record of another claim has it neither revoked nor served, and that claim is none the worse',
    run: async (ground) => {
      const { cluster } = ground;
      const [victim, mallory] = [subject(ground, 'victim', ground.other), subject(ground, 'mallory')];
      await victim.create();
      await expectGenuine(victim);
      const claim = await mallory.create({ revokeOnDelete: true });
      await expectGenuine(mallory);
      const [record] = await victim.records();
      if (!record) throw new Error('no record');
      const labels = { ...record.metadata.labels, 'countersign.dev/claim-uid': claim.metadata.uid };
      const forged = { ...record, metadata: { ...record.metadata, labels } };
      const changed = await cluster.replace(IssuedCertificateKind, forged);
      await cluster.delete(CertificateClaimKind, mallory.ref);
      await eventually('the claim is gone', async () => ((await mallory.claim()) ? undefined : true));
      const [own] = await mallory.records();
      expect(own?.spec.revocation).toBeDefined();
      expect(await cluster.get(IssuedCertificateKind, record.metadata)).toEqual(changed);
      await expectGenuine(victim);
    },
  },
];

const KILO = 'x'.repeat(1024);

const MONSTERS: readonly HostileClaim[] = [
  {
    input: 65,
    title: 'more names, bytes, keys or levels than there may be are refused before anything is stored',
    run: async (ground) => {
      const it = subject(ground, 'monster');
      await refused(it.create({ dnsNames: Array.from({ length: 10_000 }, (_, i) => `n${i}.test`) }));
      await refused(it.create({ uris: Array.from({ length: 17 }, () => 'urn:x') }));
      await refused(it.create({}, { annotations: { big: KILO.repeat(1400) } }));
      const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'x']));
      await refused(it.create({ secretTemplate: { labels: many } }));
      await refused(it.create({ secretTemplate: { annotations: { big: KILO.repeat(5) } } }));
      await refused(it.create({ secretTemplate: { annotations: { 'countersign.dev/marker': 'x' } } }));
      await refused(it.create({ secretTemplate: { labels: { 'kubernetes.io/x': 'x' } } }));
      expect(await it.claim()).toBeUndefined();
    },
  },
  {
    input: 65,
    title: 'what looks like a template or an expression is text',
    run: async (ground) => {
      const it = subject(ground, 'scribe');
      for (const name of ['{{namespace}}.test', '${HOME}.test', '$(id).test', '$..[?(@.x)].test'])
        await refused(it.create({ dnsNames: [name] }));
      const annotations = {
        a: '{{ .Data }}',
        b: '${HOME} $(id)',
        c: '$..[?(@.password)]',
        d: '(a+)+$',
        e: '\u0000\r\n',
      };
      await it.create({ secretTemplate: { annotations } });
      await expectGenuine(it);
      expect((await it.secret())?.metadata.annotations).toMatchObject(annotations);
    },
  },
  {
    input: 65,
    title: 'the most that a claim may want is had',
    run: async (ground) => {
      const it = subject(ground, 'glutton');
      const annotations = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, KILO.repeat(4)]));
      await it.create({ secretTemplate: { annotations } });
      await expectGenuine(it);
      expect((await it.secret())?.metadata.annotations).toMatchObject(annotations);
    },
  },
  {
    input: 66,
    title: 'line breaks and odd characters in a claim make no second line of a condition or an Event',
    run: async (ground) => {
      const it = subject(ground, 'breaker');
      await refused(it.create({ dnsNames: ['a.test\r\nReady=True'] }));
      await it.create({ subject: { organizations: ['Evil\r\nReady: True \u202e\u2028'] } });
      const { message } = await it.ready('InvalidRequest');
      const events = await eventually('there is an Event', async () => {
        const { items } = await ground.cluster.list(EventKind, { namespace: it.ref.namespace });
        const own = items.filter(({ regarding }) => regarding.name === 'breaker');
        return own.length > 0 ? own : undefined;
      });
      for (const text of [message, ...events.map(({ note }) => note)]) expect(text).toMatch(/^[\x20-\x7e]*$/);
    },
  },
];

export const HOSTILE_CLAIMS: readonly HostileClaim[] = [...CONFUSED_DEPUTIES, ...FORGERIES, ...MONSTERS];
