// Effects of the fields of the acme backend, against servers that remember what they are asked.
import { createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { AcmeBackendSpec } from '../../src/api/acme-backend.ts';
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import { CAIssuerKind } from '../../src/api/issuer.ts';
import { acmeBackend } from '../../src/backends/acme/index.ts';
import { judgeAnswer } from '../../src/issuance/verify.ts';
import type { Backend, DnsUpdate, ProofTools, SigningOutcome } from '../../src/ports.ts';
import { anIssuer, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { createFakeClock, type FakeClock } from '../fakes/clock.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { type AcmeDouble, startAcmeDouble } from '../support/acme-double.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { type HttpsServer, sendJson, startHttpsServer } from '../support/https-server.ts';
import { stubResolver } from '../support/validation.ts';
import { ABSENT, type FieldCase } from './field-case.ts';

/** What stands in the cases for what is known only once the servers run. */
const [ROOT, BUNDLE, SERVICE_CA, OTHER] = ['root', 'bundle', 'service', 'other'].map((name) =>
  pemOf('CERTIFICATE', buildCaCertificate(name, createKeyPair())),
);
const DIRECTORY = 'https://ca.test/dir';
const BACKUP = 'https://backup.test/dir';
const SERVICE = 'https://service.test/dns';
/** Nobody listens there. */
const AWAY = 'https://away.test/dir';
const NOWHERE = 'https://127.0.0.1:1/dir';

interface Servers {
  first: AcmeDouble;
  backup: AcmeDouble;
  service: HttpsServer;
}

const running: { servers?: Promise<Servers> } = {};

async function start(): Promise<Servers> {
  const [first, backup] = await Promise.all([startAcmeDouble(), startAcmeDouble()]);
  return { first, backup, service: await startHttpsServer((_request, response) => sendJson(response, 200, {})) };
}

export async function stopAcme(): Promise<void> {
  if (!running.servers) return;
  const { first, backup, service } = await running.servers;
  await Promise.all([first.server.stop(), backup.server.stop(), service.stop()]);
}

function accountKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string;
}

const MACS = { one: randomBytes(32), two: randomBytes(32) };
const KEYS = { one: randomBytes(32).toString('hex'), two: randomBytes(32).toString('hex') };
const dnsAccount = (username: string) =>
  JSON.stringify({ any: { fulldomain: 'target.test', subdomain: 'sub', username, password: 'p' } });

const SECRETS = {
  'key-a': { 'account.key': accountKey() },
  'key-b': { 'account.key': accountKey() },
  eab: { one: MACS.one.toString('base64url'), two: MACS.two.toString('base64url') },
  'eab-2': { one: MACS.two.toString('base64url') },
  tsig: { one: MACS.one.toString('base64'), two: MACS.two.toString('base64') },
  'tsig-2': { one: MACS.two.toString('base64') },
  dns: { one: dnsAccount('anna'), two: dnsAccount('bert') },
  'dns-2': { one: dnsAccount('bert') },
  hmac: { one: KEYS.one, two: KEYS.two },
  'hmac-2': { one: KEYS.two },
};

interface Made {
  backend: Backend;
  servers: Servers;
  clock: FakeClock;
  updates: DnsUpdate[];
  /** One call, with what was kept of the one before. */
  ask(): Promise<SigningOutcome | Error>;
  request: ReturnType<typeof aSigningRequest>;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

const none = new AbortController().signal;

async function make({ backend }: CAIssuerSpec, isSeen = true): Promise<Made> {
  running.servers ??= start();
  const servers = await running.servers;
  const { first, backup, service } = servers;
  const text = new Map([
    [ROOT, first.root + backup.root],
    [DIRECTORY, first.directory],
    [BACKUP, backup.directory],
    [AWAY, NOWHERE],
    [SERVICE_CA, service.ca],
  ]);
  const real = (value: unknown, bundle: string): unknown => {
    if (typeof value === 'string')
      return value === BUNDLE ? bundle : (text.get(value) ?? value.replace(SERVICE, `${service.url}/dns`));
    if (Array.isArray(value)) return value.map((each) => real(each, bundle));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, real(member, name === 'backup' ? backup.caBundle : bundle)]),
    );
  };
  const acme = real(backend.acme, first.caBundle) as AcmeBackendSpec;
  const clock = createFakeClock();
  const updates: DnsUpdate[] = [];
  const secrets = createMemorySecrets({
    ...SECRETS,
    bundle: { 'ca.crt': first.caBundle, 'other.crt': OTHER ?? '' },
    'backup-bundle': { 'ca.crt': backup.caBundle, 'other.crt': OTHER ?? '' },
  });
  const deps = { secrets, clock, random: createFakeRandom(), urls: undefined, proof: proofOf(isSeen, updates) };
  const made = acmeBackend.create(deps, anIssuer({ acme }), { acme });
  const request = aSigningRequest();
  let handle: string | undefined;
  const keep = async (next: string) => void (handle = next);
  const ask = () =>
    made.sign({ ...request, keep, ...(handle === undefined ? {} : { handle }) }, none).catch((error: Error) => error);
  return { backend: made, servers, clock, updates, ask, request };
}

