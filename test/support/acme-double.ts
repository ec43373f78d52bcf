// An ACME server for tests that does what pebble cannot be told to: loses answers, answers wrongly, holds orders, says hostile things.
// Every request's signature, nonce and URL are verified (jose). Independent of src/.
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { calculateJwkThumbprint, flattenedVerify, type FlattenedJWSInput, importJWK, type JWK } from 'jose';
import { buildCaCertificate, createKeyPair, keyIdentifier, pemOf } from './certificate-builder.ts';
import { type HttpsServer, type SeenRequest, startHttpsServer } from './https-server.ts';
import type { Raw, Wrong } from './webhook-signer-words.ts';
import { certify } from './wrong-certificates.ts';

export interface DoubleOrder {
  id: string;
  account: string;
  identifiers: { type: string; value: string }[];
  status: string;
  /** DER, once finalized. */
  csr?: Buffer;
  chain?: string;
  isRevoked: boolean;
  /** Times it has yet to say that it is processing. */
  holds: number;
  error?: object;
  authorizations: DoubleAuthorization[];
  profile?: string;
  replaces?: string;
}

export interface DoubleAuthorization {
  id: string;
  identifier: { type: string; value: string };
  wildcard: boolean;
  status: string;
  challenges: { type: string; token: string; status: string; error?: object }[];
}

export interface DoubleAccount {
  url: string;
  thumbprint: string;
  key: JWK;
  body: Record<string, unknown>;
}

/** Settings of a test; each may be set at any time. */
export interface DoubleBehaviour {
  /** Types of challenges; orders are born ready where there are none. */
  challenges: string[];
  token: () => string;
  /** What the CA makes of a challenge that it is told of; by default it is met. */
  judge: (type: string, name: string, token: string) => Promise<{ type: string; detail: string } | undefined>;
  /** Times each order says that it is processing. */
  holds: number;
  /** The connection ends after a request to this path was heard and done. */
  lose: RegExp | undefined;
  wrong: Wrong | undefined;
  raw: Raw | undefined;
  /** In place of any answer whose path matches. */
  refuse: { path: RegExp; status: number; problem?: object; headers?: Record<string, string> } | undefined;
  rejectNonces: number;
  /** Milliseconds before a new order is answered. */
  delay: number;
  /** Start of the window in which certificates are to be renewed; RFC 9773 is not offered when absent. */
  renewal: Date | undefined;
  meta: Record<string, unknown>;
  directory: Record<string, unknown>;
}

export interface AcmeDouble {
  directory: string;
  /** PEM: of its HTTPS, and of its root. */
  caBundle: string;
  root: string;
  behaviour: DoubleBehaviour;
  reset(): void;
  orders: DoubleOrder[];
  accounts: DoubleAccount[];
  server: HttpsServer;
}

const DAY = 86_400_000;

