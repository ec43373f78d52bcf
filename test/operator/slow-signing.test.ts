// What clients are told while the CA takes its time (reference: RFC 8555 section 7.4; cert-manager's workers).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBackends } from '../../src/backends/index.ts';
import { Problem } from '../../src/domain/problem.ts';
import { Unavailable } from '../../src/domain/unavailable.ts';
import type { Backends } from '../../src/ports.ts';
import { expectStatus, newOrder, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { buildCsr, csrNames } from '../support/csr-builder.ts';
import { base64url } from '../support/jws.ts';
import { startOperator } from './harness.ts';
import { startResponders, stopResponders } from '../support/responders.ts';

const CERT_MANAGER = { headers: { 'user-agent': 'cert-manager-challenges/v1.21.2 (linux/amd64) cert-manager/abc' } };

let responders: Responders;
let operator: Awaited<ReturnType<typeof startOperator>>;
let acme: AcmeWire;
let gate = Promise.withResolvers<void>();

/** The same backends, which sign once the gate is open. */
function gated(backends: Backends): Backends {
  return {
    of: (issuer) => {
      const backend = backends.of(issuer);
      return {
        ...backend,
        sign: async (request, signal) => {
          await gate.promise;
          return backend.sign(request, signal);
        },
      };
    },
  };
}

beforeAll(async () => {
  responders = await startResponders();
  operator = await startOperator({
    nameserver: responders.dns.address,
    http01Port: responders.http01.port,
    tlsAlpn01Port: responders.tlsAlpn.port,
    issuer: { acme: { finalizeTimeout: '1s' } },
    overrides: { backends: (deps) => gated(createBackends(deps)) },
  });
  acme = await connect(createTransport(operator.ca), operator.directory);
  await register(acme);
});

afterAll(async () => {
  gate.resolve();
  acme.transport.close();
  await operator.stop();
  await stopResponders(responders);
});

test('clients in general are told to come back to an order that is processing', async () => {
  gate = Promise.withResolvers<void>();
  const order = await readyOrder(acme, responders, ['general.test']);
  const csr = base64url(buildCsr({ names: csrNames(order.object.identifiers) }).der);
  const reply = expectStatus(await acme.post(order.object.finalize, { csr }), 200, 'finalize');
  expect(reply.json.status).toBe('processing');
  expect([reply.location, reply.headers['retry-after']]).toEqual([order.url, '3']);
  expect((await acme.get(order.url)).json.status).toBe('processing');
  gate.resolve();
  expect((await poll(acme, order.url, ({ status }) => status !== 'processing')).status).toBe('valid');
});

test.each([
  {
    what: 'a refusal',
    fault: new Problem('rejectedIdentifier', 'the CA does not sign this name'),
    told: {
      type: 'urn:ietf:params:acme:error:rejectedIdentifier',
      detail: 'the CA does not sign this name',
      status: 403,
    },
  },
  {
    what: 'an outage',
    fault: new Unavailable('ca.internal:9443 refused the connection'),
    told: {
      type: 'urn:ietf:params:acme:error:serverInternal',
      detail: expect.stringMatching(
        /^the certificate could not be issued: finalize again \(correlation [0-9a-f]{12}\)$/,
      ),
      status: 503,
    },
  },
])(
  '$what that comes when the client was told "processing" is shown by the order, which can be finalized again',
  async ({ fault, told }) => {
    gate = Promise.withResolvers<void>();
    const order = await readyOrder(acme, responders, ['late.test']);
    const csr = base64url(buildCsr({ names: csrNames(order.object.identifiers) }).der);
    expect((await acme.post(order.object.finalize, { csr })).json.status).toBe('processing');
    expect((await acme.get(order.url)).json.error).toBeUndefined();
    gate.reject(fault);
    const given = await poll(acme, order.url, ({ status }) => status !== 'processing');
    expect([given.status, given.error]).toEqual(['ready', told]);
    gate = Promise.withResolvers<void>();
    expect((await acme.post(order.object.finalize, { csr })).json).toMatchObject({ status: 'processing' });
    expect((await acme.get(order.url)).json.error).toBeUndefined();
    gate.resolve();
    const done = await poll(acme, order.url, ({ status }) => status !== 'processing');
    expect([done.status, done.error]).toEqual(['valid', undefined]);
  },
);

test('cert-manager is told to finalize again, and its order reads ready meanwhile', async () => {
  gate = Promise.withResolvers<void>();
  const order = await readyOrder(acme, responders, ['manager.test']);
  const csr = base64url(buildCsr({ names: csrNames(order.object.identifiers) }).der);
  for (let attempt = 0; attempt < 2; attempt++) {
    const reply = await acme.post(order.object.finalize, { csr }, CERT_MANAGER);
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '5']);
    expect((await acme.get(order.url, CERT_MANAGER)).json.status).toBe('ready');
  }
  gate.resolve();
  const done = expectStatus(await acme.post(order.object.finalize, { csr }, CERT_MANAGER), 200, 'finalize');
  expect([done.json.status, done.location]).toEqual(['valid', order.url]);
  expect(done.json.certificate).toBeDefined();
});

test('another CSR is no way around the one that is being signed', async () => {
  gate = Promise.withResolvers<void>();
  const order = await readyOrder(acme, responders, ['other.test']);
  const csr = () => base64url(buildCsr({ names: csrNames(order.object.identifiers) }).der);
  expectStatus(await acme.post(order.object.finalize, { csr: csr() }), 200, 'finalize');
  for (const options of [{}, CERT_MANAGER]) {
    const reply = await acme.post(order.object.finalize, { csr: csr() }, options);
    expect(reply.problem.type).toBe('urn:ietf:params:acme:error:orderNotReady');
  }
  gate.resolve();
  await poll(acme, order.url, ({ status }) => status === 'valid');
  expect((await newOrder(acme, ['other.test'])).object.status).toBe('ready');
});
