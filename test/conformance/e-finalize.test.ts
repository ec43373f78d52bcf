// Checklist section E, finalizing: lines 69, 70 and 72 to 75.
import { expect } from 'vitest';
import {
  authorize,
  complete,
  expectStatus,
  finalize,
  issue,
  newOrder,
  poll,
  readyOrder,
} from '../support/acme-flow.ts';
import { buildCsr, rsaKeys } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import { loseBackend, restoreBackend } from './broken-backend.ts';
import { namesOf, parsed, readCertificate } from './certificates.ts';
import { expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

line(69, 'finalizing a pending order is orderNotReady, and it stays pending', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await newOrder(acme, [name]);
  expectProblem(await finalize(acme, order, buildCsr({ names: [name] }).der), 'orderNotReady/403');
  expect((await acme.get(order.url)).json.status).toBe('pending');
});

line(69, 'finalizing an order with one of two names validated is orderNotReady, and it stays pending', async (t) => {
  const acme = await t.shared();
  const names = [freshName(), freshName()];
  const order = await newOrder(acme, names);
  await authorize(acme, t, order.object.authorizations[0] ?? '');
  expectProblem(await finalize(acme, order, buildCsr({ names }).der), 'orderNotReady/403');
  expect((await acme.get(order.url)).json.status).toBe('pending');
});

line(69, 'finalizing an invalid order is orderNotReady', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await newOrder(acme, [name]);
  await acme.post(order.object.authorizations[0] ?? '', { status: 'deactivated' });
  expectProblem(await finalize(acme, order, buildCsr({ names: [name] }).der), 'orderNotReady/403');
});

line(69, 'finalizing a valid order with another CSR is orderNotReady, and the certificate stays', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const { order, certificateUrl } = await issue(acme, t, [name]);
  const before = (await acme.get(certificateUrl)).text;
  expectProblem(await finalize(acme, order, buildCsr({ names: [name] }).der), 'orderNotReady/403');
  const after = (await acme.get(order.url)).json;
  expect([after.status, after.certificate]).toEqual(['valid', certificateUrl]);
  expect((await acme.get(certificateUrl)).text).toBe(before);
});

line(69, 'finalizing again with the same CSR is 200 with the same certificate', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const { der } = buildCsr({ names: [name] });
  expectStatus(await finalize(acme, order, der), 200, 'finalize');
  const { certificate } = await poll(acme, order.url, ({ status }) => status === 'valid');
  const again = await finalize(acme, order, der);
  expectReply(again, 200);
  expect(again.location).toBe(order.url);
  expect(again.json.certificate).toBe(certificate);
});

line(69, '20 parallel finalizes of one order with one CSR give one certificate', async (t) => {
  const acme = await t.client();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const { der } = buildCsr({ names: [name] });
  const replies = await Promise.all(Array.from({ length: 20 }, () => finalize(acme, order, der)));
  for (const reply of replies) expectReply(reply, 200);
  const { certificate = '' } = await poll(acme, order.url, ({ status }) => status === 'valid');
  const urls = replies.flatMap(({ json }) => (json.certificate === undefined ? [] : [json.certificate]));
  expect(new Set([certificate, ...urls]).size).toBe(1);
  const texts = await Promise.all(Array.from({ length: 5 }, () => acme.get(certificate)));
  expect(new Set(texts.map(({ text }) => text)).size).toBe(1);
});

line(
  69,
  '20 parallel finalizes of one order with 20 CSRs give one certificate, for the CSR that was accepted',
  async (t) => {
    const acme = await t.client();
    const name = freshName();
    const order = await readyOrder(acme, t, [name]);
    const csrs = Array.from({ length: 20 }, () => buildCsr({ names: [name] }));
    const replies = await Promise.all(csrs.map(({ der }) => finalize(acme, order, der)));
    const accepted = csrs.filter((_, index) => replies[index]?.status === 200);
    expect(accepted).toHaveLength(1);
    for (const reply of replies) if (reply.status !== 200) expectProblem(reply, 'orderNotReady/403');
    const { certificate = '' } = await poll(acme, order.url, ({ status }) => status === 'valid');
    const leaf = await readCertificate(acme, { order, keys: csrs[0]?.keys ?? rsaKeys(), certificateUrl: certificate });
    expect(leaf.publicKey.equals(accepted[0]?.keys.publicKey ?? leaf.publicKey)).toBe(true);
  },
);

line(70, 'finalize is 200 with a valid order, or a processing one with Retry-After', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expectReply(reply, 200);
  if (reply.json.status === 'valid') expect(reply.json.certificate).toMatch(/^https:/);
  else expect([reply.json.status, reply.headers['retry-after']]).toEqual(['processing', expect.stringMatching(/\w/)]);
});