export async function startAcmeDouble(): Promise<AcmeDouble> {
  const [rootKeys, issuingKeys] = [createKeyPair(), createKeyPair()];
  const root = pemOf('CERTIFICATE', buildCaCertificate('Double root CA', rootKeys));
  const issuing = buildCaCertificate('Double issuing CA', issuingKeys, { subject: 'Double root CA', keys: rootKeys });
  const certifier = {
    issuer: 'Double issuing CA',
    keys: issuingKeys,
    above: pemOf('CERTIFICATE', issuing),
    authorityKeyID: keyIdentifier(issuingKeys),
  };
  const nonces = new Set<string>();
  const orders: DoubleOrder[] = [];
  const accounts: DoubleAccount[] = [];
  const fresh = (): DoubleBehaviour => ({
    challenges: [],
    token: () => randomBytes(24).toString('base64url'),
    judge: () => Promise.resolve(undefined),
    holds: 0,
    lose: undefined,
    wrong: undefined,
    raw: undefined,
    refuse: undefined,
    rejectNonces: 0,
    delay: 0,
    renewal: undefined,
    meta: {},
    directory: {},
  });
  const self = { behaviour: fresh() } as AcmeDouble;
  const urlOf = (path: string) => `${self.server.url}${path}`;

  function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
    const nonce = randomBytes(12).toString('base64url');
    nonces.add(nonce);
    const type = status >= 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(status, { 'Content-Type': type, 'Replay-Nonce': nonce, ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  const refuse = (response: ServerResponse, status: number, type: string, detail: string, more: object = {}): void =>
    answer(response, status, { type: `urn:ietf:params:acme:error:${type}`, detail, ...more });

  /** The payload and who signed it; undefined where it was refused. */
  async function verify({ body, path }: SeenRequest, response: ServerResponse) {
    const jws = JSON.parse(body) as FlattenedJWSInput & { protected: string; payload: string };
    const header = JSON.parse(Buffer.from(jws.protected, 'base64url').toString()) as Record<string, unknown>;
    const known = accounts.find(({ url }) => url === header.kid);
    const jwk = known?.key ?? (header.jwk as JWK | undefined);
    if (!jwk) {
      refuse(response, 400, 'accountDoesNotExist', 'no such account');
      return undefined;
    }
    const verified = await flattenedVerify(jws, await importJWK(jwk, String(header.alg)));
    if (header.url !== urlOf(path)) {
      refuse(response, 401, 'unauthorized', 'another url was signed');
      return undefined;
    }
    if (!nonces.delete(String(header.nonce)) || Math.random() < self.behaviour.rejectNonces) {
      refuse(response, 400, 'badNonce', 'a nonce that is not good');
      return undefined;
    }
    const text = Buffer.from(verified.payload).toString();
    return {
      thumbprint: await calculateJwkThumbprint(jwk),
      jwk,
      account: known,
      payload: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
      asGet: text === '',
    };
  }

  type Signed = NonNullable<Awaited<ReturnType<typeof verify>>>;

  function newAccount({ thumbprint, jwk, payload }: Signed, response: ServerResponse): void {
    const known = accounts.find((each) => each.thumbprint === thumbprint);
    if (!known && payload.onlyReturnExisting === true)
      return refuse(response, 400, 'accountDoesNotExist', 'there is none with this key');
    const made = known ?? { url: urlOf(`/account/${accounts.length + 1}`), thumbprint, key: jwk, body: payload };
    if (!known) accounts.push(made);
    answer(response, known ? 200 : 201, { status: 'valid' }, { Location: made.url });
  }

  async function keyChange({ payload, account }: Signed, response: ServerResponse): Promise<void> {
    const inner = payload as unknown as FlattenedJWSInput & { protected: string };
    const header = JSON.parse(Buffer.from(inner.protected, 'base64url').toString()) as { jwk: JWK; alg: string };
    const verified = await flattenedVerify(inner, await importJWK(header.jwk, header.alg));
    const said = JSON.parse(Buffer.from(verified.payload).toString()) as { account: string; oldKey: JWK };
    if (!account || said.account !== account.url || JSON.stringify(said.oldKey) !== JSON.stringify(account.key))
      return refuse(response, 400, 'malformed', 'not a change of this key');
    account.key = header.jwk;
    account.thumbprint = await calculateJwkThumbprint(header.jwk);
    answer(response, 200, {});
  }

  function newOrder({ payload, account }: Signed, response: ServerResponse): void {
    const identifiers = payload.identifiers as DoubleOrder['identifiers'];
    if (identifiers.some(({ value }) => value.startsWith('refused.')))
      return refuse(
        response,
        403,
        'rejectedIdentifier',
        'names that begin with "refused" are not\r\nsigned \u202ehere',
      );
    const { challenges, token, holds } = self.behaviour;
    const id = String(orders.length + 1);
    const order: DoubleOrder = {
      id,
      account: account?.url ?? '',
      identifiers,
      status: challenges.length > 0 ? 'pending' : 'ready',
      isRevoked: false,
      holds,
      authorizations: identifiers.map(({ type, value }, i) => ({
        id: `${id}-${i}`,
        identifier: { type, value: value.replace(/^\*\./, '') },
        wildcard: value.startsWith('*.'),
        status: challenges.length > 0 ? 'pending' : 'valid',
        challenges: challenges
          .filter((each) => each === 'dns-01' || !value.startsWith('*.'))
          .map((each) => ({ type: each, token: token(), status: 'pending' })),
      })),
      ...(typeof payload.profile === 'string' ? { profile: payload.profile } : {}),
      ...(typeof payload.replaces === 'string' ? { replaces: payload.replaces } : {}),
    };
    orders.push(order);
    sendOrder(order, response, 201);
  }

  function sendOrder(order: DoubleOrder, response: ServerResponse, status = 200): void {
    if (order.status === 'processing' && order.holds-- <= 0) order.status = 'valid';
    const { id, identifiers, error } = order;
    const body = {
      status: order.status,
      identifiers,
      authorizations: order.authorizations.map((each) => urlOf(`/authz/${each.id}`)),
      finalize: urlOf(`/finalize/${id}`),
      ...(order.status === 'valid' ? { certificate: urlOf(`/cert/${id}`) } : {}),
      ...(error ? { error } : {}),
    };
    answer(response, status, body, { Location: urlOf(`/order/${id}`) });
  }

  function finalize(order: DoubleOrder, { payload }: Signed, response: ServerResponse): void {
    if (order.status !== 'ready') return refuse(response, 403, 'orderNotReady', 'not now');
    order.csr = Buffer.from(String(payload.csr), 'base64url');
    const values = (type: string) => order.identifiers.filter((each) => each.type === type).map(({ value }) => value);
    const now = new Date();
    const asked = { csr: order.csr, dnsNames: values('dns'), ipAddresses: values('ip'), usages: ['server auth'] };
    const dates = { notBefore: now, notAfter: new Date(now.getTime() + 7 * DAY) };
    order.chain = certify(certifier, { ...asked, ...dates }, self.behaviour.wrong);
    order.status = 'processing';
    sendOrder(order, response);
  }

  function sendAuthorization(authorization: DoubleAuthorization, response: ServerResponse): void {
    const { id, challenges, ...rest } = authorization;
    const rendered = challenges.map((each, i) => ({ ...each, url: urlOf(`/challenge/${id}/${i}`) }));
    answer(response, 200, { ...rest, challenges: rendered });
  }

  async function challenge(path: string, response: ServerResponse): Promise<void> {
    const [, , id = '', index = ''] = path.split('/');
    const order = orders.find(({ authorizations }) => authorizations.some((each) => each.id === id));
    const authorization = order?.authorizations.find((each) => each.id === id);
    const found = authorization?.challenges[Number(index)];
    if (!order || !authorization || !found) return refuse(response, 404, 'malformed', 'no such challenge');
    if (found.status !== 'pending') return refuse(response, 400, 'malformed', 'it is not pending');
    found.status = 'processing';
    answer(response, 200, { ...found, url: urlOf(path) });
    const problem = await self.behaviour.judge(found.type, authorization.identifier.value, found.token);
    if (problem) found.error = { ...problem, type: `urn:ietf:params:acme:error:${problem.type}` };
    found.status = problem ? 'invalid' : 'valid';
    authorization.status = found.status;
    if (problem) order.status = 'invalid';
    else if (order.authorizations.every(({ status }) => status === 'valid')) order.status = 'ready';
  }

  function sendCertificate(order: DoubleOrder, response: ServerResponse): void {
    if (self.behaviour.raw) return sendRaw(response, self.behaviour.raw);
    answer(response, 200, order.chain ?? '', { 'Content-Type': 'application/pem-certificate-chain' });
  }

  function revoke({ payload }: Signed, response: ServerResponse): void {
    const der = Buffer.from(String(payload.certificate), 'base64url').toString('base64');
    const order = orders.find(({ chain = '' }) => chain.replace(/\s/g, '').includes(der));
    if (!order) return refuse(response, 404, 'malformed', 'no such certificate');
    if (order.isRevoked) return refuse(response, 400, 'alreadyRevoked', 'it is');
    order.isRevoked = true;
    answer(response, 200, '');
  }

  function renewalInfo(response: ServerResponse): void {
    const { renewal } = self.behaviour;
    if (!renewal) return refuse(response, 404, 'malformed', 'it is not known');
    const end = new Date(renewal.getTime() + DAY);
    answer(response, 200, { suggestedWindow: { start: renewal.toISOString(), end: end.toISOString() } });
  }

  async function post(request: SeenRequest, response: ServerResponse): Promise<void> {
    const signed = await verify(request, response);
    if (!signed) return;
    const { path } = request;
    if (path === '/newAccount') return newAccount(signed, response);
    if (!signed.account) return refuse(response, 400, 'accountDoesNotExist', 'register first');
    if (path === '/keyChange') return keyChange(signed, response);
    if (path === '/newOrder') {
      await sleep(self.behaviour.delay);
      return newOrder(signed, response);
    }
    if (path === '/revokeCert') return revoke(signed, response);
    if (path.startsWith('/challenge/')) return challenge(path, response);
    const [, kind = '', id = ''] = path.split('/');
    const authorization = orders.flatMap(({ authorizations }) => authorizations).find((each) => each.id === id);
    if (kind === 'authz' && authorization) {
      if (signed.payload.status === 'deactivated') authorization.status = 'deactivated';
      return sendAuthorization(authorization, response);
    }
    const order = orders.find((each) => each.id === id && each.account === signed.account?.url);
    if (!order) return refuse(response, 404, 'malformed', 'no such order');
    if (kind === 'order') return sendOrder(order, response);
    if (kind === 'finalize') return finalize(order, signed, response);
    return sendCertificate(order, response);
  }

  self.server = await startHttpsServer(async (request, response) => {
    const { refuse: refusal, lose, meta, directory } = self.behaviour;
    if (refusal?.path.test(request.path))
      return answer(response, refusal.status, refusal.problem ?? {}, refusal.headers ?? {});
    if (lose?.test(request.path)) {
      // Whatever would be answered, nobody hears it.
      response.writeHead = () => response;
      response.end = () => {
        response.socket?.destroy();
        return response;
      };
    }
    if (request.method === 'HEAD') return answer(response, 200, '');
    if (request.method === 'POST') return post(request, response);
    if (request.path.startsWith('/renewal-info/')) return renewalInfo(response);
    if (request.path !== '/dir') return refuse(response, 404, 'malformed', 'nothing is here');
    const { renewal } = self.behaviour;
    const steps = ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange'];
    const urls = Object.fromEntries(steps.map((step) => [step, urlOf(`/${step}`)]));
    answer(response, 200, { ...urls, ...(renewal ? { renewalInfo: urlOf('/renewal-info') } : {}), meta, ...directory });
  });
  return Object.assign(self, {
    directory: `${self.server.url}/dir`,
    caBundle: self.server.ca,
    root,
    reset: () => void (self.behaviour = fresh()),
    orders,
    accounts,
  });
}

function sendRaw(response: ServerResponse, what: Raw): void {
  const pem = { 'Content-Type': 'application/pem-certificate-chain' };
  const send = (status: number, headers: Record<string, string>, body: string | Buffer): void =>
    void response.writeHead(status, headers).end(body);
  switch (what) {
    case 'html':
      return send(200, { 'Content-Type': 'text/html' }, '<html><script>alert(1)</script></html>');
    case 'huge':
      return send(200, { ...pem, 'Content-Length': String(100 * 1024 * 1024) }, Buffer.alloc(1024 * 1024, 0x20));
    case 'endless': {
      response.writeHead(200, pem);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
        if (!response.destroyed) response.once('drain', more);
      };
      return more();
    }
    case 'gzip':
      return send(200, { ...pem, 'Content-Encoding': 'gzip' }, gzipSync('-----BEGIN CERTIFICATE-----'));
    case 'redirect':
      return send(307, { Location: '/elsewhere' }, '');
    case 'not json':
      return send(200, pem, '{"certificate": ');
    case 'no certificate':
      return send(200, pem, '');
    case 'broken pem':
      return send(200, pem, '-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----');
    case 'cut':
      response.writeHead(200, { ...pem, 'Content-Length': '1000' }).write('-----BEGIN');
      setTimeout(() => response.socket?.destroy(), 20);
  }
}
