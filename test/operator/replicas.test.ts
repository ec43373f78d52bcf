// What several replicas owe a client that meets another one at every request.
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { EndpointSliceKind, SecretKind } from '../../src/api/core.ts';
import { IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { rotateOnce } from '../../src/commands/sealing-keys.ts';
import { servingCertificate } from '../../src/commands/serving-certificate.ts';
import { SERVING_SECRET } from '../../src/commands/serving-tls.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { createCapturingLog } from '../fakes/log.ts';
import {
  attempt,
  authorize,
  challengeOf,
  complete,
  expectStatus,
  finalize,
  issue,
  newOrder,
  poll,
  provision,
  readyOrder,
  register,
} from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey, signJws } from '../support/jws.ts';
import { NAMESPACE } from './harness.ts';
import { type Replicas, startReplicas } from './replicas.ts';

let world: Replicas;

beforeAll(async () => {
  world = await startReplicas(2);
});

afterAll(() => world?.stop());

/** A client with an account, whose requests go where `route` says. */
async function registered(route: number | (() => number)): Promise<AcmeWire> {
  const acme = await world.client(route);
  await register(acme);
  return acme;
}

/** The same account at another replica. */
async function sameAt(acme: AcmeWire, route: number): Promise<AcmeWire> {
  const other = await world.client(route);
  other.account = acme.account;
  return other;
}

const names = (() => {
  let count = 0;
  return () => `name-${++count}.test`;
})();

test('a nonce of one replica is accepted by another, once', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const nonce = await a.nonce();
  expectStatus(await b.get(a.account.url, { nonce }), 200, 'the first use');
  for (const again of [a, b, a]) {
    const reply = await again.get(a.account.url, { nonce });
    expect(reply.problem.type).toBe('urn:ietf:params:acme:error:badNonce');
  }
});

test('of many uses of one nonce at once, on both replicas, one is accepted', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  for (let round = 0; round < 5; round++) {
    const nonce = await a.nonce();
    const replies = await Promise.all([a, b, a, b, b, a].map((acme) => acme.get(a.account.url, { nonce })));
    const good = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 400);
    expect([good.length, refused.length]).toEqual([1, 5]);
  }
});

test('a client that meets another replica at every request notices nothing', async () => {
  let turn = 0;
  const acme = await registered(() => turn++ % 2);
  for (let i = 0; i < 3; i++) await issue(acme, world.responders, [names(), names()]);
  const { items } = await world.cluster.list(IssuedCertificateKind, { namespace: NAMESPACE });
  const own = items.filter(({ spec }) => acme.account.url.endsWith(spec.requester.account ?? ' '));
  expect(own.length).toBe(3);
});

test('nobody but replicas of the Service is asked for a nonce', async () => {
  const slice = { namespace: NAMESPACE, name: 'countersign-a' };
  const before = await world.cluster.get(EndpointSliceKind, slice);
  if (!before) throw new Error('there is no EndpointSlice');
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const [, own] = before.endpoints ?? [];
  const alone = await world.cluster.replace(EndpointSliceKind, { ...before, endpoints: own ? [own] : [] });
  await eventually('the nonces of the first replica are strange to the second', async () => {
    const reply = await b.get(a.account.url, { nonce: await a.nonce() });
    return reply.status === 400 ? true : undefined;
  });
  await world.cluster.replace(EndpointSliceKind, { ...alone, endpoints: before.endpoints ?? [] });
  await eventually('they are known again', async () => {
    const reply = await b.get(a.account.url, { nonce: await a.nonce() });
    return reply.status === 200 ? true : undefined;
  });
});

test('an order begun at one replica is validated and finalized at another that has heard of nothing yet', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const release = world.hold(1);
  try {
    const order = await readyOrder(a, world.responders, [names()]);
    const issued = await complete(b, order);
    expectStatus(await b.get(issued.certificateUrl), 200, 'the certificate at the second replica');
    expectStatus(await a.get(issued.certificateUrl), 200, 'the certificate at the first');
    const second = await newOrder(a, [names()]);
    for (const url of second.object.authorizations) await authorize(b, world.responders, url);
    expect((await a.get(second.url)).json.status).toBe('ready');
  } finally {
    release();
  }
});

