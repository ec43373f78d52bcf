// Checklist section A, the transport: lines 1 to 8 and 20 to 22.
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { identifiersOf, newOrder, register } from '../support/acme-flow.ts';
import type { Reply } from '../support/acme-wire.ts';
import { base64url, createSigningKey, type Jws, rawSignature, signJws } from '../support/jws.ts';
import { freshName } from '../support/names.ts';
import { expectAmong, expectProblem, expectReply } from './expectations.ts';
import { conformance } from './line.ts';
import { resources } from './resources.ts';
import type { Target } from './target.ts';

const line = conformance(import.meta.filename);

const orderFor = (name: string) => ({ identifiers: identifiersOf([name]) });

line(1, 'plain HTTP gets no ACME answer, on the TLS port or any other', async (t) => {
  const acme = await t.connect();
  const tlsPort = new URL(acme.directoryUrl).origin.replace('https:', 'http:');
  const key = createSigningKey();
  for (const origin of [tlsPort, ...t.plainOrigins]) {
    const plain = (url: string): string => origin + new URL(url).pathname;
    const ask = (method: string, url: string, body?: string): Promise<Reply | undefined> =>
      t.transport
        .request(method, plain(url), body ? { body, headers: { 'content-type': 'application/jose+json' } } : {})
        .catch(() => undefined);
    const header = { alg: key.alg, jwk: key.jwk, nonce: await acme.nonce(), url: acme.directory.newAccount };
    const jws = JSON.stringify(signJws(key, header, { termsOfServiceAgreed: true }));
    const replies = [
      await ask('GET', acme.directoryUrl),
      await ask('HEAD', acme.directory.newNonce),
      await ask('POST', acme.directory.newAccount, jws),
    ];
    for (const reply of replies) {
      expect(reply?.headers['replay-nonce'], `${origin} gives no nonce`).toBeUndefined();
      expect(reply?.headers.location).toBeUndefined();
      expect(reply?.text ?? '').not.toContain('newAccount');
      expect(reply?.status ?? 400, `${origin} does not answer with success`).toBeGreaterThanOrEqual(400);
    }
  }
  const existing = await acme.post(acme.directory.newAccount, { onlyReturnExisting: true }, { jwkOf: key });
  expectProblem(existing, 'accountDoesNotExist/400');
});

line(2, 'another Content-Type is 415', async (t) => {
  const acme = await t.shared();
  for (const contentType of ['application/json', 'application/jose', 'text/plain', 'application/jose+jsonx']) {
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { contentType });
    expectReply(reply, 415);
    expect(reply.headers['content-type'], contentType).toMatch(/^application\/problem\+json/);
  }
});

line(2, 'a missing Content-Type is 415', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const header = { alg: key.alg, kid: url, nonce: await acme.nonce(), url: acme.directory.newOrder };
  const body = JSON.stringify(signJws(key, header, orderFor(freshName())));
  expectReply(await t.transport.request('POST', acme.directory.newOrder, { body }), 415);
});

line(2, 'parameters of the Content-Type are tolerated', async (t) => {
  const acme = await t.shared();
  for (const contentType of ['application/jose+json; charset=utf-8', 'Application/JOSE+JSON']) {
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { contentType });
    expectReply(reply, 201);
  }
});

line(3, 'GET on a resource that is POSTed to is malformed/405 with Allow', async (t) => {
  const { urls } = await resources(t);
  for (const [name, url] of Object.entries(urls)) {
    const reply = await t.transport.request('GET', url);
    expectReply(reply, 405);
    expectProblem(reply, 'malformed/405');
    expect(reply.headers.allow?.split(/,\s*/), name).toContain('POST');
    expect(reply.headers.allow?.split(/,\s*/), name).not.toContain('GET');
  }
});

line(3, 'other methods are 405 too', async (t) => {
  const { acme, urls } = await resources(t);
  for (const url of [acme.directoryUrl, acme.directory.newNonce, urls['newOrder'] ?? '', urls['order'] ?? '']) {
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      expectReply(await t.transport.request(method, url), 405);
    }
  }
});