function proofOf(isSeen: boolean, updates: DnsUpdate[]): ProofTools {
  const validate = () =>
    Promise.resolve(
      isSeen
        ? ({ valid: true, addresses: [] } as const)
        : ({ valid: false, problem: { detail: 'not seen' }, retryable: true, addresses: [] } as never),
    );
  const canonical = () => Promise.resolve({ state: 'found', records: ['target.test'] } as const);
  const txt = () => Promise.resolve({ state: 'absent' } as const);
  return {
    validators: { 'http-01': { validate }, 'dns-01': { validate } },
    resolver: () => stubResolver({ canonical, txt }),
    dnsUpdater: {
      add: (update) => Promise.resolve(void updates.push(update)),
      remove: () => Promise.resolve(),
    },
  };
}

const shownOutcome = (outcome: SigningOutcome | Error): string =>
  outcome instanceof Error ? outcome.message.replace(/:\d+/g, '') : outcome.kind;

/** Asks; where the first server is away, until the backup has been asked. */
async function ordered(spec: CAIssuerSpec): Promise<Made & { outcome: SigningOutcome | Error; at: AcmeDouble }> {
  const made = await make(spec);
  let outcome = await made.ask();
  if (spec.backend.acme?.directory === AWAY) {
    await made.clock.advance(2_000);
    outcome = await made.ask();
  }
  return { ...made, outcome, at: spec.backend.acme?.directory === AWAY ? made.servers.backup : made.servers.first };
}

const ended = async (spec: CAIssuerSpec): Promise<unknown> => shownOutcome((await ordered(spec)).outcome);

const withBehaviour =
  (change: Partial<AcmeDouble['behaviour']>, outcome: (spec: CAIssuerSpec) => Promise<unknown>) =>
  async (spec: CAIssuerSpec): Promise<unknown> => {
    const { first, backup } = (await make(spec)).servers;
    for (const { behaviour } of [first, backup]) Object.assign(behaviour, change);
    try {
      return await outcome(spec);
    } finally {
      for (const double of [first, backup]) double.reset();
    }
  };

const accountIn = ({ accounts }: AcmeDouble, url: string | undefined) => accounts.findIndex((each) => each.url === url);

/** Which of the accounts there were before was used. */
async function usedAccount(spec: CAIssuerSpec): Promise<unknown> {
  const before: (string | undefined)[] = [];
  // One after the other: the last order is the one just made.
  for (const name of ['key-a', 'key-b']) {
    const { at } = await ordered(withKey(spec, name));
    before.push(at.orders.at(-1)?.account);
  }
  const { at, outcome } = await ordered(spec);
  const used = at.orders.at(-1)?.account;
  return { outcome: shownOutcome(outcome), used: accountIn(at, used) < 0 ? 'none' : before.indexOf(used) };
}

function withKey(spec: CAIssuerSpec, name: string): CAIssuerSpec {
  const copy = structuredClone(spec);
  const { acme } = copy.backend;
  const account = { keySecretRef: { name } };
  if (acme?.backup) acme.backup.account = account;
  else if (acme) acme.account = account;
  return copy;
}

const contacts = async (spec: CAIssuerSpec): Promise<unknown> => (await ordered(spec)).at.accounts.at(-1)?.body.contact;

/** Whose binding it was, and with which key. */
async function binding(spec: CAIssuerSpec): Promise<unknown> {
  const { at, outcome } = await ordered(spec);
  const jws = at.accounts.at(-1)?.body.externalAccountBinding as Record<string, string> | undefined;
  if (outcome instanceof Error || !jws) return shownOutcome(outcome);
  const { kid } = JSON.parse(Buffer.from(jws.protected ?? '', 'base64url').toString()) as { kid: string };
  const signed = (key: Buffer) =>
    createHmac('sha256', key).update(`${jws.protected}.${jws.payload}`).digest('base64url');
  return { kid, key: Object.entries(MACS).find(([, key]) => signed(key) === jws.signature)?.[0] };
}

const profile = async (spec: CAIssuerSpec): Promise<unknown> =>
  (await ordered(spec)).at.orders.at(-1)?.profile ?? 'none';

