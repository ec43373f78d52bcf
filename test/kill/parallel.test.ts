// Many at once: finalizes of one order, uses of one nonce, replicas of one cluster. One certificate, one record, one acceptance.
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isIssued, type IssuedCertificate, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { createBackends } from '../../src/backends/index.ts';
import { sqliteStorage, storeFile } from '../../src/cluster/sqlite-storage.ts';
import { memoryStorage } from '../../src/cluster/storage.ts';
import type { OperatorDeps } from '../../src/commands/operator.ts';
import type { Backend } from '../../src/ports.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { startOperator } from '../operator/harness.ts';
import { finalize, type Order, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';

const MANY = 20;
const many = <T>(each: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: MANY }, (_, index) => each(index)));

type Operator = Awaited<ReturnType<typeof startOperator>>;

let responders: Responders;
let stopResponders: () => Promise<void>;

beforeAll(async () => {
  const [dns, http01] = [await startDnsServer(), await startHttp01Responder()];
  responders = { dns, http01 } as Responders;
  stopResponders = async () => {
    await dns.stop();
    await http01.stop();
  };
});

afterAll(() => stopResponders());

const settings = () => ({ nameserver: responders.dns.address, http01Port: responders.http01.port });

async function recordsOf(operator: Operator, name: string): Promise<IssuedCertificate[]> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.filter(isIssued).filter(({ spec }) => spec.names.includes(`dns:${name}`));
}

const statuses = (replies: readonly Reply[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

/** Lines of the audit log that tell of a certificate on record, and of those signed in vain. */
function issuances({ audit }: Operator, record: string) {
  const lines = (event: string) => audit.filter((line) => line.audit === event && line.record === record);
  const discarded = lines('discard').map(({ serial }) => serial);
  return {
    kept: lines('issuance')
      .filter(({ serial }) => !discarded.includes(serial))
      .map(({ serial }) => serial),
    discarded,
  };
}

/** Backends that sign, and give the certificate out when `released` says so. */
function signAndHold(released: () => Promise<void>): Pick<OperatorDeps, 'backends'> {
  const held = (backend: Backend): Backend => ({
    ...backend,
    sign: async (request, signal) => {
      const outcome = await backend.sign(request, signal);
      await released();
      return outcome;
    },
  });
  return {
    backends: (deps) => {
      const backends = createBackends(deps);
      return { of: (issuer) => held(backends.of(issuer)) };
    },
  };
}

/** Holds what is signed until so many requests have come in and got as far as they can. */
function createCrowd() {
  let missing = 0;
  let gathered = Promise.withResolvers<void>();
  gathered.resolve();
  const metrics = createMetrics();
  const arrive = (): void => {
    missing--;
    if (missing === 0) setTimeout(gathered.resolve, 100);
  };
  return {
    gather(count: number): void {
      missing = count;
      gathered = Promise.withResolvers<void>();
    },
    overrides: {
      ...signAndHold(() => gathered.promise),
      metrics: { ...metrics, nonces: { inc: (labels) => labels?.outcome === 'accepted' && arrive() } },
    } satisfies Partial<OperatorDeps>,
  };
}

/** As many connections as there will be requests: none of them waits for a handshake. */
async function connected(acme: AcmeWire): Promise<void> {
  await many(() => acme.transport.request('HEAD', acme.directory.newNonce));
}

describe.each(['SQLite', 'memory'])('on %s', (kind) => {
  let folder: string;
  let operator: Operator;
  let acme: AcmeWire;
  const crowd = createCrowd();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-parallel-'));
    const storage = kind === 'SQLite' ? sqliteStorage(storeFile(folder)) : memoryStorage();
    operator = await startOperator({ ...settings(), storage, overrides: crowd.overrides });
    acme = await connect(createTransport(operator.ca), operator.directory);
    await register(acme);
    await connected(acme);
  });

  afterAll(async () => {
    acme.transport.close();
    await operator.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('20 finalizes of an order with one CSR: one certificate for all', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const csr = buildCsr({ names: [name] });
    crowd.gather(MANY);
    const replies = await many(() => finalize(acme, order, csr.der));
    expect(statuses(replies)).toEqual({ 200: MANY });
    const urls = new Set(replies.map(({ json }) => json.certificate));
    expect(urls.size).toBe(1);
    const downloads = new Set((await many(() => acme.get([...urls][0] ?? ''))).map(({ text }) => text));
    expect(downloads.size).toBe(1);
    const records = await recordsOf(operator, name);
    expect(records).toHaveLength(1);
    const certificate = new X509Certificate([...downloads][0] ?? '');
    expect(certificate.raw.toString('base64')).toBe(records[0]?.status.certificate);
    expect(certificate.checkPrivateKey(csr.keys.privateKey)).toBe(true);
    expect(issuances(operator, records[0]?.metadata.name ?? '')).toEqual({
      kept: [records[0]?.status.serial],
      discarded: [],
    });
  });

  test('20 finalizes of an order with 20 CSRs: one gets the certificate, the others are told that it is theirs', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const csrs = Array.from({ length: MANY }, () => buildCsr({ names: [name] }));
    crowd.gather(MANY);
    const replies = await Promise.all(csrs.map(({ der }) => finalize(acme, order, der)));
    expect(statuses(replies)).toEqual({ 200: 1, 403: MANY - 1 });
    for (const reply of replies.filter(({ status }) => status === 403)) {
      expect(reply.problem.type).toBe('urn:ietf:params:acme:error:orderNotReady');
    }
    const winner = csrs[replies.findIndex(({ status }) => status === 200)];
    const records = await recordsOf(operator, name);
    expect(records.map(({ spec }) => spec.csr)).toEqual([winner?.der.toString('base64')]);
    // Afterwards too.
    const again = await Promise.all(csrs.map(({ der }) => finalize(acme, order, der)));
    expect(again.map(({ status }) => status)).toEqual(replies.map(({ status }) => status));
  });

  test('20 uses of a nonce: one is accepted', async () => {
    const nonce = await acme.nonce();
    const orders = await many((index) =>
      acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: freshName(`o${index}`) }] }, { nonce }),
    );
    expect(statuses(orders)).toEqual({ 201: 1, 400: MANY - 1 });
    const refused = orders.filter(({ status }) => status === 400);
    for (const reply of refused) expect(reply.problem.type).toBe('urn:ietf:params:acme:error:badNonce');
    expect(new Set(refused.map((reply) => reply.nonce)).size).toBe(MANY - 1);
  });
});

