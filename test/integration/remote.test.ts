// A CA elsewhere, behind two replicas of `serve` on a real API server: a client of the replica that does not lead has its certificate
// from the one that does, whatever the signer, a process of its own, does meanwhile.
// FAULT_TESTS=all: and though the holder of the lease stands still for 40 s.
import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { expectStatus, finalize, issue, poll, readyOrder, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect } from '../support/acme-wire.ts';
import type { AuditEntry } from '../support/audit-log.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import {
  createRemoteIssuer,
  expectOneRemote,
  recordsOfNames,
  REMOTE,
  remoteIssuerReady,
} from '../support/remote-issuer.ts';
import { NAMESPACE } from '../support/serve.ts';
import { describeOnStage, GROUP, type ServingReplicas, startReplicas } from '../support/serving-stage.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';

const ALL = process.env.FAULT_TESTS === 'all';
const STILL_MS = 40_000;
const CREDENTIAL = 'authentication.kubernetes.io/credential-id';
const READS: readonly string[] = ['get', 'list', 'watch'];

describeOnStage('two replicas and a CA elsewhere', 2, (stage) => {
  let peer: WebhookPeer;
  let replicas: ServingReplicas;
  let follower: AcmeWire;
  /** Of each replica: what the audit log calls its token. */
  let credentials: string[];

  beforeAll(async () => {
    const { plane } = stage();
    peer = await startWebhookPeer();
    await createRemoteIssuer(stage(), peer);
    const tokens = [
      await plane.serviceAccountToken(NAMESPACE, 'countersign'),
      await plane.serviceAccountToken(NAMESPACE, 'countersign'),
    ];
    credentials = tokens.map((token) => {
      const [, claims = ''] = token.split('.');
      const { jti } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { jti: string };
      return `JTI=${jti}`;
    });
    const kubeconfig = await Promise.all(tokens.map((token) => plane.kubeconfigFor(token)));
    replicas = await startReplicas(stage(), { kubeconfig });
    await remoteIssuerReady(stage());
    follower = await clientAt(1 - (await leader()));
  });
  afterEach(() => peer?.behave({ kind: 'sign' }));
  afterAll(async () => {
    // An orderly end is not what is looked at here.
    await Promise.all((replicas?.programs ?? []).map((program) => program.kill()));
    await replicas?.stop();
    await peer?.close();
  });

  const leads = (position: number): boolean => {
    const words = replicas.programs[position]?.output().match(/"msg":"(no longer leading|leading)"/g) ?? [];
    return words.at(-1)?.includes('"leading"') ?? false;
  };
  const leader = () =>
    eventually('one leads', async () => {
      const found = [0, 1].filter(leads);
      return found.length === 1 ? { at: found[0] as number } : undefined;
    }).then(({ at }) => at);

  async function clientAt(position: number): Promise<AcmeWire> {
    const { transport, directoryUrl } = await replicas.client(position);
    const acme = await connect(transport, directoryUrl.replace('/acme/main/', `/acme/${REMOTE}/`));
    await register(acme);
    return acme;
  }

  /** What it asked for, by its token. */
  const ofReplica = (position: number, entries: readonly AuditEntry[]) =>
    entries.filter(({ user }) => user.extra?.[CREDENTIAL]?.includes(credentials[position] ?? ''));

  function aName(): string {
    const name = freshName('remote');
    stage().place(name);
    return name;
  }

  async function ready() {
    const name = aName();
    const order = await readyOrder(follower, stage().responders, [name]);
    const { der } = buildCsr({ names: [name] });
    return { name, order, der };
  }

  /** As a client would: until the order has its end. */
  async function ended(url: string): Promise<string> {
    return (await poll(follower, url, ({ status }) => status !== 'processing' && status !== 'ready')).status;
  }

  test('an order at the replica that does not lead: the certificate and its chain, one record', async () => {
    const name = aName();
    const { certificateUrl, keys } = await issue(follower, stage().responders, [name]);
    const pem = await eventually('the chain is known here, too', async () => {
      const reply = await follower.get(certificateUrl);
      return reply.status === 200 ? reply.text : undefined;
    });
    const [leaf, above] = (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
      (each) => new X509Certificate(each),
    );
    expect(leaf?.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(above?.verify(new X509Certificate(peer.root).publicKey)).toBe(true);
    const record = await expectOneRemote(stage(), peer, [name]);
    expect(leaf?.raw.toString('base64')).toBe(record.status?.certificate);
  });

  test.each([
    ['is slow', { kind: 'slow', ms: 4_000 }],
    ['wants to be polled', { kind: 'pend', polls: 2 }],
  ] as const)('a signer that %s: processing, then valid, asked once', async (_, behaviour) => {
    const { name, order, der } = await ready();
    await peer.behave(behaviour);
    const reply = expectStatus(await finalize(follower, order, der), 200, 'finalize');
    expect(reply.json.status).toBe('processing');
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    expect(await ended(order.url)).toBe('valid');
    const record = await expectOneRemote(stage(), peer, [name]);
    expect((await peer.signed())[record.metadata.name]).toMatchObject({ posts: 1, revoked: [] });
  });

  test.each(['lose', 'die'] as const)(
    'a signer whose answer is lost (%s) is searched, not asked again',
    async (kind) => {
      const { name, order, der } = await ready();
      await peer.behave({ kind });
      expectStatus(await finalize(follower, order, der), 200, 'finalize');
      await peer.behave({ kind: 'forget' });
      expect(await ended(order.url)).toBe('valid');
      const record = await expectOneRemote(stage(), peer, [name]);
      expect((await peer.signed())[record.metadata.name]?.chains).toHaveLength(1);
    },
  );

  test('of two certificates that were signed one is released, the other revoked', async () => {
    const { name, order, der } = await ready();
    await peer.behave({ kind: 'twice' });
    await finalize(follower, order, der);
    expect(await ended(order.url)).toBe('valid');
    const record = await expectOneRemote(stage(), peer, [name]);
    expect((await peer.signed())[record.metadata.name]?.revoked).toHaveLength(1);
  });

  test('a signer that is away: the order waits for it', async () => {
    const { name, order, der } = await ready();
    await peer.stop();
    const reply = expectStatus(await finalize(follower, order, der), 200, 'finalize');
    expect(reply.json.status).toBe('processing');
    await peer.start();
    expect(await ended(order.url)).toBe('valid');
    await expectOneRemote(stage(), peer, [name]);
  });

  if (ALL)
    test('the holder of the lease stands still for 40 s while the CA is about to answer: another finishes, and nothing it had begun is written', async () => {
      const { api, audit } = stage().plane;
      const held = await leader();
      const { name, order, der } = await ready();
      await peer.behave({ kind: 'slow', ms: 3_000 });
      const finalizing = finalize(follower, order, der);
      const [reserved] = await eventually('the CA has been asked', async () => {
        const found = await recordsOfNames(stage(), [name]);
        const [record] = found;
        return record && (await peer.signed())[record.metadata.name]?.chains.length === 1 ? [record] : undefined;
      });
      expect(reserved?.status).toBeUndefined();
      const zombie = replicas.programs[held]?.pid ?? 0;
      expect(ofReplica(held, await audit()).length).toBeGreaterThan(0);
      const said = replicas.programs[held]?.output().length ?? 0;
      process.kill(zombie, 'SIGSTOP');
      try {
        await finalizing;
        await peer.behave({ kind: 'forget' });
        const claim = freshName('zombie');
        const at = `${GROUP}/namespaces/default/certificateclaims`;
        const claimName = claim.split('.')[0] ?? '';
        await api.expect('POST', at, {
          apiVersion: 'countersign.dev/v1alpha1',
          kind: 'CertificateClaim',
          metadata: { name: claimName },
          spec: {
            secretName: `${claimName}-tls`,
            issuerRef: { kind: 'ClusterCAIssuer', name: REMOTE },
            dnsNames: [claim],
          },
        });
        const stopped = performance.now();
        expect(await ended(order.url)).toBe('valid');
        const record = await expectOneRemote(stage(), peer, [name]);
        await sleep(Math.max(0, STILL_MS - (performance.now() - stopped)));
        const before = (await audit()).length;
        process.kill(zombie, 'SIGCONT');
        await eventually('it knows that it does not lead', async () => (leads(held) ? undefined : true));
        await sleep(5_000);
        const late = ofReplica(held, (await audit()).slice(before))
          .filter(({ verb, responseStatus }) => !READS.includes(verb) && (responseStatus?.code ?? 0) < 300)
          .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
        expect(replicas.programs[held]?.output().slice(said)).toContain('no longer leading');
        expect(late).toEqual([]);
        expect(await expectOneRemote(stage(), peer, [name])).toEqual(record);
        await expectOneRemote(stage(), peer, [claim]);
        expect(await leader()).toBe(1 - held);
      } finally {
        process.kill(zombie, 'SIGCONT');
      }
    }, 600_000);
});
