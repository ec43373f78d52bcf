// Starts webhook-signer.ts as a process, tells it how to behave, and starts it again when it dies.
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WebhookBackendSpec } from '../../src/api/webhook-backend.ts';
import {
  buildCaCertificate,
  buildCertificate,
  buildServerCertificate,
  createKeyPair,
  pemOf,
  privateKeyPem,
} from './certificate-builder.ts';
import { freePort } from './child-process.ts';
import { sanOf } from './csr-builder.ts';
import type { Behaviour, Signed, SignerAnswer, SignerOrder, SignerSettings } from './webhook-signer-words.ts';

export interface WebhookPeer {
  spec: WebhookBackendSpec;
  /** Secrets that the spec names, by name. */
  secrets: Record<string, Record<string, string>>;
  /** PEM of the root that its certificates lead to. */
  root: string;
  behave(behaviour: Behaviour): Promise<void>;
  /** What it was asked for and signed, by id. */
  signed(): Promise<Record<string, Signed>>;
  /** HTTP requests of the process that runs now. */
  calls(): Promise<number>;
  /** Ends the process; nobody listens until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Ends it for good. */
  close(): Promise<void>;
}

export interface PeerOptions {
  authentication?: 'mtls' | 'hmac';
  /** Fields of the spec beside those that reach it. */
  spec?: Partial<WebhookBackendSpec>;
}

export async function startWebhookPeer({ authentication = 'hmac', spec }: PeerOptions = {}): Promise<WebhookPeer> {
  const home = mkdtempSync(join(tmpdir(), 'countersign-webhook-'));
  const port = await freePort();
  const server = buildServerCertificate(['ip:127.0.0.1', 'signer.test'].map(sanOf));
  const [rootKeys, issuingKeys, clientCA, client] = [
    createKeyPair(),
    createKeyPair(),
    createKeyPair(),
    createKeyPair(),
  ];
  const root = pemOf('CERTIFICATE', buildCaCertificate('Webhook root CA', rootKeys));
  const issuing = buildCaCertificate('Webhook issuing CA', issuingKeys, { subject: 'Webhook root CA', keys: rootKeys });
  const hmac = randomBytes(32).toString('hex');
  const settings: SignerSettings = {
    port,
    file: join(home, 'signed.json'),
    certificate: server.certificate,
    key: server.key,
    authority: { certificate: pemOf('CERTIFICATE', issuing), key: privateKeyPem(issuingKeys), root },
    ...(authentication === 'hmac'
      ? { hmac }
      : { clientCA: pemOf('CERTIFICATE', buildCaCertificate('client CA', clientCA)) }),
  };
  const clientCertificate = buildCertificate({
    subject: 'client',
    issuer: 'client CA',
    keys: client,
    signer: clientCA,
  });
  const signer = createSigner(settings);
  await signer.start();
  return {
    spec: {
      url: `https://127.0.0.1:${port}/sign`,
      trustAnchors: root,
      caBundle: server.ca,
      authentication:
        authentication === 'hmac'
          ? { hmac: { secretRef: { name: 'webhook-key', key: 'key' } } }
          : { clientCertificateRef: { name: 'webhook-client' } },
      ...spec,
    },
    secrets: {
      'webhook-key': { key: hmac },
      'webhook-client': { 'tls.crt': pemOf('CERTIFICATE', clientCertificate), 'tls.key': privateKeyPem(client) },
    },
    root,
    behave: async (behaviour) => void (await signer.ask({ say: 'behave', behaviour })),
    signed: async () => (await signer.report()).signed,
    calls: async () => (await signer.report()).calls,
    stop: () => signer.stop(),
    start: () => signer.start(),
    close: async () => {
      await signer.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function createSigner(settings: SignerSettings) {
  let child: ChildProcess | undefined;
  let behaviour: Behaviour = { kind: 'sign' };
  let answers: ((answer: SignerAnswer) => void)[] = [];
  let started: Promise<void> = Promise.resolve();

  function spawn(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const made = fork(join(import.meta.dirname, 'webhook-signer.ts'), [JSON.stringify(settings)], { execArgv: [] });
    child = made;
    made.on('message', (answer: SignerAnswer) => {
      if (answer.say === 'ready') resolve();
      else answers.shift()?.(answer);
    });
    made.once('exit', (code) => {
      reject(new Error(`the signer ended (${code})`));
      // It was told to die, and is to be there again.
      if (child === made) started = spawn();
    });
    return promise;
  }

  async function ask(order: SignerOrder): Promise<SignerAnswer> {
    if (order.say === 'behave') behaviour = order.behaviour;
    await started;
    return new Promise((resolve) => {
      answers.push(resolve);
      child?.send(order);
    });
  }

  return {
    ask,
    async report() {
      const answer = await ask({ say: 'report' });
      if (answer.say !== 'report') throw new Error('the signer answered something else');
      return answer;
    },
    async start() {
      if (child) return;
      started = spawn();
      await started;
      if (behaviour.kind !== 'sign') await ask({ say: 'behave', behaviour });
    },
    async stop() {
      const ending = child;
      child = undefined;
      answers = [];
      if (!ending) return;
      const ended = new Promise((resolve) => ending.once('exit', resolve));
      ending.kill('SIGKILL');
      await ended;
    },
  };
}
