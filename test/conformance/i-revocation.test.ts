// Checklist section I, revocation: lines 104 to 106.
import 'reflect-metadata';
import type { X509Certificate } from 'node:crypto';
import { X509Crl } from '@peculiar/x509';
import { expect } from 'vitest';
import { issue, type Issued, readyOrder } from '../support/acme-flow.ts';
import type { AcmeWire, PostOptions, Reply } from '../support/acme-wire.ts';
import { buildCertificate, createKeyPair } from '../support/certificate-builder.ts';
import { generalName, subjectAltName } from '../support/der-writer.ts';
import { eventually } from '../support/eventually.ts';
import { base64url, createSigningKey, signingKey } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { certificateID, readCertificate, readChain } from './certificates.ts';
import { expectClientError, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import type { Target } from './target.ts';

const line = conformance(import.meta.filename);

const revoke = (acme: AcmeWire, der: Uint8Array, extra: object = {}, options: PostOptions = {}): Promise<Reply> =>
  acme.post(acme.directory.revokeCert, { certificate: base64url(der), ...extra }, options);

async function issued(t: Target, acme: AcmeWire, name = freshName()): Promise<Issued & { leaf: X509Certificate }> {
  const made = await issue(acme, t, [name]);
  return { ...made, leaf: await readCertificate(acme, made) };
}

/** ARI tells of revocation without a CRL: the window of a revoked certificate is over. */
async function windowIsOver(t: Target, acme: AcmeWire, leaf: X509Certificate): Promise<boolean> {
  const reply = await t.transport.request('GET', `${acme.directory.renewalInfo}/${certificateID(leaf)}`);
  expectReply(reply, 200);
  return Date.parse(reply.json.suggestedWindow.end) <= Date.now();
}

line(104, 'the account that got it revokes it: 200 with an empty body', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  expect(await windowIsOver(t, acme, leaf)).toBe(false);
  const reply = await revoke(acme, leaf.raw);
  expectReply(reply, 200);
  expect(reply.body).toHaveLength(0);
  expect(await windowIsOver(t, acme, leaf)).toBe(true);
});

line(104, "the certificate's own key revokes it, without an account", async (t) => {
  const acme = await t.shared();
  const { leaf, keys } = await issued(t, acme);
  const reply = await revoke(acme, leaf.raw, {}, { jwkOf: signingKey('ES256', keys) });
  expectReply(reply, 200);
  expect(await windowIsOver(t, acme, leaf)).toBe(true);
});

line(104, 'an account with valid authorizations for all its names revokes it', async (t) => {
  const [acme, other] = [await t.shared(), await t.client()];
  const names = [freshName(), freshName()];
  const leaf = await readCertificate(acme, await issue(acme, t, names));
  await readyOrder(other, t, names);
  const reply = await revoke(other, leaf.raw);
  expectReply(reply, 200);
  expect(await windowIsOver(t, acme, leaf)).toBe(true);
});

line(104, 'a deactivated account cannot revoke, but the certificate’s key still can', async (t) => {
  const acme = await t.client();
  const { leaf, keys } = await issued(t, acme);
  await acme.post(acme.account.url, { status: 'deactivated' });
  expectProblem(await revoke(acme, leaf.raw), 'unauthorized/401');
  expectReply(await revoke(acme, leaf.raw, {}, { jwkOf: signingKey('ES256', keys) }), 200);
});

line(105, 'anybody else is unauthorized, and it stays unrevoked', async (t) => {
  const [acme, other] = [await t.shared(), await t.client()];
  const { leaf } = await issued(t, acme);
  expectProblem(await revoke(other, leaf.raw), 'unauthorized/403');
  expectProblem(await revoke(acme, leaf.raw, {}, { jwkOf: createSigningKey() }), 'unauthorized/403');
  expectProblem(await revoke(acme, leaf.raw, {}, { jwkOf: other.account.key }), 'unauthorized/403');
  expect(await windowIsOver(t, acme, leaf)).toBe(false);
});

line(105, 'an account with valid authorizations for some of its names is unauthorized', async (t) => {
  const [acme, other] = [await t.shared(), await t.client()];
  const [one, two] = [freshName(), freshName()];
  const leaf = await readCertificate(acme, await issue(acme, t, [one, two]));
  await readyOrder(other, t, [one]);
  expectProblem(await revoke(other, leaf.raw), 'unauthorized/403');
  expect(await windowIsOver(t, acme, leaf)).toBe(false);
});

line(105, 'a certificate that is not ours is malformed/404 or unauthorized', async (t) => {
  const acme = await t.shared();
  const keys = createKeyPair();
  const foreign = buildCertificate({
    subject: 'foreign',
    keys,
    extensions: [subjectAltName([generalName.dns(freshName())])],
  });
  expectProblem(await revoke(acme, foreign), 'malformed/404', 'unauthorized/403');
  const byKey = await revoke(acme, foreign, {}, { jwkOf: signingKey('ES256', keys) });
  expectProblem(byKey, 'malformed/404', 'unauthorized/403');
});

line(105, 'a certificate with a forged signature, or of the CA, is not revoked', async (t) => {
  const acme = await t.shared();
  const { leaf, certificateUrl } = await issued(t, acme);
  const forged = Buffer.from(leaf.raw);
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
  const authorities = [
    ...readChain((await acme.get(certificateUrl)).text).slice(1),
    ...readChain(await t.issuerRoot()),
  ];
  for (const der of [forged, ...authorities.map(({ raw }) => raw)]) {
    const reply = await revoke(acme, der);
    expectClientError(reply);
  }
  expect(await windowIsOver(t, acme, leaf)).toBe(false);
});

