// The happy path of RFC 8555 in steps, for tests that need an account, a ready order or a certificate before they begin.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AcmeObject, AcmeWire, ChallengeObject, Identifier, Reply } from './acme-wire.ts';
import type { KeyPair } from './certificate-builder.ts';
import { buildCsr, csrNames } from './csr-builder.ts';
import type { DnsServer } from './dns-server.ts';
import type { Http01Responder } from './http01-responder.ts';
import { base64url, createSigningKey, keyAuthorization, type SigningKey } from './jws.ts';
import { reverseName, type TlsAlpnResponder } from './tls-alpn-responder.ts';

export interface Responders {
  dns: DnsServer;
  http01: Http01Responder;
  tlsAlpn: TlsAlpnResponder;
}

export interface Order {
  url: string;
  /** As the reply to newOrder had it. */
  object: AcmeObject;
}

export interface Issued {
  order: Order;
  keys: KeyPair;
  certificateUrl: string;
}

/** DNS names, and addresses as `ip:127.0.0.1`. */
export function identifiersOf(names: readonly string[]): Identifier[] {
  return names.map((name) =>
    name.startsWith('ip:') ? { type: 'ip', value: name.slice(3) } : { type: 'dns', value: name },
  );
}

/** Fails with the server's words where a step that the test takes for granted went wrong. */
export function expectStatus(reply: Reply, status: number, step: string): Reply {
  if (reply.status !== status) throw new Error(`${step}: ${reply.status} instead of ${status}: ${reply.text}`);
  return reply;
}

export async function register(
  acme: AcmeWire,
  key: SigningKey = createSigningKey(),
  payload: object = {},
): Promise<Reply> {
  const reply = await acme.post(acme.directory.newAccount, { termsOfServiceAgreed: true, ...payload }, { jwkOf: key });
  if (reply.status !== 200) expectStatus(reply, 201, 'newAccount');
  acme.account = { key, url: reply.location };
  return reply;
}

export async function newOrder(acme: AcmeWire, names: readonly string[], extra: object = {}): Promise<Order> {
  const reply = await acme.post(acme.directory.newOrder, { identifiers: identifiersOf(names), ...extra });
  expectStatus(reply, 201, 'newOrder');
  return { url: reply.location, object: reply.json };
}

/** POST-as-GET until `done`; the wait ends after `seconds`, which is never an assertion about speed. */
export async function poll(
  acme: AcmeWire,
  url: string,
  done: (object: AcmeObject) => boolean,
  seconds = 120,
): Promise<AcmeObject> {
  for (let waited = 0; ; waited += 0.05) {
    const reply = expectStatus(await acme.get(url), 200, `polling ${url}`);
    if (done(reply.json)) return reply.json;
    if (waited > seconds) throw new Error(`${url} still reads ${reply.text}`);
    await sleep(50);
  }
}

const isFinal = ({ status }: { status: string }): boolean => status === 'valid' || status === 'invalid';

export async function challengeOf(acme: AcmeWire, authorizationUrl: string, type: string): Promise<ChallengeObject> {
  const reply = expectStatus(await acme.get(authorizationUrl), 200, 'authorization');
  const challenge = reply.json.challenges.find((each) => each.type === type);
  if (!challenge) throw new Error(`no ${type} among ${reply.text}`);
  return challenge;
}

/** TXT value for dns-01, RFC 8555 section 8.4. */
export const dnsValue = (token: string, key: SigningKey): string =>
  base64url(createHash('sha256').update(keyAuthorization(token, key)).digest());

/** Puts the right answer where the challenge looks for it. */
export function provision(
  responders: Responders,
  challenge: ChallengeObject,
  identifier: Identifier,
  key: SigningKey,
): void {
  const answer = keyAuthorization(challenge.token, key);
  if (challenge.type === 'http-01') responders.http01.set(challenge.token, { body: answer });
  if (challenge.type === 'dns-01') {
    responders.dns.set(`_acme-challenge.${identifier.value}`, 'TXT', [dnsValue(challenge.token, key)]);
  }
  if (challenge.type === 'tls-alpn-01') {
    const [serverName, name] =
      identifier.type === 'ip'
        ? [reverseName(identifier.value), `ip:${identifier.value}`]
        : [identifier.value, identifier.value];
    responders.tlsAlpn.set(serverName, { name, keyAuthorization: answer });
  }
}

/** Starts validation and waits for its end. The challenge is polled, never the authorization: pebble locks siblings up on that. */
export async function attempt(acme: AcmeWire, challenge: ChallengeObject): Promise<ChallengeObject> {
  expectStatus(await acme.post(challenge.url, {}), 200, 'challenge');
  return (await poll(acme, challenge.url, isFinal)) as unknown as ChallengeObject;
}

/** Validates one authorization by the given type; a valid one is left as it is. */
export async function authorize(
  acme: AcmeWire,
  responders: Responders,
  authorizationUrl: string,
  type?: string,
): Promise<void> {
  const authorization = expectStatus(await acme.get(authorizationUrl), 200, 'authorization').json;
  if (authorization.status === 'valid') return;
  const wanted = type ?? (authorization.wildcard ? 'dns-01' : 'http-01');
  const challenge = authorization.challenges.find((each) => each.type === wanted);
  if (!challenge) throw new Error(`no ${wanted} among ${JSON.stringify(authorization.challenges)}`);
  provision(responders, challenge, authorization.identifier, acme.account.key);
  const end = await attempt(acme, challenge);
  if (end.status !== 'valid') throw new Error(`challenge ended ${JSON.stringify(end)}`);
}

/** An order with every authorization valid. */
export async function readyOrder(
  acme: AcmeWire,
  responders: Responders,
  names: readonly string[],
  extra: object = {},
): Promise<Order> {
  const order = await newOrder(acme, names, extra);
  for (const url of order.object.authorizations) await authorize(acme, responders, url);
  const ready = await poll(acme, order.url, ({ status }) => status !== 'pending');
  if (ready.status !== 'ready') throw new Error(`order is not ready: ${JSON.stringify(ready)}`);
  return order;
}

export async function finalize(acme: AcmeWire, order: Order, csr: Uint8Array): Promise<Reply> {
  return acme.post(order.object.finalize, { csr: base64url(csr) });
}

/** Finalizes with a good CSR and waits for the certificate. */
export async function complete(acme: AcmeWire, order: Order, keys?: KeyPair): Promise<Issued> {
  const csr = buildCsr({ names: csrNames(order.object.identifiers), ...(keys ? { keys } : {}) });
  expectStatus(await finalize(acme, order, csr.der), 200, 'finalize');
  const done = await poll(acme, order.url, ({ status }) => status !== 'processing' && status !== 'ready');
  if (done.status !== 'valid' || done.certificate === undefined) throw new Error(`order ended ${JSON.stringify(done)}`);
  return { order, keys: csr.keys, certificateUrl: done.certificate };
}

export async function issue(
  acme: AcmeWire,
  responders: Responders,
  names: readonly string[],
  extra: object = {},
): Promise<Issued> {
  return complete(acme, await readyOrder(acme, responders, names, extra));
}
