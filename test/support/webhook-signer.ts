// A signer behind the webhook backend, as a process of its own: told over IPC to be good, slow, mute, forgetful, or to answer wrongly in
// every way a test thinks of. What it signed it keeps in a file, so that it may die. Independent of src/.
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  timingSafeEqual,
  X509Certificate,
} from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { gzipSync } from 'node:zlib';
import type { KeyPair } from './certificate-builder.ts';
import type {
  Behaviour,
  Raw,
  Signed,
  SignerAnswer,
  SignerOrder,
  SignerSettings,
  SigningBody,
  Wrong,
} from './webhook-signer-words.ts';
import { certify } from './wrong-certificates.ts';

const settings = JSON.parse(process.argv[2] ?? '{}') as SignerSettings;
const state = { behaviour: { kind: 'sign' } as Behaviour, calls: 0, signed: load() };
const issuing: KeyPair = {
  publicKey: createPublicKey(settings.authority.key),
  privateKey: createPrivateKey(settings.authority.key),
};

function load(): Record<string, Signed> {
  try {
    return JSON.parse(readFileSync(settings.file, 'utf8')) as Record<string, Signed>;
  } catch {
    return {};
  }
}

function save(): void {
  writeFileSync(`${settings.file}.new`, JSON.stringify(state.signed));
  renameSync(`${settings.file}.new`, settings.file);
}

// ---- Certificates ---------------------------------------------------------------------------------------------------

function certifyFor(body: SigningBody, wrong?: Wrong): string {
  const asked = {
    ...body.names,
    csr: Buffer.from(body.csr.replace(/-----[^-]+-----|\s/g, ''), 'base64'),
    usages: body.usages,
    notBefore: new Date(body.notBefore),
    notAfter: new Date(body.notAfter),
  };
  return certify({ issuer: 'Webhook issuing CA', keys: issuing, above: settings.authority.certificate }, asked, wrong);
}

const serialOf = (chain: string): string => new X509Certificate(chain).serialNumber.toLowerCase();

// ---- HTTP -----------------------------------------------------------------------------------------------------------

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  body: Buffer;
}

function reply({ response }: Exchange, status: number, value?: object, headers: Record<string, string> = {}): void {
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  response.writeHead(status, { ...(value ? { 'Content-Type': type } : {}), ...headers });
  response.end(value && JSON.stringify(value));
}

function isGenuine({ request, body }: Exchange): boolean {
  if (settings.hmac === undefined) return true;
  const { 'countersign-timestamp': time = '', 'countersign-signature': given = '' } = request.headers as Record<
    string,
    string
  >;
  if (Math.abs(Date.now() / 1000 - Number(time)) > 300) return false;
  const digest = createHash('sha256').update(body).digest('hex');
  const text = ['v1', request.method, request.url, time, digest].join('\n');
  const wanted = `v1=${createHmac('sha256', settings.hmac).update(text).digest('hex')}`;
  return given.length === wanted.length && timingSafeEqual(Buffer.from(given), Buffer.from(wanted));
}

function handle(exchange: Exchange): void {
  if (!isGenuine(exchange)) return reply(exchange, 401, { detail: 'bad signature' });
  const [, base, id, step] = (exchange.request.url ?? '').split('/').map(decodeURIComponent);
  const { method } = exchange.request;
  if (base !== 'sign') return reply(exchange, 404);
  if (method === 'GET' && id === undefined) return health(exchange);
  if (method === 'POST' && id === undefined) return post(exchange);
  const known = id === undefined ? undefined : state.signed[id];
  if (!known) return reply(exchange, 404);
  if (method === 'POST' && step === 'revoke') return revoke(exchange, known);
  if (method === 'GET' && step === 'poll') return answer(exchange, known);
  const live = known.chains.filter((chain) => !known.revoked.includes(serialOf(chain)));
  return live.length > 0
    ? reply(exchange, 200, { certificates: live })
    : reply(exchange, 202, { poll: pollOf(id ?? '') });
}

function health(exchange: Exchange): void {
  const { behaviour } = state;
  if (behaviour.kind === 'status') return reply(exchange, behaviour.status);
  reply(exchange, 200, { chain: settings.authority.certificate });
}

function revoke(exchange: Exchange, known: Signed): void {
  const { serial } = JSON.parse(exchange.body.toString()) as { serial: string };
  known.revoked = [...new Set([...known.revoked, serial])];
  save();
  reply(exchange, 200, {});
}

const pollOf = (id: string): string => `/sign/${id}/poll`;