test('an order that another replica finalized, unheard of here, has that certificate, and no other CSR gets one', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const release = world.hold(1);
  try {
    const order = await readyOrder(a, world.responders, [names()]);
    const csr = () => buildCsr({ names: csrNames(order.object.identifiers) }).der;
    const own = csr();
    const { certificate } = (await finalize(a, order, own)).json;
    expect(certificate).toEqual(expect.any(String));
    const again = await finalize(b, order, own);
    expect([again.status, again.json.status, again.json.certificate]).toEqual([200, 'valid', certificate]);
    const other = await finalize(b, order, csr());
    expect([other.status, other.problem.type]).toEqual([403, 'urn:ietf:params:acme:error:orderNotReady']);
    expect((await b.get(String(certificate))).text).toBe((await a.get(String(certificate))).text);
  } finally {
    release();
  }
});

test('what another replica has on record is told where this one would refuse', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const release = world.hold(1, IssuedCertificateKind);
  const open = await world.cluster.get(CertificateRequestPolicyKind, { name: 'open' });
  if (!open) throw new Error('there is no policy');
  try {
    const order = await readyOrder(a, world.responders, [names()]);
    const untouched = await readyOrder(a, world.responders, [names()]);
    const own = buildCsr({ names: csrNames(order.object.identifiers) }).der;
    const { certificate } = (await finalize(a, order, own)).json;
    await world.cluster.replace(CertificateRequestPolicyKind, {
      ...open,
      spec: { ...open.spec, allowed: { dnsNames: { values: ['nothing.example'] } } },
    });
    await eventually('the second replica has the policy', async () => ((await ordered(b)) === 403 ? true : undefined));
    const refused = await finalize(b, untouched, buildCsr({ names: csrNames(untouched.object.identifiers) }).der);
    expect([refused.status, refused.problem.type]).toEqual([403, 'urn:ietf:params:acme:error:rejectedIdentifier']);
    const again = await finalize(b, order, own);
    expect([again.status, again.json.certificate]).toEqual([200, certificate]);
  } finally {
    release();
    const now = await world.cluster.get(CertificateRequestPolicyKind, { name: 'open' });
    if (now) await world.cluster.replace(CertificateRequestPolicyKind, { ...now, spec: open.spec });
  }
  for (const acme of [a, b])
    await eventually('all is open again', async () => ((await ordered(acme)) === 201 ? true : undefined));
});

/** Status of a new order for any name. */
async function ordered(acme: AcmeWire): Promise<number> {
  const payload = { identifiers: [{ type: 'dns', value: names() }] };
  return (await acme.post(acme.directory.newOrder, payload)).status;
}

test('of fifty finalizes at once over both replicas there is one certificate', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const order = await readyOrder(a, world.responders, [names()]);
  const csr = buildCsr({ names: csrNames(order.object.identifiers) });
  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, i) => finalize(i % 2 === 0 ? a : b, order, csr.der)),
  );
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  const [one, other] = await Promise.all(
    [a, b].map((acme) => poll(acme, order.url, ({ status }) => status === 'valid')),
  );
  expect(one?.certificate).toBe(other?.certificate);
  const leaves = await Promise.all([a, b].map(async (acme) => (await acme.get(one?.certificate ?? '')).text));
  expect(new Set(leaves).size).toBe(1);
  const { items } = await world.cluster.list(IssuedCertificateKind, { namespace: NAMESPACE });
  const [identifier] = order.object.identifiers;
  expect(items.filter(({ spec }) => spec.names.includes(`dns:${identifier?.value}`)).length).toBe(1);
});

test('a deactivated account is refused by every replica at once', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  expectStatus(await b.get(a.account.url), 200, 'the account at the second replica');
  const release = world.hold(1);
  try {
    expectStatus(await a.post(a.account.url, { status: 'deactivated' }), 200, 'deactivation');
    for (const acme of [b, a]) {
      const reply = await acme.get(a.account.url);
      expect([reply.status, reply.problem.type]).toEqual([401, 'urn:ietf:params:acme:error:unauthorized']);
    }
    const anew = await b.another().post(b.directory.newAccount, {}, { jwkOf: a.account.key });
    expect(anew.status).toBe(401);
  } finally {
    release();
  }
});