async function verdict(spec: CAIssuerSpec): Promise<unknown> {
  const { backend, outcome, request } = await ordered(spec);
  if (outcome instanceof Error || outcome.kind !== 'issued') return shownOutcome(outcome);
  const anchors = await backend.trustAnchors?.();
  const judged = judgeAnswer(outcome.chain, request.model, { controls: backend.controls, anchors });
  return 'reasons' in judged ? judged.reasons : 'released';
}

/** Which challenge the server was told of. */
async function told(spec: CAIssuerSpec, isSeen = true): Promise<unknown> {
  const made = await make(spec, isSeen);
  await made.ask();
  const challenges = made.servers.first.orders.at(-1)?.authorizations[0]?.challenges ?? [];
  return challenges.filter(({ status }) => status !== 'pending').map(({ type }) => type);
}

async function updated(spec: CAIssuerSpec): Promise<unknown> {
  const made = await make(spec);
  await made.ask();
  const [update] = made.updates;
  return update && { nameserver: update.nameserver, key: { ...update.key, secret: update.key.secret.toString('hex') } };
}

/** What the service that writes records was asked; or that it was not. */
async function service(spec: CAIssuerSpec): Promise<unknown> {
  const made = await make(spec);
  const { requests } = made.servers.service;
  const before = requests.length;
  await made.ask();
  const [request] = requests.slice(before);
  if (!request) return 'nothing';
  const { 'countersign-timestamp': time, 'countersign-signature': signature, ...headers } = request.headers;
  const signed = Object.entries(KEYS).find(([, key]) => {
    const body = ['v1', 'POST', request.path, time, sha256(request.body)].join('\n');
    return signature === `v1=${createHmac('sha256', key).update(body).digest('hex')}`;
  });
  return {
    path: request.path,
    user: headers['x-api-user'],
    keyID: headers['countersign-key-id'],
    key: signed?.[0],
  };
}

/** After two seconds in which our own look found nothing. */
async function patience(spec: CAIssuerSpec): Promise<unknown> {
  const made = await make(spec, false);
  await made.ask();
  await made.clock.advance(2_000);
  return shownOutcome(await made.ask());
}

const members = () => ({ caBundle: BUNDLE, account: { keySecretRef: { name: 'new' } } });
const base = (more: object = {}) => ({
  backend: { acme: { directory: DIRECTORY, trustAnchors: ROOT, ...members(), ...more } },
});
const backedUp = (more: object = {}) =>
  base({ directory: AWAY, backup: { directory: BACKUP, after: '1s', ...members(), ...more } });
const solved = (dns01: object) => base({ challenges: ['dns-01'], dns01 });
const account = (more: object) => ({ account: { ...members().account, ...more } });

function field(
  path: string,
  values: readonly unknown[],
  outcome: (spec: CAIssuerSpec) => Promise<unknown>,
  given: object = base(),
): FieldCase {
  return { kind: ClusterCAIssuerKind, path: `spec.backend.acme.${path}`, base: given, values, outcome };
}

/** For the first server, and for the backup while the first is away. */
function serverCases(at: string, given: (more?: object) => object, bundle: string): FieldCase[] {
  const directory = at === '' ? DIRECTORY : BACKUP;
  const ref = { caBundle: undefined, caBundleRef: { name: bundle, key: 'ca.crt' } };
  const eab = { externalAccountBinding: { keyID: 'k', secretRef: { name: 'eab', key: 'one' } } };
  const terms = { termsOfService: 'https://ca.test/terms' };
  const profiles = { profiles: { short: 'x', long: 'y' } };
  return [
    field(`${at}directory`, [directory, `${directory}/elsewhere`], ended, given()),
    field(`${at}caBundle`, [BUNDLE, OTHER], ended, given()),
    field(`${at}caBundleRef.kind`, ['Secret', 'ConfigMap'], ended, given(ref)),
    field(`${at}caBundleRef.name`, [bundle, 'nowhere'], ended, given(ref)),
    field(`${at}caBundleRef.key`, ['ca.crt', 'other.crt', 'none.crt'], ended, given(ref)),
    field(`${at}account.keySecretRef.name`, ['key-a', 'key-b', 'tsig'], usedAccount, given()),
    field(`${at}account.previousKeySecretRef.name`, ['key-a', 'key-b', 'nowhere'], usedAccount, given()),
    field(
      `${at}account.contacts`,
      [['a@ca.test'], ['b@ca.test'], ABSENT],
      async (spec) => (await contacts(spec)) ?? 'none',
      given(),
    ),
    field(
      `${at}account.termsOfService`,
      ['https://ca.test/terms', 'https://ca.test/old'],
      withBehaviour({ meta: terms }, ended),
      given(account(terms)),
    ),
    field(`${at}account.externalAccountBinding.keyID`, ['k', 'l'], binding, given(account(eab))),
    field(
      `${at}account.externalAccountBinding.secretRef.name`,
      ['eab', 'eab-2', 'nowhere'],
      binding,
      given(account(eab)),
    ),
    field(`${at}account.externalAccountBinding.secretRef.key`, ['one', 'two', 'none'], binding, given(account(eab))),
    field(`${at}profile`, ['short', 'long', ABSENT], withBehaviour({ meta: profiles }, profile), given()),
  ];
}

