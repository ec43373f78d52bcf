import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anIssuer, createMemorySecrets } from '../../../test/contract/authorities.ts';
import {
  backendContract,
  type BackendUnderTest,
  remoteBackendContract,
  type RemoteUnderTest,
} from '../../../test/contract/backend.ts';
import { aSigningRequest } from '../../../test/contract/models.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import { startWebhookPeer, type WebhookPeer } from '../../../test/support/webhook-peer.ts';
import { RAW } from '../../../test/support/webhook-signer-words.ts';
import type { WebhookBackendSpec } from '../../api/webhook-backend.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import type { Backend, BackendDeps, SigningOutcome } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { webhookBackend } from './index.ts';

const none = new AbortController().signal;
let peers: Record<'hmac' | 'mtls', WebhookPeer>;

beforeAll(async () => {
  peers = {
    hmac: await startWebhookPeer({ authentication: 'hmac' }),
    mtls: await startWebhookPeer({ authentication: 'mtls' }),
  };
});

afterAll(() => Promise.all(Object.values(peers).map((peer) => peer.close())));

beforeEach(() => Promise.all(Object.values(peers).map((peer) => peer.behave({ kind: 'sign' }))));

function makeBackend(
  peer: WebhookPeer,
  spec: Partial<WebhookBackendSpec> = {},
  secrets = createMemorySecrets(peer.secrets),
  more: Pick<BackendDeps, 'addressesOf'> = {},
) {
  const webhook = { ...peer.spec, ...spec };
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined, ...more };
  return webhookBackend.create(deps, anIssuer({ webhook }), { webhook });
}

function underTest(peer: WebhookPeer): BackendUnderTest & { remote: RemoteUnderTest } {
  const remote: RemoteUnderTest = {
    async live(id) {
      const { chains = [], revoked = [] } = (await peer.signed())[id] ?? {};
      return chains.length - revoked.length;
    },
    loseAnswer: () => peer.behave({ kind: 'lose' }),
    pend: (polls) => peer.behave({ kind: 'pend', polls }),
    overload: (retryAfter) => peer.behave({ kind: 'status', status: 503, retryAfter }),
    answerWrongly: (how) => peer.behave(isRaw(how) ? { kind: 'raw', what: how } : { kind: 'wrong', what: how }),
    behaveWell: () => peer.behave({ kind: 'sign' }),
  };
  return {
    backend: makeBackend(peer),
    trustRoots: parsePemCertificates(peer.root),
    refused: aSigningRequest({ names: { dnsNames: ['refused.example.test'] } }),
    fail: () => peer.stop(),
    recover: () => peer.start(),
    remote,
  };
}

const isRaw = (how: string): how is (typeof RAW)[number] => (RAW as readonly string[]).includes(how);

backendContract('webhook with a shared key', async () => underTest(peers.hmac));
backendContract('webhook with a client certificate', async () => underTest(peers.mtls));
remoteBackendContract('webhook', async () => underTest(peers.hmac));

async function refusalOf(backend: Backend, behaviour: Parameters<WebhookPeer['behave']>[0]): Promise<string> {
  await peers.hmac.behave(behaviour);
  const outcome: SigningOutcome | Error = await backend.sign(aSigningRequest(), none).catch((error: Error) => error);
  if (outcome instanceof Error) return `throws ${outcome.message}`;
  return outcome.kind === 'refused' ? `refused ${outcome.problem.message}` : outcome.kind;
}

test('the request says everything a signer may want to know', async () => {
  const backend = makeBackend(peers.hmac);
  const request = aSigningRequest({
    names: { dnsNames: ['a.test'], ipAddresses: ['192.0.2.1'] },
    profile: 'server',
    usages: ['server auth', 'client auth'],
  });
  await backend.sign({ ...request, requester: { door: 'ACME', account: 'ac-1', source: '192.0.2.9' } }, none);
  const { request: sent } = (await peers.hmac.signed())[request.id] ?? {};
  expect(sent).toMatchObject({
    version: 'v1',
    id: request.id,
    issuer: 'corporate',
    names: { dnsNames: ['a.test'], ipAddresses: ['192.0.2.1'], uris: [], emailAddresses: [] },
    subject: 'CN=a.test',
    profile: 'server',
    usages: ['server auth', 'client auth'],
    notBefore: request.model.notBefore.toISOString(),
    notAfter: request.model.notAfter.toISOString(),
    durationSeconds: 7 * 86_400,
    requester: { door: 'ACME', account: 'ac-1', source: '192.0.2.9' },
  });
  expect(sent?.csr).toContain('-----BEGIN CERTIFICATE REQUEST-----');
});

