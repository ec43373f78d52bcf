// A certificate made while the watch of records is silent: it is downloaded all the same, without a read of the API, and so while the
// API is down.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ClusterError } from '../../src/domain/cluster-error.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import type { Cluster } from '../../src/ports.ts';
import { issue, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { startOperator } from './harness.ts';

/** Reads and writes of the operator, `verb Kind`. */
const calls: string[] = [];
let down = false;
let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;

/** A cluster whose watch of records never brings anything, and that can be down. */
function silent(cluster: Cluster): Cluster {
  async function asked<T>(call: string, run: () => Promise<T>): Promise<T> {
    if (down) throw new ClusterError('Unavailable', 'the API is down');
    calls.push(call);
    return run();
  }
  return {
    get: (kind, ref) => asked(`get ${kind.kind}`, () => cluster.get(kind, ref)),
    list: (kind, options) => asked(`list ${kind.kind}`, () => cluster.list(kind, options)),
    create: (kind, object) => asked(`create ${kind.kind}`, () => cluster.create(kind, object)),
    replace: (kind, object) => asked(`replace ${kind.kind}`, () => cluster.replace(kind, object)),
    replaceStatus: (kind, object) => asked(`replaceStatus ${kind.kind}`, () => cluster.replaceStatus(kind, object)),
    delete: (kind, ref, precondition) => asked(`delete ${kind.kind}`, () => cluster.delete(kind, ref, precondition)),
    apply: (kind, object, options) => asked(`apply ${kind.kind}`, () => cluster.apply(kind, object, options)),
    async *watch(kind, options) {
      for await (const event of cluster.watch(kind, options)) {
        if (kind.kind !== IssuedCertificateKind.kind) yield event;
      }
    },
  };
}

beforeAll(async () => {
  responders = await startResponders();
  operator = await startOperator({
    nameserver: `127.0.0.1:${responders.dns.port}`,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    wrap: silent,
  });
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
});

afterAll(async () => {
  acme.transport.close();
  await operator.stop();
  await stopResponders(responders);
});

beforeEach(() => {
  down = false;
  calls.length = 0;
});

test('order and certificate are shown without a read, whether or not the API answers', async () => {
  const { order, certificateUrl } = await issue(acme, responders, ['silent.test']);
  calls.length = 0;
  const first = await acme.get(certificateUrl);
  expect([first.status, (await acme.get(order.url)).json.status]).toEqual([200, 'valid']);
  expect(calls.filter((call) => call.endsWith(IssuedCertificateKind.kind))).toEqual([]);
  down = true;
  const second = await acme.get(certificateUrl);
  expect([second.status, second.text]).toEqual([200, first.text]);
  expect((await acme.get(order.url)).json.certificate).toBe(certificateUrl);
});

test('a certificate that nobody here has seen is not denied while the API is down', async () => {
  const { certificateUrl } = await issue(acme, responders, ['other.test']);
  down = true;
  const unknown = certificateUrl.replace(/.{3}$/, 'aaa');
  expect((await acme.get(unknown)).status).toBe(503);
});