line(105, 'bad DER is malformed', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  for (const der of [
    Buffer.from('not DER'),
    leaf.raw.subarray(0, -1),
    Buffer.concat([leaf.raw, Buffer.from([0])]),
    Buffer.alloc(0),
  ]) {
    expectProblem(await revoke(acme, der), 'malformed/400');
  }
  for (const certificate of [undefined, 7, null]) {
    expectProblem(await acme.post(acme.directory.revokeCert, { certificate }), 'malformed/400');
  }
});

line(106, 'revoking again is alreadyRevoked, by account and by key', async (t) => {
  const acme = await t.shared();
  const { leaf, keys } = await issued(t, acme);
  expectReply(await revoke(acme, leaf.raw), 200);
  expectProblem(await revoke(acme, leaf.raw), 'alreadyRevoked/400');
  expectProblem(await revoke(acme, leaf.raw, {}, { jwkOf: signingKey('ES256', keys) }), 'alreadyRevoked/400');
});

line(106, 'of 10 parallel revocations one succeeds', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  const replies = await Promise.all(Array.from({ length: 10 }, () => revoke(acme, leaf.raw)));
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
  for (const reply of replies) if (reply.status !== 200) expectProblem(reply, 'alreadyRevoked/400');
});

for (const reason of [7, 11, 100]) {
  line(106, `reason ${reason} is badRevocationReason, and it stays unrevoked`, async (t) => {
    const acme = await t.shared();
    const { leaf } = await issued(t, acme);
    expectProblem(await revoke(acme, leaf.raw, { reason }), 'badRevocationReason/400');
    expect(await windowIsOver(t, acme, leaf)).toBe(false);
  });
}

line(106, 'reason -1 is badRevocationReason', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  expectProblem(await revoke(acme, leaf.raw, { reason: -1 }), 'badRevocationReason/400');
});

line(106, 'a reason that is no whole number is malformed or badRevocationReason', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  for (const reason of ['1', 1.5, null, [1]]) {
    expectProblem(await revoke(acme, leaf.raw, { reason }), 'malformed/400', 'badRevocationReason/400');
  }
});

line(106, 'badRevocationReason lists the reasons allowed', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  const reply = await revoke(acme, leaf.raw, { reason: 7 });
  for (const allowed of [1, 4, 5]) expect(reply.problem.detail).toMatch(new RegExp(`\\b${allowed}\\b`));
});

/** The CRL once it has the certificate. */
function crlWith(t: Target, leaf: X509Certificate): Promise<X509Crl> {
  return eventually('the revoked certificate is on the CRL', async () => {
    const crl = new X509Crl(await t.crl());
    return crl.findRevoked(leaf.serialNumber.toLowerCase()) ? crl : undefined;
  });
}

const crlNumber = (crl: X509Crl): bigint => {
  const value = Buffer.from(crl.extensions.find(({ type }) => type === '2.5.29.20')?.value ?? new ArrayBuffer(0));
  return BigInt(`0x${value.subarray(2).toString('hex')}`);
};

const REASON_CODE = '2.5.29.21';

line(106, 'without a reason the CRL entry has no reasonCode', async (t) => {
  const acme = await t.shared();
  const { leaf } = await issued(t, acme);
  expectReply(await revoke(acme, leaf.raw), 200);
  const entry = (await crlWith(t, leaf)).findRevoked(leaf.serialNumber.toLowerCase());
  expect(entry?.extensions.some(({ type }) => type === REASON_CODE)).toBe(false);
  expect(Math.abs((entry?.revocationDate.getTime() ?? 0) - Date.now())).toBeLessThan(600_000);
});

line(106, 'the reason given is in the CRL entry', async (t) => {
  const acme = await t.shared();
  for (const reason of [1, 4, 5]) {
    const { leaf } = await issued(t, acme);
    expectReply(await revoke(acme, leaf.raw, { reason }), 200);
    const entry = (await crlWith(t, leaf)).findRevoked(leaf.serialNumber.toLowerCase());
    expect(entry?.reason).toBe(reason);
  }
});

line(106, 'the CRL is signed by the issuer, is current, and its number grows', async (t) => {
  const acme = await t.shared();
  const first = await issued(t, acme);
  expectReply(await revoke(acme, first.leaf.raw), 200);
  const before = await crlWith(t, first.leaf);
  const [authority] = [
    ...readChain((await acme.get(first.certificateUrl)).text).slice(1),
    ...readChain(await t.issuerRoot()),
  ];
  const { X509Certificate: ParsedCertificate } = await import('@peculiar/x509');
  if (!authority) throw new Error('no issuer');
  expect(await before.verify({ publicKey: new ParsedCertificate(authority.raw) })).toBe(true);
  expect(before.thisUpdate.getTime()).toBeLessThanOrEqual(Date.now());
  expect(before.nextUpdate?.getTime()).toBeGreaterThan(Date.now());
  const second = await issued(t, acme);
  expectReply(await revoke(acme, second.leaf.raw), 200);
  const after = await crlWith(t, second.leaf);
  expect(crlNumber(after) > crlNumber(before)).toBe(true);
  expect(after.findRevoked(first.leaf.serialNumber.toLowerCase()), 'the first stays on it').not.toBeNull();
});