const bodies: Record<string, (jws: Jws) => object | string | Uint8Array> = {
  empty: () => '',
  text: () => 'not JSON',
  'a JSON text': () => '"text"',
  'a JSON array': (jws) => [jws],
  'JSON null': () => 'null',
  'compact serialization': (jws) => `${jws.protected}.${jws.payload}.${jws.signature}`,
  'compact serialization as JSON text': (jws) => JSON.stringify(`${jws.protected}.${jws.payload}.${jws.signature}`),
  'cut short': (jws) => JSON.stringify(jws).slice(0, -1),
  'something after the JWS': (jws) => `${JSON.stringify(jws)}{}`,
};
for (const [name, tamper] of Object.entries(bodies)) {
  line(4, `a body that is no flattened JWS is malformed: ${name}`, async (t) => {
    const acme = await t.shared();
    expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
  });
}

line(5, 'the general serialization is malformed, alone or beside the flattened one', async (t) => {
  const acme = await t.shared();
  const general = ({ payload, ...signature }: Jws): object => ({ payload, signatures: [signature] });
  const two = ({ payload, ...signature }: Jws): object => ({ payload, signatures: [signature, signature] });
  const both = (jws: Jws): object => ({ ...jws, signatures: [{ protected: jws.protected, signature: jws.signature }] });
  for (const tamper of [general, two, both]) {
    expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
  }
});

line(6, 'an unprotected header is malformed', async (t) => {
  const acme = await t.shared();
  for (const header of [{ alg: 'ES256' }, { nonce: 'AAAA' }, {}]) {
    const tamper = (jws: Jws): object => ({ ...jws, header });
    expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper }), 'malformed/400');
  }
});

const criticalHeaders: Record<string, object> = {
  'crit with an unknown name': { crit: ['example'], example: true },
  'crit with b64': { crit: ['b64'], b64: true },
  'an empty crit': { crit: [] },
  'crit that is no array': { crit: 'url' },
  'b64 false without crit': { b64: false },
};
for (const [name, header] of Object.entries(criticalHeaders)) {
  line(7, `${name} is malformed`, async (t) => {
    const acme = await t.shared();
    const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), { header: { ...header } });
    expectProblem(reply, 'malformed/400');
  });
}

line(7, 'b64 false with crit and an unencoded payload is malformed', async (t) => {
  const acme = await t.shared();
  const { key, url } = acme.account;
  const header = {
    alg: key.alg,
    kid: url,
    nonce: await acme.nonce(),
    url: acme.directory.newOrder,
    b64: false,
    crit: ['b64'],
  };
  const payload = JSON.stringify(orderFor(freshName()));
  const signed = signJws(key, header, payload);
  const signature = base64url(rawSignature(key, `${signed.protected}.${payload}`));
  const tamper = (): object => ({ protected: signed.protected, payload, signature });
  expectProblem(await acme.post(acme.directory.newOrder, undefined, { tamper }), 'malformed/400');
});

line(8, 'a missing payload is malformed, also where POST-as-GET would do', async (t) => {
  const acme = await t.shared();
  const without = ({ protected: header, signature }: Jws): object => ({ protected: header, signature });
  expectProblem(await acme.get(acme.account.url, { tamper: without }), 'malformed/400');
  expectProblem(await acme.post(acme.directory.newOrder, orderFor(freshName()), { tamper: without }), 'malformed/400');
});

line(8, 'a payload of null, or of any other JSON type, is malformed', async (t) => {
  const acme = await t.shared();
  for (const payload of [null, 1, {}, []]) {
    const reply = await acme.get(acme.account.url, { tamper: (jws) => ({ ...jws, payload }) });
    expectProblem(reply, 'malformed/400');
  }
});

line(20, 'a body over 64 KiB is malformed/413', async (t) => {
  const acme = await t.shared();
  const filler = 'x'.repeat(64 * 1024 + 1);
  const reply = await acme.post(acme.directory.newOrder, { ...orderFor(freshName()), filler });
  expectProblem(reply, 'malformed/413');
});

line(20, 'a body a little under 64 KiB is read', async (t) => {
  const acme = await t.shared();
  const filler = 'x'.repeat(45_000);
  const reply = await acme.post(acme.directory.newOrder, { ...orderFor(freshName()), filler });
  expectReply(reply, 201);
});

