// An ACME client that never gives up: what fails because the server is gone, or came back without its nonces, it tries again, with the
// same account key, order, certificate key and CSR. It remembers what the server told it.
import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { challengeOf, newOrder, poll, provision, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Reply, type Transport } from '../support/acme-wire.ts';
import type { KeyPair } from '../support/certificate-builder.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { base64url, createSigningKey } from '../support/jws.ts';

/** What a client has in the end, and was told on the way. */
export interface Obtained {
  names: readonly string[];
  accountUrl: string;
  thumbprint: string;
  orderUrl: string;
  certificateUrl: string;
  keys: KeyPair;
  csr: Buffer;
  /** The chain as downloaded. */
  pem: string;
}

export interface Client {
  /** Account, order, authorizations, finalize, download. */
  obtain(names: readonly string[]): Promise<Obtained>;
  /** Downloads once more, after the order was read once more. */
  download(obtained: Obtained): Promise<{ status: string; pem: string }>;
  /** Revokes as superseded; resolves once the server says that it is revoked. */
  revoke(obtained: Obtained): Promise<void>;
  close(): void;
}

export async function createClient(
  program: { directory: string; ca: string; fault: Promise<never>; transport?: Transport },
  responders: Pick<Responders, 'dns' | 'http01'>,
): Promise<Client> {
  const transport = patientTransport(program.transport ?? createTransport(program.ca), program.fault);
  const acme = persistent(await connect(transport, program.directory));
  return {
    obtain: (names) => obtain(acme, responders, names),
    download: async ({ orderUrl, certificateUrl }) => {
      const order = (await acme.get(orderUrl)).json;
      if (order.certificate !== certificateUrl) throw new Error(`the order now reads ${JSON.stringify(order)}`);
      return { status: order.status, pem: (await acme.get(certificateUrl)).text };
    },
    revoke: async ({ pem }) => {
      const certificate = base64url(new X509Certificate(pem).raw);
      const reply = await acme.post(acme.directory.revokeCert, { certificate, reason: 4 });
      // The answer to the first request may have died with the server.
      const done = reply.status === 200 || reply.problem.type === 'urn:ietf:params:acme:error:alreadyRevoked';
      if (!done) throw new Error(`revoke: ${reply.status} ${reply.text}`);
    },
    close: () => transport.close(),
  };
}

const GONE = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

/** Sends a request again while nobody listens. */
function patientTransport(transport: Transport, fault: Promise<never>): Transport {
  return {
    close: () => transport.close(),
    async request(method, url, options) {
      for (;;) {
        try {
          return await Promise.race([transport.request(method, url, options), fault]);
        } catch (error) {
          if (!GONE.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
          await sleep(10);
        }
      }
    },
  };
}

/** Signs again, with the fresh nonce, what was refused for its nonce, and what the server could not answer just then. */
function persistent(acme: AcmeWire): AcmeWire {
  const post: AcmeWire['post'] = async (url, payload, options) => {
    for (let tries = 1; ; tries++) {
      const reply = await acme.post(url, payload, options);
      const again = reply.status === 503 || (reply.status === 400 && reply.text.includes(':badNonce"'));
      if (!again || tries > 100) return reply;
      if (reply.status === 503) await sleep(50);
    }
  };
  const get: AcmeWire['get'] = (url, options) => post(url, undefined, options);
  return Object.create(acme, { post: { value: post }, get: { value: get } }) as AcmeWire;
}

async function obtain(
  acme: AcmeWire,
  responders: Pick<Responders, 'dns' | 'http01'>,
  names: readonly string[],
): Promise<Obtained> {
  const key = createSigningKey();
  await register(acme, key);
  const order = await newOrder(acme, names);
  for (const url of order.object.authorizations) await authorize(acme, responders, url);
  const ready = await poll(acme, order.url, ({ status }) => status !== 'pending');
  if (ready.status !== 'ready') throw new Error(`the order reads ${JSON.stringify(ready)}`);
  const csr = buildCsr({ names });
  const certificateUrl = await finalize(acme, order.object.finalize, csr.der);
  const reply = await acme.get(certificateUrl);
  if (reply.status !== 200) throw new Error(`download: ${reply.status} ${reply.text}`);
  return {
    names,
    accountUrl: acme.account.url,
    thumbprint: key.thumbprint,
    orderUrl: order.url,
    certificateUrl,
    keys: csr.keys,
    csr: csr.der,
    pem: reply.text,
  };
}

/** A server that dies forgets that it was validating: the challenge is answered again until its authorization is decided. */
async function authorize(acme: AcmeWire, responders: Pick<Responders, 'dns' | 'http01'>, url: string): Promise<void> {
  const challenge = await challengeOf(acme, url, 'http-01');
  const { identifier } = (await acme.get(url)).json;
  provision(responders as Responders, challenge, identifier, acme.account.key);
  for (;;) {
    const reply = await acme.post(challenge.url, {});
    const { status } = (await acme.get(url)).json;
    if (status === 'valid') return;
    if (reply.status !== 200 || status !== 'pending') throw new Error(`authorization ${status}: ${reply.text}`);
  }
}

/** The certificate's URL. */
async function finalize(acme: AcmeWire, url: string, csr: Buffer): Promise<string> {
  for (;;) {
    const reply: Reply = await acme.post(url, { csr: base64url(csr) });
    if (reply.status !== 200) throw new Error(`finalize: ${reply.status} ${reply.text}`);
    if (reply.json.certificate !== undefined) return reply.json.certificate;
    await sleep(10);
  }
}