const CHALLENGED = { challenges: ['http-01', 'dns-01'] };
const withChallenges = (outcome: (spec: CAIssuerSpec) => Promise<unknown>) => withBehaviour(CHALLENGED, outcome);

const COMMON_CASES: readonly FieldCase[] = [
  ...serverCases('', base, 'bundle'),
  ...serverCases('backup.', backedUp, 'backup-bundle'),
  field('backup.after', ['1s', '1h', ABSENT], async (spec) => [await ended(spec), await later(spec)], backedUp()),
  field('trustAnchors', [ROOT, OTHER], verdict),
  field(
    'preCheck.enabled',
    [true, false],
    withChallenges((spec) => told(spec, false)),
  ),
  field('preCheck.timeout', ['1s', '1h'], withChallenges(patience)),
  field('timeout', ['1s', '30s'], slowly),
  field('concurrency', [1, 8, 9], async (spec) => (await make(spec)).backend.concurrency),
];

/** After two minutes. */
async function later(spec: CAIssuerSpec): Promise<unknown> {
  const made = await make(spec);
  await made.ask();
  await made.clock.advance(120_000);
  return shownOutcome(await made.ask());
}

/** Ten seconds after it asked a server that takes its time. */
async function slowly(spec: CAIssuerSpec): Promise<unknown> {
  const made = await make(spec);
  const { behaviour } = made.servers.first;
  behaviour.delay = 2_000;
  const outcome = made.ask();
  while (made.servers.first.server.requests.at(-1)?.path !== '/newOrder')
    await new Promise((resolve) => setTimeout(resolve, 5));
  await made.clock.advance(10_000);
  behaviour.delay = 0;
  return shownOutcome(await outcome);
}

const rfc2136 = { nameserver: '192.0.2.1', tsig: { keyName: 'a', secretRef: { name: 'tsig', key: 'one' } } };
const acmeDNS = { url: SERVICE, caBundle: SERVICE_CA, accountsSecretRef: { name: 'dns', key: 'one' } };
const webhook = { url: SERVICE, caBundle: SERVICE_CA, hmac: { secretRef: { name: 'hmac', key: 'one' } } };
const dns = (
  path: string,
  values: readonly unknown[],
  outcome: (spec: CAIssuerSpec) => Promise<unknown>,
  way: object,
) => field(`dns01.${path}`, values, withChallenges(outcome), solved(way));

const CLUSTER_CASES: readonly FieldCase[] = [
  field(
    'challenges',
    [['http-01'], ['dns-01', 'http-01']],
    withChallenges(told),
    base({ dns01: { webhook }, preCheck: { enabled: false } }),
  ),
  dns('rfc2136.nameserver', ['192.0.2.1', '192.0.2.2:5353'], updated, { rfc2136 }),
  dns('rfc2136.tsig.keyName', ['a', 'b.test'], updated, { rfc2136 }),
  dns('rfc2136.tsig.algorithm', ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'], updated, { rfc2136 }),
  dns('rfc2136.tsig.secretRef.name', ['tsig', 'tsig-2'], updated, { rfc2136 }),
  dns('rfc2136.tsig.secretRef.key', ['one', 'two'], updated, { rfc2136 }),
  dns('acmeDNS.url', [SERVICE, `${SERVICE}/elsewhere`], service, { acmeDNS }),
  dns('acmeDNS.caBundle', [SERVICE_CA, OTHER], service, { acmeDNS }),
  dns('acmeDNS.accountsSecretRef.name', ['dns', 'dns-2', 'nowhere'], service, { acmeDNS }),
  dns('acmeDNS.accountsSecretRef.key', ['one', 'two', 'none'], service, { acmeDNS }),
  dns('webhook.url', [SERVICE, `${SERVICE}/elsewhere`], service, { webhook }),
  dns('webhook.caBundle', [SERVICE_CA, OTHER], service, { webhook }),
  dns('webhook.hmac.keyID', ['first', 'second', ABSENT], service, { webhook }),
  dns('webhook.hmac.secretRef.name', ['hmac', 'hmac-2', 'nowhere'], service, { webhook }),
  dns('webhook.hmac.secretRef.key', ['one', 'two', 'none'], service, { webhook }),
];

export const ACME_CASES: readonly FieldCase[] = [
  ...COMMON_CASES,
  ...CLUSTER_CASES,
  ...COMMON_CASES.map((each) => ({ ...each, kind: CAIssuerKind })),
];