line(20, 'deeply nested JSON is malformed, in the body and in the payload', async (t) => {
  const acme = await t.shared();
  const deep = `${'['.repeat(15_000)}${']'.repeat(15_000)}`;
  expectProblem(await acme.post(acme.directory.newOrder, `{"identifiers":${deep}}`), 'malformed/400');
  expectProblem(await acme.post(acme.directory.newOrder, undefined, { tamper: () => deep }), 'malformed/400');
});

line(20, 'a compressed body is refused, not decoded', async (t) => {
  const acme = await t.shared();
  const reply = await acme.post(acme.directory.newOrder, orderFor(freshName()), {
    headers: { 'content-encoding': 'gzip' },
    tamper: (jws) => gzipSync(JSON.stringify(jws)),
  });
  expectAmong(reply.status, [400, 413, 415], 'status');
  expect(reply.headers.location).toBeUndefined();
});

const exposed = (reply: Reply): string[] =>
  (reply.headers['access-control-expose-headers'] ?? '').toLowerCase().split(/,\s*/);

/** One reply of each sort to a page of another origin. */
async function crossOriginReplies(t: Target): Promise<Reply[]> {
  const acme = await t.shared();
  const headers = { origin: 'https://page.example' };
  return [
    await t.transport.request('GET', acme.directoryUrl, { headers }),
    await t.transport.request('HEAD', acme.directory.newNonce, { headers }),
    await acme.post(acme.directory.newOrder, orderFor(freshName()), { headers }),
    await acme.post(acme.directory.newOrder, { identifiers: [] }, { headers }),
    await acme.get(acme.account.url, { headers }),
    await t.transport.request('GET', acme.directory.newOrder, { headers }),
  ];
}

line(21, 'every response allows every origin', async (t) => {
  for (const reply of await crossOriginReplies(t)) expect(reply.headers['access-control-allow-origin']).toBe('*');
});

line(21, 'responses expose Link, Location and Replay-Nonce', async (t) => {
  for (const reply of await crossOriginReplies(t)) {
    expect(exposed(reply)).toEqual(expect.arrayContaining(['link', 'location', 'replay-nonce']));
  }
});

line(21, 'responses expose Retry-After', async (t) => {
  for (const reply of await crossOriginReplies(t)) expect(exposed(reply)).toContain('retry-after');
});

line(21, 'a preflight is answered: POST with a Content-Type', async (t) => {
  const { urls } = await resources(t);
  for (const url of Object.values(urls)) {
    const reply = await t.transport.request('OPTIONS', url, {
      headers: {
        origin: 'https://page.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    expectAmong(reply.status, [200, 204], `OPTIONS ${url}`);
    expect(reply.headers['access-control-allow-origin']).toBe('*');
    expect(reply.headers['access-control-allow-headers']?.toLowerCase().split(/,\s*/)).toContain('content-type');
  }
});

line(22, 'every response but the directory links to it as index', async (t) => {
  const { acme, urls, readable } = await resources(t);
  const replies = [
    await t.transport.request('HEAD', acme.directory.newNonce),
    await t.transport.request('GET', acme.directory.newNonce),
    await t.transport.request('GET', urls['order'] ?? ''),
    await acme.post(acme.directory.newOrder, 'not JSON'),
    await acme.post(acme.directory.newOrder, { identifiers: [] }, { contentType: 'text/plain' }),
    await register(acme.another(), acme.account.key),
  ];
  for (const url of readable) replies.push(await acme.get(url));
  for (const reply of replies) expect(reply.links['index'], reply.text).toEqual([acme.directoryUrl]);
  const directory = await t.transport.request('GET', acme.directoryUrl);
  expect(directory.links['index']).toBeUndefined();
});

line(22, 'the 404 for an unknown order links to the directory', async (t) => {
  const acme = await t.shared();
  const { url } = await newOrder(acme, [freshName()]);
  const reply = await acme.get(`${url}${randomBytes(3).toString('hex')}`);
  expectReply(reply, 404);
  expect(reply.links['index']).toEqual([acme.directoryUrl]);
});
