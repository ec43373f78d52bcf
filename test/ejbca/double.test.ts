// The double of EJBCA, judged before anything is judged by it: Serles as it is gets its certificates, and mistakes are not forgiven.
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ejbcaBackend } from '../../src/backends/ejbca/index.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { anIssuer, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest, createKey, type KeyKind } from '../contract/models.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { pemOf } from '../support/certificate-builder.ts';
import { type EjbcaPeer, startEjbcaPeer } from '../support/ejbca-peer.ts';
import { describeWithEjbca } from '../support/ejbca-program.ts';
import { freshName } from '../support/names.ts';
import { type Serles, serlesFor, serlesMissing } from './serles.ts';
import { type RawRequest, rightRequest, WRONG_REQUESTS } from './wrong-requests.ts';
import { type RestRequest, rightRestRequest, WRONG_REST_REQUESTS } from './wrong-rest-requests.ts';

let peer: EjbcaPeer;
let serles: Serles;
const folder = mkdtempSync(join(tmpdir(), 'countersign-serles-'));

interface Reply {
  status: number;
  text: string;
}

async function send(
  { body, headers }: RawRequest,
  { withClient = true, url = peer.spec.url, method = 'POST' } = {},
): Promise<Reply> {
  const client = withClient ? peer.secrets['ejbca-client'] : undefined;
  const tls = { ca: peer.spec.caBundle, ...(client ? { cert: client['tls.crt'], key: client['tls.key'] } : {}) };
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, ...tls, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

const sendRest = ({ method, path, ...raw }: RestRequest): Promise<Reply> =>
  send(raw, { method, url: peer.restSpec.url + path });

/** Facts of a request that nothing is wrong with: its subject, key and user name are those of no other. */
function freshFacts(keys = createKey('P-256')) {
  const name = freshName();
  const { csr } = aSigningRequest({ names: { dnsNames: [name] }, keys });
  return { username: name, subjectDN: `CN=${name}`, names: `dNSName=${name}`, csr: csr.toString('base64') };
}

describeWithEjbca('the double of EJBCA', () => {
  beforeAll(async () => {
    peer = await startEjbcaPeer();
    serles = serlesFor(peer, folder);
  });
  afterAll(async () => {
    await peer?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => peer.behave({ kind: 'sign' }));

  test('serves a request as the Web Service documents it', async () => {
    const { status, text } = await send(rightRequest(freshFacts()));
    expect({ status, text }).toMatchObject({
      status: 200,
      text: expect.stringMatching(/<return><responseType>PKCS7WITHCHAIN<\/responseType><data>/),
    });
  });

  test.each(WRONG_REQUESTS)('does not serve $title', async ({ change, answer }) => {
    const before = (await peer.state()).certificates.length;
    const { status, text } = await send(change(freshFacts()));
    expect(status).not.toBe(200);
    expect(text).toMatch(answer);
    expect((await peer.state()).certificates).toHaveLength(before);
  });

  test('does not serve a second user name for one subject, nor for one key', async () => {
    const keys = createKey('P-256');
    const facts = freshFacts(keys);
    expect((await send(rightRequest(facts))).status).toBe(200);
    const other = { ...freshFacts(), subjectDN: facts.subjectDN };
    expect((await send(rightRequest(other))).text).toContain(
      'CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER',
    );
    expect((await send(rightRequest(freshFacts(keys)))).text).toContain(
      'CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER',
    );
  });

  test('does not serve who has no client certificate', async () => {
    await expect(send(rightRequest(freshFacts()), { withClient: false })).rejects.toThrow(/alert|socket|ECONNRESET/i);
  });

  test('fails where two requests edit one end entity at a time', async () => {
    await peer.behave({ kind: 'sign', window: 300 });
    const facts = freshFacts();
    const answers = await Promise.all([
      send(rightRequest(facts)),
      send(rightRequest({ ...facts, csr: freshFacts().csr })),
    ]);
    expect(answers.map(({ status }) => status)).toContain(500);
    expect((await peer.state()).overlap).toBeGreaterThan(0);
  });

  test('serves a request by REST as that is documented', async () => {
    const { status, text } = await sendRest(rightRestRequest(freshFacts()));
    expect(status).toBe(201);
    const { certificate, certificate_chain: above, serial_number: serial } = JSON.parse(text) as Record<string, string>;
    const leaf = new X509Certificate(Buffer.from(certificate ?? '', 'base64'));
    expect(leaf.serialNumber).toBe(serial);
    expect(above).toHaveLength(2);
  });

  test('tells no chain by REST where nobody asks for it', async () => {
    const { text } = await sendRest(rightRestRequest(freshFacts(), { include_chain: false }));
    expect(JSON.parse(text)).not.toHaveProperty('certificate_chain');
  });

  test.each(WRONG_REST_REQUESTS)('does not serve by REST $title', async ({ change, status, answer }) => {
    const before = (await peer.state()).certificates.length;
    const reply = await sendRest(change(freshFacts()));
    expect(reply).toMatchObject({ status, text: expect.stringMatching(answer) });
    expect((await peer.state()).certificates).toHaveLength(before);
  });

  test('does not serve by REST a second user name for one key', async () => {
    const name = freshName();
    const { csr } = aSigningRequest({ names: { dnsNames: [name] }, keys: createKey('P-256') });
    const facts = { ...freshFacts(), csr: csr.toString('base64') };
    expect((await sendRest(rightRestRequest(facts))).status).toBe(201);
    const { status, text } = await sendRest(rightRestRequest(facts, { username: freshName() }));
    expect({ status, text }).toMatchObject({ status: 400, text: expect.stringContaining('use same key as') });
  });

  describe('and Serles', () => {
    const needed = serlesMissing === undefined || process.env['COUNTERSIGN_REQUIRE'] === 'all';
    const told = serlesMissing === undefined ? '' : ` (${serlesMissing})`;

    const csrOf = (name: string, kind: KeyKind) => {
      const signing = aSigningRequest({
        names: { dnsNames: [name], ipAddresses: ['192.0.2.7'] },
        keys: createKey(kind),
      });
      return { signing, pem: pemOf('CERTIFICATE REQUEST', signing.csr) };
    };

    test.skipIf(!needed).each([
      ['RSA-2048', 'RSA CA'],
      ['P-256', 'EC CA'],
    ] as const)(`issues for a key of %s by the %s${told}`, async (kind, ca) => {
      const name = freshName();
      const { pem } = csrOf(name, kind);
      const { chain = '', error } = await serles.sign({ csr: pem, subject: `CN=${name}`, names: [name, '192.0.2.7'] });
      expect(error).toBeNull();
      const certificates = (chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
        (each) => new X509Certificate(each),
      );
      const leaf = certificates.find((each) => each.subjectAltName?.includes(name));
      expect(leaf?.subjectAltName).toBe(`DNS:${name}, IP Address:192.0.2.7`);
      expect(leaf?.issuer).toContain(ca);
      expect(certificates).toHaveLength(3);
    });

    test.skipIf(!needed)(`says what our client says for the same order${told}`, async () => {
      const name = freshName();
      const { signing, pem } = csrOf(name, 'P-256');
      await serles.sign({ csr: pem, subject: `CN=${name}`, names: [name, '192.0.2.7'] });
      const ejbca = { ...peer.spec, username: 'serles-{CN}', password: 'password-{CN}' };
      const deps = {
        secrets: createMemorySecrets(peer.secrets),
        clock: createClock(),
        random: createFakeRandom(),
        urls: undefined,
      };
      const backend = ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca });
      expect((await backend.sign(signing, new AbortController().signal)).kind).toBe('issued');
      const bodies = (await peer.requests()).filter((body) => body.includes(`serles-${name}`));
      expect(bodies).toHaveLength(2);
      const [theirs, ours] = await serles.canonical(bodies);
      expect(ours).toEqual(theirs);
    });
  });
});
