// A CA elsewhere, the signer a process of its own that does not know a request again: whatever call the program dies before or after,
// the client gets its certificate, a claim its pair, and no certificate that was signed beside that is left alive.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isIssued, type CertificateRecord } from '../../src/api/issued-certificate.ts';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectPair, lastStep, readWorld } from './oracle.ts';
import { type Program, startProgram } from './program.ts';
import { forEveryCall, LANES, type Outcome, SERIES, SERIES_TIMEOUT, type SeriesKind, UNSEEN_SERIES } from './series.ts';

const ISSUER = 'remote';
let responders: { dns: DnsServer; http01: Http01Responder };

beforeAll(async () => {
  responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
});

afterAll(async () => {
  await responders.dns.stop();
  await responders.http01.stop();
});

interface Lane {
  program: Program;
  peer: WebhookPeer;
}

function manifestsOf({ spec, secrets }: WebhookPeer): object[] {
  const made = Object.entries(secrets).map(([name, stringData]) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'countersign-system' },
    stringData,
  }));
  const issuer = {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name: ISSUER },
    spec: { backend: { webhook: spec } },
  };
  return [...made, issuer];
}

async function startLane(): Promise<Lane> {
  const peer = await startWebhookPeer();
  await peer.behave({ kind: 'forget' });
  const program = await startProgram({
    http01Port: responders.http01.port,
    nameserver: responders.dns.address,
    manifests: { 'remote.yaml': manifestsOf(peer) },
  });
  await program.settle();
  return { program, peer };
}

async function run(
  kill: SeriesKind,
  experiment: (lane: Lane, kill: Kill) => Promise<void>,
): Promise<readonly string[]> {
  const lanes = await Promise.all(Array.from({ length: LANES }, startLane));
  const { deaths, faults } = await forEveryCall(
    kill,
    lanes.map((lane) => async (each: Kill): Promise<Outcome> => {
      await experiment(lane, each);
      return { death: lane.program.deaths()[0] };
    }),
  );
  for (const { program, peer } of lanes) {
    await program.stop();
    await peer.close();
  }
  expect(faults).toEqual([]);
  return deaths;
}

/** One record for the names, its certificate the only one alive at the signer, and told of before it was written. */
async function expectSole({ program, peer }: Lane, names: readonly string[]): Promise<CertificateRecord> {
  const world = readWorld(program.data);
  const records = (world.records as CertificateRecord[]).filter(({ spec }) =>
    names.some((name) => spec.names.includes(`dns:${name}`)),
  );
  expect(records, 'records').toHaveLength(1);
  const [record] = records as [CertificateRecord];
  expect(isIssued(record), 'the record has a certificate').toBe(true);
  const { chains = [], revoked = [] } = (await peer.signed())[record.metadata.name] ?? {};
  const signed = chains.map((pem) => new X509Certificate(pem));
  const live = signed.filter(({ serialNumber }) => !revoked.includes(serialNumber.toLowerCase()));
  expect(live.map(({ raw }) => raw.toString('base64'))).toEqual([record.status?.certificate]);
  expect(signed, 'certificates signed').toHaveLength(1);
  const lines = world.audit.filter(({ audit, serial }) => audit === 'issuance' && serial === record.status?.serial);
  expect(lines.length, 'lines that tell of the certificate').toBeGreaterThan(0);
  return record;
}

async function ordered(lane: Lane, kill: Kill): Promise<void> {
  const { program } = lane;
  const names = [freshName('a'), freshName('b')];
  await program.arm(kill);
  const directory = program.directory.replace('/acme/main/', `/acme/${ISSUER}/`);
  const client = await createClient({ ...program, directory }, responders);
  const obtained = await client.obtain(names);
  await program.settle();
  expect(await client.download(obtained)).toEqual({ status: 'valid', pem: obtained.pem });
  client.close();
  const record = await expectSole(lane, names);
  expect(record.metadata.name).toBe(lastStep(obtained.certificateUrl));
  expect(new X509Certificate(obtained.pem).raw.toString('base64')).toBe(record.status?.certificate);
}

function claim(name: string, dnsNames: readonly string[]): object[] {
  return [
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name, namespace: 'default' },
      spec: { secretName: `${name}-tls`, issuerRef: { kind: 'ClusterCAIssuer', name: ISSUER }, dnsNames },
    },
  ];
}

async function claimed(lane: Lane, kill: Kill): Promise<void> {
  const { program } = lane;
  const name = freshName('c').split('.')[0] ?? '';
  const names = [freshName('a'), freshName('b')];
  await program.arm(kill);
  program.manifest('claim.yaml', claim(name, names));
  const isServed = async (): Promise<true | undefined> => {
    const found = readWorld(program.data).claims.find(({ metadata }) => metadata.name === name);
    return found?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True' || undefined;
  };
  await Promise.race([eventually(`the claim ${name} is served`, isServed), program.fault]);
  await program.settle();
  // One record: the key outlived every death, in the Secret.
  const record = await expectSole(lane, names);
  const secret = readWorld(program.data).secrets.find(({ metadata }) => metadata.name === `${name}-tls`);
  expect(expectPair(secret).certificate.raw.toString('base64')).toBe(record.status?.certificate);
  expect(Object.keys(secret?.data ?? {}).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
}

const RESERVE = 'cluster.create IssuedCertificate';
const FINISH = 'cluster.replace IssuedCertificate';

describe('a CA elsewhere', () => {
  test.each(SERIES)(
    'killed $when each call ($among) of an order, the same client gets its certificate',
    SERIES_TIMEOUT,
    async (kill) => {
      const deaths = await run(kill, ordered);
      // Which calls a k falls on depends on the other lane; those that decide are killed by name below.
      expect(deaths.length).toBeGreaterThan(10);
    },
  );

  test('killed before and after each call that decides', SERIES_TIMEOUT, async () => {
    const lane = await startLane();
    for (const call of [RESERVE, 'backend.search', 'backend.sign', 'audit.record issuance', FINISH]) {
      for (const when of ['before', 'after'] as const) {
        await ordered(lane, { when, among: { call }, at: 1 });
        expect(lane.program.deaths()).toEqual([call]);
      }
    }
    await lane.program.stop();
    await lane.peer.close();
  });

  test.each(UNSEEN_SERIES)(
    'killed $when each call ($among) of a claim, its key meets its certificate',
    SERIES_TIMEOUT,
    async (kill) => {
      const deaths = await run(kill, claimed);
      expect(deaths.length).toBeGreaterThan(3);
    },
  );

  test('killed before and after each write of a claim', SERIES_TIMEOUT, async () => {
    const lane = await startLane();
    for (const call of ['cluster.create Secret', RESERVE, FINISH, 'cluster.replace Secret']) {
      for (const when of ['before', 'after'] as const) {
        await claimed(lane, { when, among: { call }, at: 1 });
        expect(lane.program.deaths()).toEqual([call]);
      }
    }
    await lane.program.stop();
    await lane.peer.close();
  });
});
