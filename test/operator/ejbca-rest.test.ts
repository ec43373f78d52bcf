// EJBCA by REST behind the whole program: from an ACME client to the double's end entities and back.
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { finalize, issue, newOrder, readyOrder } from '../support/acme-flow.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { EJBCA_REST_RAW } from '../support/ejbca-peer.ts';
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

describeWithEjbca('EJBCA by REST behind the program', () => {
  beforeAll(async () => {
    stage = await startEjbcaStage(({ restSpec }) => ({
      backend: { ejbca: { ...restSpec, timeout: '20s' } },
    }));
    ({ peer, operator, responders, acme } = stage);
  });
  afterAll(() => stage?.stop());
  afterEach(() => peer.behave({ kind: 'sign' }));

  test('an order gets a certificate of its CA, and a condition says what REST cannot do', async () => {
    const name = freshName();
    const { certificateUrl, keys } = await issue(acme, responders, [name]);
    const leaf = new X509Certificate((await acme.get(certificateUrl)).text);
    expect([leaf.subjectAltName, leaf.checkPrivateKey(keys.privateKey)]).toEqual([`DNS:${name}`, true]);
    expect((await stage.signedFor(name)).map(({ der }) => der.toString('base64'))).toEqual([
      await stage.released(name),
    ]);
    const issuer = await operator.cluster.get(ClusterCAIssuerKind, { name: 'main' });
    const reachable = issuer?.status?.conditions?.find(({ type }) => type === 'BackendReachable');
    expect(reachable).toMatchObject({ status: 'True', message: expect.stringContaining('cannot be searched') });
  });

  test('a CSR with more than was approved is refused before EJBCA is asked', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    const reply = await finalize(acme, order, buildCsr({ names: [name, freshName()] }).der);
    expect(reply.problem?.type).toBe('urn:ietf:params:acme:error:badCSR');
    expect(await stage.signedFor(name)).toEqual([]);
  });

  test('a subject of the issuer makes it not ready', async () => {
    const metadata = { name: 'subject' };
    const spec = { backend: { ejbca: peer.restSpec }, subject: { template: 'CN=Shop', force: true } };
    await operator.cluster.create(ClusterCAIssuerKind, { metadata, spec });
    await eventually('the issuer is judged', async () => {
      const issuer = await operator.cluster.get(ClusterCAIssuerKind, metadata);
      const ready = issuer?.status?.conditions?.find(({ type }) => type === 'Ready');
      return ready?.reason === 'SubjectNotControlled' || undefined;
    });
  });

  test('orders that name their validity are refused at once', async () => {
    const notAfter = new Date(Date.now() + 24 * 3_600_000).toISOString();
    await expect(newOrder(acme, [freshName()], { notAfter })).rejects.toThrow(
      /the CA of this issuer decides when validity begins and ends/,
    );
  });

  describe('nothing that is not as approved is released', () => {
    test.each(['key', 'name', 'missing name', 'validity', 'issuer', 'chain', 'ca', 'usages'])(
      'wrong %s',
      async (what) => {
        const [name, other] = [freshName(), freshName()];
        const order = await readyOrder(acme, responders, [name, other]);
        const before = (await peer.state()).certificates.length;
        await peer.behave({ kind: 'wrong', what });
        await finalize(acme, order, buildCsr({ names: [name, other] }).der);
        expect((await stage.settled(order.url)).status).toBe('invalid');
        expect(await stage.released(name)).toBe(false);
        await eventually('what EJBCA signed is revoked', async () => {
          const made = (await peer.state()).certificates.slice(before);
          return (made.length === 1 && made.every(({ reason }) => reason >= 0)) || undefined;
        });
      },
    );

    test.each([...EJBCA_REST_RAW])('an answer that is %s', { timeout: 120_000 }, async (what) => {
      const name = freshName();
      const order = await readyOrder(acme, responders, [name]);
      await peer.behave({ kind: 'raw', what });
      await finalize(acme, order, buildCsr({ names: [name] }).der);
      expect((await acme.get(order.url)).json.status).toBe('processing');
      expect(await stage.released(name)).toBe(false);
      await peer.behave({ kind: 'sign' });
      expect((await stage.settled(order.url)).status).toBe('valid');
    });
  });

  test('an answer that was lost costs a second certificate; one is released, and the audit log says so', async () => {
    const name = freshName();
    const order = await readyOrder(acme, responders, [name]);
    await peer.behave({ kind: 'lose', times: 1 });
    await finalize(acme, order, buildCsr({ names: [name] }).der);
    expect((await stage.settled(order.url)).status).toBe('valid');
    const signed = (await stage.signedFor(name)).map(({ der }) => der.toString('base64'));
    expect(signed).toEqual([expect.any(String), await stage.released(name)]);
    const record = (await stage.recordOf(name))?.metadata.name;
    expect(operator.audit.filter((line) => line['audit'] === 'repetition' && line['record'] === record)).toHaveLength(
      1,
    );
  });

  test('a revocation is carried to EJBCA with its reason', async () => {
    const name = freshName();
    const { certificateUrl } = await issue(acme, responders, [name]);
    const certificate = new X509Certificate((await acme.get(certificateUrl)).text);
    await acme.post(acme.directory.revokeCert, { certificate: base64url(certificate.raw), reason: 1 });
    await eventually('EJBCA knows', async () => (await stage.signedFor(name))[0]?.reason === 1 || undefined);
  });
});