line(70, 'Location of finalize is the order', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const reply = await finalize(acme, order, buildCsr({ names: [name] }).der);
  expect(reply.headers.location).toBe(order.url);
});

line(72, 'the name may stand in the SAN alone', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  expectReply(await finalize(acme, order, buildCsr({ names: [name] }).der), 200);
});

line(72, 'the name may stand in the common name and the SAN', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const reply = await finalize(acme, order, buildCsr({ names: [name], commonName: name }).der);
  expectReply(reply, 200);
});

line(72, 'the name may stand in the common name alone', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const reply = await finalize(acme, order, buildCsr({ commonName: name }).der);
  expectReply(reply, 200);
  const { certificate = '' } = await poll(acme, order.url, ({ status }) => status === 'valid');
  const leaf = await readCertificate(acme, { order, keys: rsaKeys(), certificateUrl: certificate });
  expect(namesOf(leaf)).toEqual([`dns:${name}`]);
});

line(73, 'a CSR with the account key is badCSR, and the order stays ready', async (t) => {
  const acme = await t.client();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  expectProblem(await finalize(acme, order, buildCsr({ names: [name], keys: acme.account.key }).der), 'badCSR/400');
  expect((await acme.get(order.url)).json.status).toBe('ready');
});

line(73, "a CSR with another account's key is badCSR, and the order stays ready", async (t) => {
  const acme = await t.shared();
  const { key } = (await t.client()).account;
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  expectProblem(await finalize(acme, order, buildCsr({ names: [name], keys: key }).der), 'badCSR/400');
  expect((await acme.get(order.url)).json.status).toBe('ready');
});

/** Everything that a reply could show of the server's inside. */
const LEAKS = /broken-ca|missing-ca|tls\.key|node:internal|\.ts:\d|\/(work|tmp|root|home)\/|at \w+ \(/;

line(
  74,
  'a backend that is gone leaves the order alive: it is finalized once the backend is back, and nothing leaks',
  async (t) => {
    const acme = await t.client('broken');
    const { order, csr, reply } = await loseBackend(t, acme);
    if (reply.status === 200) expect(reply.json.status).toBe('processing');
    else expectProblem(reply, 'serverInternal/503', 'serverInternal/500');
    expect(reply.text + JSON.stringify(reply.headers)).not.toMatch(LEAKS);
    expect(reply.headers['retry-after']).toMatch(/\w/);
    expect(['ready', 'processing']).toContain((await acme.get(order.url)).json.status);
    await restoreBackend(t);
    await eventually('the order is finalized with the backend back', async () => {
      const again = await finalize(acme, order, csr);
      if (again.status < 500) expectReply(again, 200);
      return again.status === 200 && again.json.status === 'valid' ? again : undefined;
    });
  },
);

line(75, 'the certificate has the names of the order, the key of the CSR, and is no CA', async (t) => {
  const acme = await t.shared();
  const [one, two] = [freshName(), freshName()];
  const issued = await issue(acme, t, [one, `*.${two}`, 'ip:127.0.0.1']);
  const leaf = await readCertificate(acme, issued);
  expect(namesOf(leaf)).toEqual([`dns:${one}`, `dns:*.${two}`, 'ip:127.0.0.1'].sort());
  expect(leaf.publicKey.equals(issued.keys.publicKey)).toBe(true);
  expect(leaf.ca).toBe(false);
  expect(leaf.keyUsage, 'extended key usage').toContain('1.3.6.1.5.5.7.3.1');
  expect(Date.parse(leaf.validTo)).toBeGreaterThan(Date.now());
  expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(Date.now());
  const commonName = parsed(leaf).subjectName.getField('CN')[0];
  if (commonName !== undefined) expect([one, `*.${two}`, '127.0.0.1']).toContain(commonName);
});

line(75, 'serial numbers are positive, unique and of at least 64 random bits', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const serials = new Set<string>();
  for (let count = 0; count < 5; count++)
    serials.add((await readCertificate(acme, await issue(acme, t, [name]))).serialNumber);
  expect(serials.size).toBe(5);
  for (const serial of serials) expect(BigInt(`0x${serial}`)).toBeGreaterThan(2n ** 40n);
});

line(75, 'what a CSR says of validity and issuer is not in the certificate, and RSA keys are certified', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const issued = await complete(acme, order, rsaKeys());
  const leaf = await readCertificate(acme, issued);
  expect(leaf.publicKey.asymmetricKeyType).toBe('rsa');
  expect(namesOf(leaf)).toEqual([`dns:${name}`]);
});