test('after a key change the old key is refused by every replica at once, and the new one is good', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  expectStatus(await b.get(a.account.url), 200, 'the account at the second replica');
  const release = world.hold(1);
  try {
    const { key, url } = a.account;
    const next = createSigningKey();
    const content = { account: url, oldKey: key.jwk };
    const inner = signJws(next, { alg: next.alg, jwk: next.jwk, url: a.directory.keyChange }, content);
    expectStatus(await a.post(a.directory.keyChange, inner), 200, 'key change');
    expect((await b.get(url)).status).toBe(400);
    expect((await a.get(url)).status).toBe(400);
    const [atFirst, atSecond] = [await world.client(0), await world.client(1)];
    atFirst.account = { key: next, url };
    atSecond.account = { key: next, url };
    expectStatus(await atSecond.get(url), 200, 'the new key at the second replica');
    expectStatus(await atFirst.get(url), 200, 'the new key at the first');
    const old = await b.another().post(b.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
    expect(old.problem.type).toBe('urn:ietf:params:acme:error:accountDoesNotExist');
  } finally {
    release();
  }
});

test('an account made or changed at one replica is known at another before its watch says so', async () => {
  const release = world.hold(1);
  try {
    const a = await registered(0);
    const b = await sameAt(a, 1);
    expectStatus(await b.get(a.account.url), 200, 'the account');
    const contact = (word: string) => ({ contact: [`mailto:${word}@name.test`] });
    expectStatus(await a.post(a.account.url, contact('one')), 200, 'one');
    const reply = expectStatus(await b.post(a.account.url, contact('two')), 200, 'two');
    expect(reply.json).toMatchObject(contact('two'));
    expect((await a.get(a.account.url)).json).toMatchObject(contact('two'));
  } finally {
    release();
  }
});

test('an account changed at both replicas at once is changed twice', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  for (let round = 0; round < 5; round++) {
    const contact = (word: string) => ({ contact: [`mailto:${word}${round}@name.test`] });
    const replies = await Promise.all([a.post(a.account.url, contact('one')), b.post(a.account.url, contact('two'))]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
  }
});

test('an authorization deactivated at one replica serves at none', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const order = await readyOrder(a, world.responders, [names()]);
  expect((await b.get(order.url)).json.status).toBe('ready');
  const release = world.hold(1);
  try {
    const [url = ''] = order.object.authorizations;
    expectStatus(await a.post(url, { status: 'deactivated' }), 200, 'deactivation');
    const csr = buildCsr({ names: csrNames(order.object.identifiers) });
    expect((await finalize(b, order, csr.der)).problem.type).toBe('urn:ietf:params:acme:error:orderNotReady');
  } finally {
    release();
  }
});

test('an issuer and a policy made a moment ago are heeded by a replica that has not heard of them', async () => {
  const release = world.hold(1);
  try {
    const backend = { ca: { secretRef: { name: 'main-ca' } } };
    const issuer = await world.cluster.create(ClusterCAIssuerKind, {
      metadata: { name: 'fresh' },
      spec: { backend, profiles: [{ name: 'old', description: 'another' }] },
    });
    const acme = await world.client(1);
    const directory = await acme.transport.request('GET', acme.directoryUrl.replace('/main/', '/fresh/'));
    expectStatus(directory, 200, 'the directory');
    const missing = await acme.transport.request('GET', acme.directoryUrl.replace('/main/', '/none/'));
    expect(missing.status).toBe(404);

    await register(acme);
    const name = 'late.example.org';
    const refused = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: name }] });
    expect(refused.problem.type).toBe('urn:ietf:params:acme:error:rejectedIdentifier');
    await world.cluster.create(CertificateRequestPolicyKind, {
      metadata: { name: 'late' },
      spec: { selector: {}, allowed: { dnsNames: { values: [name] } } },
    });
    await newOrder(acme, [name]);
    await world.cluster.delete(ClusterCAIssuerKind, issuer.metadata);
  } finally {
    release();
  }
});

test('settings of an issuer changed a moment ago are heeded before anybody is refused', async () => {
  const acme = await registered(1);
  const release = world.hold(1);
  try {
    const order = () =>
      acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: names() }], profile: 'new' });
    expect((await order()).problem.type).toBe('urn:ietf:params:acme:error:invalidProfile');
    const main = await world.cluster.get(ClusterCAIssuerKind, { name: 'main' });
    if (!main) throw new Error('there is no issuer');
    await world.cluster.replace(ClusterCAIssuerKind, {
      ...main,
      spec: { ...main.spec, profiles: [{ name: 'new', description: 'a new one' }] },
    });
    expectStatus(await order(), 201, 'an order with the new profile');
  } finally {
    release();
  }
});