/** Finalizes at one replica, by the URL that all of them go by. */
async function finalizeAt(
  replica: Operator,
  acme: AcmeWire,
  { order, csr }: { order: Order; csr: Buffer },
): Promise<Reply> {
  const client = acme.another();
  client.account = acme.account;
  const canonical = order.object.finalize;
  const { origin } = new URL(canonical);
  const { nonce } = await client.transport.request('HEAD', client.directory.newNonce.replace(origin, replica.origin));
  return client.post(
    canonical.replace(origin, replica.origin),
    { csr: base64url(csr) },
    { header: { url: canonical, nonce } },
  );
}

describe('two replicas on one cluster, which sign at the same time,', () => {
  let replicas: [Operator, Operator];
  let acme: AcmeWire;

  beforeEach(async () => {
    let signed = 0;
    const both = Promise.withResolvers<void>();
    const together = signAndHold(() => {
      signed++;
      if (signed === 2) both.resolve();
      return both.promise;
    });
    const first = await startOperator({ ...settings(), overrides: together });
    const overrides = { ...together, externalURLs: [first.origin] };
    const second = await startOperator({ ...settings(), wrap: () => first.cluster, overrides });
    replicas = [first, second];
    acme = await connect(createTransport(first.ca), first.directory);
    await register(acme);
  });

  afterEach(async () => {
    acme.transport.close();
    for (const replica of replicas.toReversed()) await replica.stop();
  });

  /** The only record; that and one more certificate are in the audit logs. */
  async function onlyRecord(name: string): Promise<IssuedCertificate | undefined> {
    const records = await recordsOf(replicas[0], name);
    expect(records).toHaveLength(1);
    const [record] = records;
    const found = replicas.map((replica) => issuances(replica, record?.metadata.name ?? ''));
    expect(found.flatMap(({ kept }) => kept)).toEqual([record?.status.serial]);
    expect(found.flatMap(({ discarded }) => discarded)).toHaveLength(1);
    return record;
  }

  test('20 finalizes with one CSR: one record', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const csr = buildCsr({ names: [name] }).der;
    const replies = await many((index) => finalizeAt(replicas[index % 2] as Operator, acme, { order, csr }));
    expect(statuses(replies)).toEqual({ 200: MANY });
    expect(new Set(replies.map(({ json }) => json.certificate)).size).toBe(1);
    await onlyRecord(name);
  });

  test('20 finalizes with 20 CSRs: the record is of one, and only that one is told so', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const csrs = Array.from({ length: MANY }, () => buildCsr({ names: [name] }).der);
    const replies = await Promise.all(
      csrs.map((csr, index) => finalizeAt(replicas[index % 2] as Operator, acme, { order, csr })),
    );
    expect(statuses(replies)).toEqual({ 200: 1, 403: MANY - 1 });
    const winner = csrs[replies.findIndex(({ status }) => status === 200)];
    expect((await onlyRecord(name))?.spec.csr).toBe(winner?.toString('base64'));
  });
});
