// EJBCA behind the whole program: from an ACME client to the double's end entities and back.
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isIssued } from '../../src/api/issued-certificate.ts';
import { finalize, issue, newOrder, readyOrder } from '../support/acme-flow.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { EJBCA_RAW } from '../support/ejbca-peer.ts';
import { describeWithEjbca } from '../support/ejbca-program.ts';
import { eventually } from '../support/eventually.ts';
import { base64url } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { type EjbcaStage, startEjbcaStage } from './ejbca-stage.ts';

let stage: EjbcaStage;
let peer: EjbcaStage['peer'];
let operator: EjbcaStage['operator'];
let responders: EjbcaStage['responders'];
let acme: EjbcaStage['acme'];

async function expectOne(name: string): Promise<void> {
  const live = (await stage.signedFor(name)).filter(({ reason }) => reason < 0);
  expect(live.map(({ der }) => der.toString('base64'))).toEqual([await stage.released(name)]);
}

describeWithEjbca('EJBCA behind the program', () => {
  beforeAll(async () => {
    stage = await startEjbcaStage(({ spec }) => ({
      backend: { ejbca: { ...spec, timeout: '20s' } },
      subject: { template: 'CN=Shop,O=Example', force: true },
    }));
    ({ peer, operator, responders, acme } = stage);
  });
  afterAll(() => stage?.stop());
  afterEach(() => peer.behave({ kind: 'sign' }));

  test('an order gets a certificate of its CA, without the root', async () => {
    const name = freshName();
    const { certificateUrl, keys } = await issue(acme, responders, [name]);
    const pem = (await acme.get(certificateUrl)).text;
    const chain = (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
      (each) => new X509Certificate(each),
    );
    expect(chain.map(({ subject }) => subject)).toEqual([
      expect.stringContaining('CN=Shop'),
      expect.stringContaining('Double EC CA'),
    ]);
    expect(chain[0]?.subjectAltName).toBe(`DNS:${name}`);
    expect(chain[0]?.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(chain[1]?.verify(new X509Certificate(peer.root).publicKey)).toBe(true);
    await expectOne(name);
  });

  test('twenty orders at a time of one user name are made one after the other, and all are served', {
    timeout: 120_000,
  }, async () => {
    await peer.behave({ kind: 'sign', window: 60 });
    const names = Array.from({ length: 20 }, () => freshName());
    const orders = await Promise.all(names.map((name) => readyOrder(acme, responders, [name])));
    await Promise.all(orders.map((order, i) => finalize(acme, order, buildCsr({ names: [names[i] ?? ''] }).der)));
    expect((await Promise.all(orders.map(({ url }) => stage.settled(url)))).map(({ status }) => status)).toEqual(
      names.map(() => 'valid'),
    );
    const { overlap, entities, certificates } = await peer.state();
    expect(overlap).toBe(0);
    expect(entities).toHaveLength(1);
    expect(certificates.length).toBeGreaterThanOrEqual(20);
    for (const name of names) await expectOne(name);
  });

  test('orders that name their validity are refused at once', async () => {
    const notAfter = new Date(Date.now() + 24 * 3_600_000).toISOString();
    await expect(newOrder(acme, [freshName()], { notAfter })).rejects.toThrow(
      /the CA of this issuer decides when validity begins and ends/,
    );
  });

  test('a refusal ends the order, in words without the inside of EJBCA', async () => {
    const name = `refused.${freshName()}`;
    const order = await readyOrder(acme, responders, [name]);
    await finalize(acme, order, buildCsr({ names: [name] }).der);
    const { status, error } = (await stage.settled(order.url)) as {
      status: string;
      error?: { type: string; detail: string };
    };
    expect(status).toBe('invalid');
    const detail =
      'the CA refused the request: names that begin with "refused" are not\\u000d\\u000asigned \\u202ehere';
    expect(error).toMatchObject({ type: 'urn:ietf:params:acme:error:badCSR', detail });
    expect(await stage.signedFor(name)).toEqual([]);
  });

  describe('nothing that is not as approved is released', () => {
    test.each(['key', 'name', 'missing name', 'validity', 'past', 'issuer', 'chain', 'ca', 'usages'])(
      'wrong %s',
      async (what) => {
        const name = freshName();
        const order = await readyOrder(acme, responders, [name]);
        const before = (await peer.state()).certificates.length;
        await peer.behave({ kind: 'wrong', what });
        await finalize(acme, order, buildCsr({ names: [name] }).der);
        expect((await stage.settled(order.url)).status).toBe('invalid');
        const record = await stage.recordOf(name);
        expect(record && isIssued(record)).toBe(false);
        await eventually('what EJBCA signed is revoked', async () => {
          const made = (await peer.state()).certificates.slice(before);
          return (made.length === 1 && made.every(({ reason }) => reason >= 0)) || undefined;
        });
      },
    );

    test.each([...EJBCA_RAW])('an answer that is %s', { timeout: 120_000 }, async (what) => {
      const name = freshName();
      const order = await readyOrder(acme, responders, [name]);
      await peer.behave({ kind: 'raw', what });
      await finalize(acme, order, buildCsr({ names: [name] }).der);
      expect((await acme.get(order.url)).json.status).toBe('processing');
      const record = await stage.recordOf(name);
      expect(record && isIssued(record)).toBe(false);
      await peer.behave({ kind: 'sign' });
      expect((await stage.settled(order.url)).status).toBe('valid');
      await expectOne(name);
    });
  });

  test('an outage leaves orders alive', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'away' });
    expect((await finalize(acme, order, buildCsr({ names: [name] }).der)).json.status).toBe('processing');
    await peer.behave({ kind: 'sign' });
    expect((await stage.settled(order.url)).status).toBe('valid');
    await expectOne(name);
  });

  test('an answer that was lost costs no second certificate', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'lose', times: 1 });
    await finalize(acme, order, buildCsr({ names: [name] }).der);
    expect((await stage.settled(order.url)).status).toBe('valid');
    expect(await stage.signedFor(name)).toHaveLength(1);
    await expectOne(name);
  });

  test('a revocation is carried to EJBCA with its reason', async () => {
    const name = freshName();
    const { certificateUrl } = await issue(acme, responders, [name]);
    const certificate = new X509Certificate((await acme.get(certificateUrl)).text);
    await acme.post(acme.directory.revokeCert, { certificate: base64url(certificate.raw), reason: 1 });
    await eventually('EJBCA knows', async () => (await stage.signedFor(name))[0]?.reason === 1 || undefined);
  });

  test('no secret stands in the log or in the audit log', () => {
    const key = peer.secrets['ejbca-client']?.['tls.key']?.split('\n')[1] ?? '';
    const said = operator.lines.join('\n') + JSON.stringify(operator.audit);
    expect(key.length).toBeGreaterThan(40);
    expect(said).not.toContain(key);
    expect(said).not.toMatch(/org\.(ejbca|cesecore)\./);
  });
});
