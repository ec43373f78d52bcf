// An ACME CA upstream that does not do as it was told, behind the whole program: what comes of it is no certificate, and safe words.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { finalize, issue, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeDouble, startAcmeDouble } from '../support/acme-double.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { createJumpingClock } from '../support/jumping-clock.ts';
import { freshName } from '../support/names.ts';
import { startResponders, stopResponders } from '../support/responders.ts';
import { RAW, WRONG } from '../support/webhook-signer-words.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { certificateID, readCertificate } from '../conformance/certificates.ts';
import { startOperator } from '../operator/harness.ts';

let double: AcmeDouble;
let operator: Awaited<ReturnType<typeof startOperator>>;
let responders: Responders;
let acme: AcmeWire;
const clock = createJumpingClock();

beforeAll(async () => {
  responders = await startResponders();
  double = await startAcmeDouble();
  behaveWell();
  operator = await startOperator({
    issuer: {
      backend: {
        acme: {
          directory: double.directory,
          caBundle: double.caBundle,
          trustAnchors: double.root,
          account: { keySecretRef: { name: 'upstream' } },
        },
      },
      defaults: { duration: '168h' },
      acme: { finalizeTimeout: '2s' },
    },
    nameserver: responders.dns.address,
    http01Port: responders.http01.port,
    overrides: { clock },
  });
  await readyIssuer(operator.cluster);
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
});

afterAll(async () => {
  acme?.transport.close();
  await operator?.stop();
  await double?.server.stop();
  await stopResponders(responders);
});

afterEach(behaveWell);

function behaveWell(): void {
  double.reset();
  double.behaviour.directory = { renewalInfo: `${double.server.url}/renewal-info` };
}

async function recordOf(name: string): Promise<CertificateRecord | undefined> {
  const { items } = await operator.cluster.list(IssuedCertificateKind);
  return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
}

/** The problem that an order for these names ends with. */
async function refusal(names: readonly string[]): Promise<{ type: string; detail: string } | undefined> {
  const order = await readyOrder(acme, responders, names);
  const reply = await finalize(acme, order, buildCsr({ names: [...names] }).der);
  if (reply.status !== 200) return reply.problem;
  return (await poll(acme, order.url, ({ status }) => status !== 'processing')).error;
}

describe('a certificate other than approved', () => {
  test.each([...WRONG])('with wrong %s ends the order, is stored nowhere as valid, and is revoked', async (wrong) => {
    const names = [freshName('a'), freshName('b')];
    double.behaviour.wrong = wrong;
    const problem = await refusal(names);
    expect(problem).toMatchObject({
      type: 'urn:ietf:params:acme:error:unauthorized',
      detail: expect.stringContaining('the CA answered with a certificate other than approved'),
    });
    const record = await recordOf(names[0] ?? '');
    expect(record && isIssued(record)).toBe(false);
    expect(
      operator.audit.some(({ audit, record: name }) => audit === 'rejection' && name === record?.metadata.name),
    ).toBe(true);
    await eventually('it is revoked', async () => double.orders.at(-1)?.isRevoked || undefined);
  });
});

test.each([...RAW])('an answer that is %s is asked for again, and one order comes to a certificate', async (raw) => {
  const name = freshName();
  double.behaviour.raw = raw;
  const order = await readyOrder(acme, responders, [name]);
  await finalize(acme, order, buildCsr({ names: [name] }).der);
  const made = () => double.orders.filter(({ identifiers }) => identifiers.some(({ value }) => value === name));
  await eventually('it was asked for', async () => made()[0]?.status === 'valid' || undefined);
  const record = await recordOf(name);
  expect(record && isIssued(record)).toBe(false);
  behaveWell();
  const done = await poll(acme, order.url, ({ status }) => status === 'valid' || status === 'invalid');
  expect(done.status).toBe('valid');
  expect(made()).toHaveLength(1);
});

test('a renewal says upstream what it replaces', async () => {
  const name = freshName();
  const replaces = certificateID(await readCertificate(acme, await issue(acme, responders, [name])));
  await issue(acme, responders, [name], { replaces });
  const made = double.orders.filter(({ identifiers }) => identifiers.some(({ value }) => value === name));
  expect(made.map((order) => order.replaces)).toEqual([undefined, replaces]);
});

test('what upstream says of a renewal is what our own renewal information says', async () => {
  const name = freshName();
  const leaf = await readCertificate(acme, await issue(acme, responders, [name]));
  const url = `${acme.directory.renewalInfo}/${certificateID(leaf)}`;
  const startOf = async () => {
    const reply = await acme.transport.request('GET', url);
    return (JSON.parse(reply.text) as { suggestedWindow: { start: string } }).suggestedWindow.start;
  };
  const start = new Date(clock.now().getTime() + 26 * 3_600_000).toISOString();
  expect(new Date(start) < new Date(await startOf())).toBe(true);
  double.behaviour.renewal = new Date(start);
  await eventually('it is asked, within hours, and told', async () => {
    clock.jump(600_000);
    return (await startOf()) === start || undefined;
  });
});