test('what one replica issued another finds by its serial number, and revokes', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const release = world.hold(1);
  try {
    const { certificateUrl } = await issue(a, world.responders, [names()]);
    const pem = (await a.get(certificateUrl)).text;
    const der = Buffer.from(/-----BEGIN CERTIFICATE-----([^-]*)/.exec(pem)?.[1] ?? '', 'base64');
    const revocation = { certificate: der.toString('base64url') };
    expectStatus(await b.post(b.directory.revokeCert, revocation), 200, 'revokeCert');
    expect((await a.post(a.directory.revokeCert, revocation)).problem.type).toBe(
      'urn:ietf:params:acme:error:alreadyRevoked',
    );
  } finally {
    release();
  }
});

test('keys turned over in the middle of an order change neither its tokens nor its outcome, at any replica', async () => {
  const a = await registered(0);
  const b = await sameAt(a, 1);
  const order = await newOrder(a, [names()]);
  const [url = ''] = order.object.authorizations;
  const before = await challengeOf(a, url, 'http-01');
  const step = () =>
    rotateOnce({
      cluster: world.cluster,
      namespace: NAMESPACE,
      clock: world.clock,
      random: createRandom(),
      log: createCapturingLog(),
      keyring: { reload: () => Promise.resolve() },
      rotateAfterMs: 0,
      longestOrderMs: () => 0,
      macs: () => [],
    });
  await step();
  world.clock.jump(11 * 60_000);
  await step();
  const current = async () => {
    const { url: sealed } = await newOrder(a, [names()]);
    return Buffer.from(sealed.split('/').at(-1) ?? '', 'base64url')[0];
  };
  await eventually('the first replica seals with the new key', async () =>
    (await current()) === 2 ? true : undefined,
  );
  const after = await challengeOf(b, url, 'http-01');
  expect(after.token).toBe(before.token);
  const [identifier = { type: 'dns', value: '' }] = order.object.identifiers;
  provision(world.responders, before, identifier, a.account.key);
  expect((await attempt(b, before)).status).toBe('valid');
  await complete(a, order);
  // What an account was signed with before stays good, what is written from now on is too.
  expectStatus(await b.post(a.account.url, { contact: ['mailto:new@name.test'] }), 200, 'an account of the old key');
  const fresh = await registered(1);
  expectStatus(await (await sameAt(fresh, 0)).get(fresh.account.url), 200, 'an account of the new key');
});

test('a new serving certificate is taken up by every replica, and no connection breaks', async () => {
  const origin = new URL(world.origins[1] ?? '');
  const socket = connectTls({ host: origin.hostname, port: Number(origin.port), ca: world.ca });
  await once(socket, 'secureConnect');
  const before = socket.getPeerCertificate().fingerprint256;
  const at = { namespace: NAMESPACE, name: SERVING_SECRET };
  const secret = await world.cluster.get(SecretKind, at);
  if (!secret) throw new Error('there is no serving certificate');
  const made = await servingCertificate(
    { secrets: createSecretReader(world.cluster, NAMESPACE), clock: createClock(), random: createRandom() },
    { dnsNames: [], ipAddresses: ['127.0.1.1', '127.0.1.2'] },
  );
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  await world.cluster.replace(SecretKind, {
    ...secret,
    data: { ...secret.data, 'tls.crt': encoded(made.cert), 'tls.key': encoded(made.key) },
  });
  for (const each of world.origins) {
    await eventually(`${each} shows the new certificate`, async () => {
      const { hostname: host, port } = new URL(each);
      const fresh = connectTls({ host, port: Number(port), ca: world.ca });
      await once(fresh, 'secureConnect');
      const shown = fresh.getPeerCertificate().fingerprint256;
      fresh.destroy();
      return shown === before ? undefined : shown;
    });
  }
  socket.write(`GET /acme/main/directory HTTP/1.1\r\nHost: ${origin.host}\r\nConnection: close\r\n\r\n`);
  const [head] = (await once(socket, 'data')) as [Buffer];
  expect(head.toString()).toMatch(/^HTTP\/1\.1 200 /);
  socket.destroy();
});

test('one replica leads, and when it ends the other does', async () => {
  const leaders = () => world.replicas.filter(({ election }) => election.isLeader());
  const [first] = await eventually('one leads', async () => (leaders().length === 1 ? leaders() : undefined));
  await first?.stop('at once');
  const [second] = await eventually('the other leads', async () => (leaders().length === 1 ? leaders() : undefined));
  expect(second).not.toBe(first);
});