describe('statuses', () => {
  const problem = { type: 'urn:ietf:params:acme:error:badCSR', detail: 'no' };

  test.each<[string, number, object | undefined, string]>([
    ['a 4xx with a problem is a refusal', 400, problem, 'refused badCSR: the CA refused the request: no'],
    ['so is 403', 403, { detail: 'not you' }, 'refused unauthorized: the CA refused the request: not you'],
    [
      'a type that is not for a CA to choose is not taken over',
      403,
      { type: 'urn:ietf:params:acme:error:badNonce' },
      'refused unauthorized: the CA refused the request',
    ],
    ['a detail that is no text is none', 400, { detail: { a: 1 } }, 'refused unauthorized: the CA refused the request'],
    [
      'a 4xx without a problem is a mistake of somebody',
      404,
      undefined,
      'throws the webhook answered with HTTP status 404',
    ],
    ['401 is for us to mend', 401, problem, 'throws the webhook answered with HTTP status 401'],
    ['408 is transient', 408, problem, 'throws the webhook answered with HTTP status 408'],
    ['409 is transient', 409, problem, 'throws the webhook answered with HTTP status 409'],
    ['429 is transient', 429, problem, 'throws the webhook answered with HTTP status 429'],
    ['500 is transient', 500, problem, 'throws the webhook answered with HTTP status 500'],
    ['a redirect is not followed', 302, undefined, 'throws the webhook answered with HTTP status 302'],
  ])('%s', async (_, status, body, outcome) => {
    const behaviour = { kind: 'status', status, ...(body ? { problem: body } : {}) } as const;
    expect(await refusalOf(makeBackend(peers.hmac), behaviour)).toBe(outcome);
  });

  test('what a CA says is shown on one line, cut, and without what a terminal obeys', async () => {
    const detail = `line\r\n\u001b[31mred \u202e${'x'.repeat(5000)}`;
    const shown = await refusalOf(makeBackend(peers.hmac), { kind: 'status', status: 400, problem: { detail } });
    expect(shown).toMatch(
      /^refused unauthorized: the CA refused the request: line\\u000d\\u000a\\u001b\[31mred \\u202ex+…$/,
    );
    expect(shown.length).toBeLessThan(500);
  });
});

test.each([
  ['another host', 'https://elsewhere.test/poll'],
  ['another port', 'https://127.0.0.1:1/poll'],
  ['plain HTTP', 'http://127.0.0.1/poll'],
  ['a user', 'https://user:password@127.0.0.1/poll'],
  ['a file', 'file:///etc/passwd'],
])('a poll URL on %s is no answer', async (_, poll) => {
  const outcome = await refusalOf(makeBackend(peers.hmac), { kind: 'pend', polls: 9, poll });
  expect(outcome).toBe('throws the webhook names a poll URL that is not its own');
});

test('a signer that does not answer is given up after the time-out', async () => {
  const backend = makeBackend(peers.hmac, { timeout: '1s' });
  expect(await refusalOf(backend, { kind: 'mute' })).toBe('throws the webhook did not answer in time');
});

test('a handle the signer has forgotten is asked anew', async () => {
  const backend = makeBackend(peers.hmac);
  const outcome = await backend.sign({ ...aSigningRequest(), handle: `${peers.hmac.spec.url}/ic-unknown/poll` }, none);
  expect(outcome.kind).toBe('issued');
});

describe('trust', () => {
  test('a server certificate of another CA ends it', async () => {
    const backend = makeBackend(peers.hmac, { caBundle: peers.hmac.root });
    await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow('cannot be reached');
    expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'Unreachable' });
  });

  test('the CA bundle may stand in a Secret', async () => {
    const { caBundle = '', ...spec } = peers.hmac.spec;
    const secrets = createMemorySecrets({ ...peers.hmac.secrets, bundle: { 'ca.crt': caBundle } });
    const webhook = { ...spec, caBundleRef: { name: 'bundle', key: 'ca.crt' } };
    const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined };
    const backend = webhookBackend.create(deps, anIssuer({ webhook }), { webhook });
    expect((await backend.sign(aSigningRequest(), none)).kind).toBe('issued');
  });

  test('a wrong key is refused by the signer, and a new one is used once the Secret has it', async () => {
    const secrets = createMemorySecrets({ 'webhook-key': { key: 'a'.repeat(64) } });
    const backend = makeBackend(peers.hmac, {}, secrets);
    await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow('HTTP status 401');
    expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'Unauthorized' });
    secrets.values.set('webhook-key', { key: Buffer.from(`${peers.hmac.secrets['webhook-key']?.key}\n`) });
    expect(await backend.check(none)).toMatchObject({ ready: true });
    expect((await backend.sign(aSigningRequest(), none)).kind).toBe('issued');
  });

  test('without a client certificate where one is asked for, the connection ends', async () => {
    const backend = makeBackend(
      peers.mtls,
      peers.hmac.spec.authentication ? { authentication: peers.hmac.spec.authentication } : {},
    );
    await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow('cannot be reached');
  });

  test.each<[string, Record<string, Record<string, string>>, string]>([
    ['no Secret', {}, 'SecretMissing'],
    ['a Secret without the key', { 'webhook-key': { other: 'x' } }, 'SecretKeyMissing'],
    ['a key that is too short', { 'webhook-key': { key: 'short' } }, 'KeyTooShort'],
  ])('%s is said so', async (_, secrets, reason) => {
    const backend = makeBackend(peers.hmac, {}, createMemorySecrets(secrets));
    expect(await backend.check(none)).toMatchObject({ ready: false, reason });
    await expect(backend.sign(aSigningRequest(), none)).rejects.toMatchObject({ reason });
  });

  test('a client certificate that is none is said so', async () => {
    const broken = createMemorySecrets({ 'webhook-client': { 'tls.crt': 'x', 'tls.key': 'y' } });
    expect(await makeBackend(peers.mtls, {}, broken).check(none)).toMatchObject({ reason: 'SecretUnusable' });
  });
});

