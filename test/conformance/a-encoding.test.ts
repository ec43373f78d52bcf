// Checklist section A, encodings: lines 18 and 19.
import { expect } from 'vitest';
import { complete, finalize, identifiersOf, issue, readyOrder } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { pemOf } from '../support/certificate-builder.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { base64url, type Jws, signEncoded } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { readCertificate } from './certificates.ts';
import { expectAmong, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';

const line = conformance(import.meta.filename);

const orderFor = (name: string) => ({ identifiers: identifiersOf([name]) });

/** JSON with as many blanks at its end as make base64 padding necessary. */
function inNeedOfPadding(content: object): string {
  let text = JSON.stringify(content);
  while (Buffer.byteLength(text) % 3 !== 1) text += ' ';
  return text;
}
const padded = (text: string): string =>
  Buffer.from(text).toString('base64url') + '=='.slice(Buffer.byteLength(text) % 3 === 1 ? 0 : 1);

/** A request whose parts are encoded by the given functions, and signed as they then read. */
async function encodedBy(
  acme: AcmeWire,
  header: (text: string) => string,
  payload: (text: string) => string,
): Promise<Jws> {
  const { key, url } = acme.account;
  const content = { alg: key.alg, kid: url, nonce: await acme.nonce(), url: acme.directory.newOrder };
  return signEncoded(key, header(inNeedOfPadding(content)), payload(inNeedOfPadding(orderFor(freshName()))));
}

const wrongEncodings: Record<string, (acme: AcmeWire) => Promise<Jws>> = {
  'padding in protected': (acme) => encodedBy(acme, padded, base64url),
  'padding in payload': (acme) => encodedBy(acme, base64url, padded),
  'padding in signature': async (acme) => {
    const jws = await encodedBy(acme, base64url, base64url);
    return { ...jws, signature: `${jws.signature}==` };
  },
  'a line break in payload': (acme) =>
    encodedBy(acme, base64url, (text) => `${base64url(text).slice(0, 8)}\n${base64url(text).slice(8)}`),
  'a blank after protected': (acme) => encodedBy(acme, (text) => `${base64url(text)} `, base64url),
  'the alphabet of plain base64 in signature': async (acme) => {
    for (;;) {
      const jws = await encodedBy(acme, base64url, base64url);
      const signature = jws.signature.replaceAll('-', '+').replaceAll('_', '/');
      if (signature !== jws.signature) return { ...jws, signature };
    }
  },
  'tail bits in payload': (acme) => encodedBy(acme, base64url, (text) => withTailBit(base64url(text))),
};
/** Sets a bit of the last character that no byte uses: a second spelling of the same bytes. */
function withTailBit(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) ?? '') + 1];
}
for (const [name, make] of Object.entries(wrongEncodings)) {
  line(18, `other than unpadded base64url is malformed: ${name}`, async (t) => {
    const acme = await t.shared();
    const jws = await make(acme);
    expectProblem(await acme.post(acme.directory.newOrder, undefined, { tamper: () => jws }), 'malformed/400');
  });
}

line(18, 'padding in csr is malformed, and the order stays ready', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  let csr = buildCsr({ names: [name] });
  while (csr.der.length % 3 === 0) csr = buildCsr({ names: [name] });
  const text = csr.der.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  expectProblem(await acme.post(order.object.finalize, { csr: text }), 'malformed/400');
  await complete(acme, order);
});

line(18, 'plain base64 or PEM in csr is refused, and the order stays ready', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  let { der } = buildCsr({ names: [name] });
  while (!/[+/]/.test(der.toString('base64'))) der = buildCsr({ names: [name] }).der;
  for (const csr of [
    der.toString('base64').replaceAll('=', ''),
    pemOf('CERTIFICATE REQUEST', der),
    7,
    null,
    undefined,
  ]) {
    expectProblem(await acme.post(order.object.finalize, { csr }), 'malformed/400', 'badCSR/400');
  }
  expectReply(await finalize(acme, order, der), 200);
});

line(18, 'a line break in csr is refused', async (t) => {
  const acme = await t.shared();
  const name = freshName();
  const order = await readyOrder(acme, t, [name]);
  const { der } = buildCsr({ names: [name] });
  const text = base64url(der);
  const broken = await acme.post(order.object.finalize, { csr: `${text.slice(0, 64)}\n${text.slice(64)}` });
  expectProblem(broken, 'malformed/400', 'badCSR/400');
});

line(18, 'padding in certificate is malformed, and nothing is revoked', async (t) => {
  const acme = await t.shared();
  let leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  while (leaf.raw.length % 3 === 0) leaf = await readCertificate(acme, await issue(acme, t, [freshName()]));
  const text = leaf.raw.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  expectProblem(await acme.post(acme.directory.revokeCert, { certificate: text }), 'malformed/400');
  expectReply(await acme.post(acme.directory.revokeCert, { certificate: base64url(leaf.raw) }), 200);
});

line(19, 'a body that is not UTF-8 is malformed', async (t) => {
  const acme = await t.shared();
  const tamper = (jws: Jws): Buffer =>
    Buffer.concat([
      Buffer.from(JSON.stringify(jws).slice(0, -1)),
      Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    ]);
  expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
});

line(19, 'a payload or protected header that is not UTF-8 is malformed', async (t) => {
  const acme = await t.shared();
  const withBadByte = (content: object): Buffer =>
    Buffer.concat([
      Buffer.from(JSON.stringify(content).slice(0, -1)),
      Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    ]);
  expectProblem(await acme.post(acme.directory.newOrder, withBadByte(orderFor(freshName()))), 'malformed/400');
  const { key, url } = acme.account;
  const header = { alg: key.alg, kid: url, nonce: await acme.nonce(), url: acme.directory.newOrder };
  const jws = signEncoded(key, base64url(withBadByte(header)), base64url(JSON.stringify(orderFor(freshName()))));
  expectProblem(await acme.post(acme.directory.newOrder, undefined, { tamper: () => jws }), 'malformed/400');
});

line(19, 'duplicate keys are malformed: in the body', async (t) => {
  const acme = await t.shared();
  const tamper = (jws: Jws): string => JSON.stringify(jws).replace('{', `{"payload":"${base64url('{}')}",`);
  expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
});

line(19, 'duplicate keys are malformed: in the protected header', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const header = { alg: key.alg, kid: url, nonce: await acme.nonce(), url: acme.directory.newOrder };
  const text = JSON.stringify(header).replace('{', '{"alg":"none",');
  const jws = signEncoded(key, base64url(text), base64url(JSON.stringify(orderFor(freshName()))));
  expectProblem(await acme.post(acme.directory.newOrder, undefined, { tamper: () => jws }), 'malformed/400');
});

line(19, 'duplicate keys are malformed: in the payload, at any depth', async (t) => {
  const acme = await t.shared();
  const text = JSON.stringify(orderFor(freshName()));
  expectProblem(await acme.post(acme.directory.newOrder, text.replace('{', '{"identifiers":[],')), 'malformed/400');
  const inner = text.replace('{"type":"dns"', '{"value":"other.example.test","type":"dns"');
  expectProblem(await acme.post(acme.directory.newOrder, inner), 'malformed/400');
});

line(19, 'keys named after prototypes change nothing', async (t) => {
  const acme = await t.shared();
  const text = `{"__proto__":{"status":"valid"},"constructor":1,"toString":1,"identifiers":[{"type":"dns","value":"${freshName()}"}]}`;
  const reply = await acme.post(acme.directory.newOrder, text);
  expectAmong(reply.status, [201, 400], 'status');
  if (reply.status === 201) expect(reply.json.status).toBe('pending');
});