function post(exchange: Exchange): void {
  const body = JSON.parse(exchange.body.toString()) as SigningBody;
  const known = (state.signed[body.id] ??= { posts: 0, chains: [], revoked: [], polls: 0 });
  known.posts++;
  known.request = body;
  const keyID = exchange.request.headers['countersign-key-id'];
  if (typeof keyID === 'string') known.keyID = keyID;
  save();
  if (body.names.dnsNames.some((name) => name.startsWith('refused.'))) {
    const detail = 'names that begin with "refused" are not\r\nsigned \u202ehere';
    return reply(exchange, 403, { type: 'urn:ietf:params:acme:error:rejectedIdentifier', detail });
  }
  answer(exchange, known);
}

/** To a request or a poll. */
function answer(exchange: Exchange, known: Signed): void {
  const { behaviour } = state;
  switch (behaviour.kind) {
    case 'mute':
      return;
    case 'status': {
      const headers: Record<string, string> =
        behaviour.retryAfter === undefined ? {} : { 'Retry-After': String(behaviour.retryAfter) };
      return reply(exchange, behaviour.status, behaviour.problem, headers);
    }
    case 'raw':
      return raw(exchange, behaviour.what);
    case 'pend':
      if (known.polls++ < behaviour.polls) {
        save();
        const poll = behaviour.poll ?? pollOf(known.request?.id ?? '');
        return reply(exchange, 202, { poll, retryAfter: 1 });
      }
      break;
    default:
  }
  sign(known, behaviour);
  if (behaviour.kind === 'die') process.exit(1);
  if (behaviour.kind === 'lose') return void exchange.response.socket?.destroy();
  const give = (): void => reply(exchange, 200, { certificate: known.chains.at(-1) });
  if (behaviour.kind === 'slow') setTimeout(give, behaviour.ms);
  else give();
}

/** Once for a request, unless told otherwise. */
function sign(known: Signed, behaviour: Behaviour): void {
  const { request } = known;
  if (!request || (known.chains.length > 0 && behaviour.kind !== 'forget')) return;
  known.chains.push(certifyFor(request, behaviour.kind === 'wrong' ? behaviour.what : undefined));
  if (behaviour.kind === 'twice') known.chains.push(certifyFor(request));
  save();
}

function raw({ response }: Exchange, what: Raw): void {
  const json = { 'Content-Type': 'application/json' };
  const send = (status: number, headers: Record<string, string>, body: string | Buffer): void => {
    response.writeHead(status, headers).end(body);
  };
  switch (what) {
    case 'html':
      return send(200, { 'Content-Type': 'text/html' }, '<html><script>alert(1)</script></html>');
    case 'huge':
      return send(200, { ...json, 'Content-Length': String(100 * 1024 * 1024) }, Buffer.alloc(1024 * 1024, 0x20));
    case 'endless': {
      response.writeHead(200, json);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
        if (!response.destroyed) response.once('drain', more);
      };
      return more();
    }
    case 'gzip':
      return send(200, { ...json, 'Content-Encoding': 'gzip' }, gzipSync('{"certificate": "x"}'));
    case 'redirect':
      return send(307, { Location: `https://127.0.0.1:${settings.port}/elsewhere` }, '');
    case 'not json':
      return send(200, json, '{"certificate": ');
    case 'no certificate':
      return send(200, json, '{"certificate": 7}');
    case 'broken pem':
      return send(
        200,
        json,
        JSON.stringify({ certificate: '-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----' }),
      );
    case 'cut':
      response.writeHead(200, { ...json, 'Content-Length': '1000' }).write('{"certificate":');
      setTimeout(() => response.socket?.destroy(), 20);
  }
}

// Nobody is left to be tested.
process.once('disconnect', () => process.exit(0));
process.on('message', (order: SignerOrder) => {
  if (order.say === 'behave') state.behaviour = order.behaviour;
  const said: SignerAnswer =
    order.say === 'behave' ? { say: 'behaves' } : { say: 'report', signed: state.signed, calls: state.calls };
  process.send?.(said);
});

createServer(
  {
    cert: settings.certificate,
    key: settings.key,
    ...(settings.clientCA === undefined ? {} : { ca: settings.clientCA, requestCert: true, rejectUnauthorized: true }),
  },
  (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => {
      state.calls++;
      handle({ request, response, body: Buffer.concat(chunks) });
    });
    request.on('error', () => undefined);
    response.on('error', () => undefined);
  },
).listen(settings.port, '127.0.0.1', () => process.send?.({ say: 'ready' } satisfies SignerAnswer));