test('health shows the issuing CA and its chain', async () => {
  const { ca } = await makeBackend(peers.hmac).check(none);
  const [root] = parsePemCertificates(peers.hmac.root);
  expect(ca?.chains[0]).toEqual([ca?.certificate, root]);
});

test('a signer that keeps no revocations says so, and it is no failure', async () => {
  const backend = makeBackend(peers.hmac);
  const request = aSigningRequest();
  const entry = { serial: '0a', revokedAt: new Date(), reason: 0 };
  expect(await backend.revoke?.(request.id, Buffer.from('30', 'hex'), entry, none)).toEqual({ kind: 'unsupported' });
});

describe('an issuer of a tenant', () => {
  const at = (host: string) => ({ url: peers.hmac.spec.url.replace('127.0.0.1', host) });
  const judging = (judge: (host: string) => readonly string[]) => {
    const asked: string[] = [];
    const addressesOf = async (host: string) => {
      asked.push(host);
      return judge(host);
    };
    return { asked, addressesOf };
  };

  test('dials the addresses that were judged, and looks nothing up itself', async () => {
    const { asked, addressesOf } = judging(() => ['127.0.0.1']);
    // `.test` is in no DNS (RFC 6761 section 6.2).
    const backend = makeBackend(peers.hmac, at('signer.test'), undefined, { addressesOf });
    expect(await backend.check(none)).toMatchObject({ ready: true });
    expect((await backend.sign(aSigningRequest(), none)).kind).toBe('issued');
    expect(asked).toEqual(['signer.test', 'signer.test']);
  });

  test.each(['127.0.0.1', '[::1]'])('at an address (%s) that it may not go to is not dialled', async (host) => {
    const { asked, addressesOf } = judging((given) => {
      throw new Unavailable(`${given} is forbidden`);
    });
    const before = await peers.hmac.calls();
    const backend = makeBackend(peers.hmac, at(host), undefined, { addressesOf });
    const bare = host.replace(/[[\]]/g, '');
    expect(await backend.check(none)).toMatchObject({
      reason: 'Unreachable',
      message: `the webhook cannot be reached: ${bare} is forbidden`,
    });
    await expect(backend.sign(aSigningRequest(), none)).rejects.toThrow('forbidden');
    expect(asked).toEqual([bare, bare]);
    expect(await peers.hmac.calls()).toBe(before);
  });
});
