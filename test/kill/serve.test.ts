// Replicas of `serve` on a real API server and a CA elsewhere, a process of its own that does not know a request again: whichever
// replica dies, the one that a client talks to or the one that holds the Lease, before or after whatever call, the same client has its
// certificate from the others, a claim its pair, and there is one record and one certificate alive.
// KILL_TESTS=all: at every call, and some Leases run out by themselves; else at every fifth, and at those that decide.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { routed } from '../operator/replicas.ts';
import { createTransport } from '../support/acme-wire.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import { createRemoteIssuer, expectOneRemote, REMOTE, remoteIssuerReady } from '../support/remote-issuer.ts';
import { describeOnStage, GROUP, secretsOf } from '../support/serving-stage.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectPair, lastStep } from './oracle.ts';
import { type KillableReplicas, startKillable } from './serve-program.ts';

const ALL = process.env.KILL_TESTS === 'all';
const LONG = { timeout: 3_600_000 };

/** Who dies: the replica that serves the client and does not lead, or the one that leads while another serves. */
type Victim = 'serving' | 'holder';

describeOnStage('replicas and a CA elsewhere', 2, (stage) => {
  let peer: WebhookPeer;
  let world: KillableReplicas;
  let hurry = true;

  beforeAll(async () => {
    peer = await startWebhookPeer();
    await createRemoteIssuer(stage(), peer);
    world = await startKillable(stage(), { hurry: () => hurry });
    await remoteIssuerReady(stage());
    await peer.behave({ kind: 'forget' });
  }, 240_000);
  afterAll(async () => {
    await world?.stop();
    await peer?.close();
  });

  /** Positions of who serves, and of who is to die. */
  async function cast(victim: Victim): Promise<{ serving: number; dying: number }> {
    const holder = await world.leader();
    const serving = 1 - holder;
    return { serving, dying: victim === 'serving' ? serving : holder };
  }

  /** A client of one replica, which goes to the other while that one is down. */
  async function clientAt(serving: number) {
    const origins = world.replicas.map(({ origin }) => origin);
    const ca = await stage().servingCA();
    const route = () => (world.replicas[serving]?.isUp() ? serving : 1 - serving);
    const program = {
      directory: `${origins[0]}/acme/${REMOTE}/directory`,
      ca,
      fault: world.fault,
      transport: routed(createTransport(ca), origins, route),
    };
    return createClient(program, stage().responders);
  }

  async function ordered(victim: Victim, kill: Kill): Promise<string | undefined> {
    const { serving, dying } = await cast(victim);
    await world.settle();
    const names = [freshName('k')];
    for (const name of names) stage().place(name);
    await world.replicas[dying]?.arm(kill);
    const client = await clientAt(serving);
    const obtained = await client.obtain(names);
    await world.settle();
    const death = world.replicas[dying]?.death();
    await world.replicas[dying]?.arm(undefined);
    expect(await client.download(obtained)).toEqual({ status: 'valid', pem: obtained.pem });
    client.close();
    const record = await expectOneRemote(stage(), peer, names);
    expect(record.metadata.name).toBe(lastStep(obtained.certificateUrl));
    const held = new X509Certificate(obtained.pem);
    expect(held.raw.toString('base64')).toBe(record.status?.certificate);
    expect(held.checkPrivateKey(obtained.keys.privateKey)).toBe(true);
    return death;
  }

  async function claimed(_victim: Victim, kill: Kill): Promise<string | undefined> {
    const { dying } = await cast('holder');
    await world.settle();
    const { api } = stage().plane;
    const dnsName = freshName('c');
    const name = dnsName.split('.')[0] ?? '';
    const at = `${GROUP}/namespaces/default/certificateclaims`;
    await world.replicas[dying]?.arm(kill);
    await api.expect('POST', at, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name },
      spec: { secretName: `${name}-tls`, issuerRef: { kind: 'ClusterCAIssuer', name: REMOTE }, dnsNames: [dnsName] },
    });
    const served = eventually(`the claim ${name} is served`, async () => {
      const { status } = await api.expect<{ status?: { conditions?: { type: string; status: string }[] } }>(
        'GET',
        `${at}/${name}`,
      );
      return status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') || undefined;
    });
    await Promise.race([served, world.fault]);
    await world.settle();
    const death = world.replicas[dying]?.death();
    await world.replicas[dying]?.arm(undefined);
    const record = await expectOneRemote(stage(), peer, [dnsName]);
    const secret = await api.expect<Parameters<typeof expectPair>[0]>('GET', `${secretsOf('default')}/${name}-tls`);
    expect(expectPair(secret).certificate.raw.toString('base64')).toBe(record.status?.certificate);
    return death;
  }

  type Experiment = (victim: Victim, kill: Kill) => Promise<string | undefined>;

  /** Kills at call after call until one outlives them all; returns where it died. */
  async function series(experiment: Experiment, victim: Victim, { when, first, stride }: Spread): Promise<string[]> {
    const deaths: string[] = [];
    for (let at = ALL ? 1 : first; ; at += ALL ? 1 : stride) {
      const death = await experiment(victim, { when, among: 'outside', at }).catch((error: unknown) => {
        throw new Error(`${victim} killed ${when} call ${at}, after deaths at ${deaths.join()}: ${String(error)}`);
      });
      if (death === undefined) return deaths;
      deaths.push(death);
    }
  }

  interface Spread {
    when: Kill['when'];
    /** Where not every call is taken. */
    first: number;
    stride: number;
  }

  const SPREADS: readonly Spread[] = [
    { when: 'before', first: 2, stride: 5 },
    { when: 'after', first: 4, stride: 5 },
  ];

  test.each(SPREADS)('the serving replica is killed $when calls of an order', LONG, async (spread) => {
    const deaths = await series(ordered, 'serving', spread);
    expect(deaths.length).toBeGreaterThan(0);
    process.stdout.write(`serving replica, ${spread.when}: ${deaths.join(', ')}\n`);
    if (ALL)
      expect(deaths).toEqual(
        expect.arrayContaining([
          'cluster.create Account',
          'cluster.create Authorization',
          'cluster.create IssuedCertificate',
          'validators http-01.validate',
          'audit.record decision',
        ]),
      );
  });

  const HOLDER_CALLS = ['backend.sign', 'audit.record issuance', 'cluster.replace IssuedCertificate'];

  const CLAIM_CALLS = [
    'cluster.create Secret',
    'backend.sign',
    'cluster.replace Secret',
    'cluster.replaceStatus CertificateClaim',
  ];

  test.each([
    ['an order', ordered, HOLDER_CALLS],
    ['a claim', claimed, CLAIM_CALLS],
  ] as const)(
    'the holder of the lease is killed before and after the calls of %s that decide',
    LONG,
    async (_, experiment, calls) => {
      hurry = !ALL;
      for (const call of calls)
        for (const when of ['before', 'after'] as const)
          expect(await experiment('holder', { when, among: { call }, at: 1 })).toBe(call);
      hurry = true;
    },
  );

  if (ALL)
    test.each(['before', 'after'] as const)(
      'the holder is killed %s every call of an order and of a claim',
      LONG,
      async (when) => {
        for (const experiment of [ordered, claimed]) {
          const deaths = await series(experiment, 'holder', { when, first: 1, stride: 1 });
          process.stdout.write(`holder, ${when}: ${deaths.join(', ')}\n`);
          // Which calls there are depends on how long it has led; the test above has those that decide.
          expect(deaths.length).toBeGreaterThanOrEqual(HOLDER_CALLS.length);
        }
      },
    );
});
