import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { anIssuer, createMemorySecrets } from '../../../test/contract/authorities.ts';
import {
  backendContract,
  type BackendUnderTest,
  remoteBackendContract,
  type RemoteUnderTest,
} from '../../../test/contract/backend.ts';
import { aSigningRequest, createKey } from '../../../test/contract/models.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import {
  EJBCA_RAW,
  type EjbcaBehaviour,
  type EjbcaPeer,
  type EjbcaRaw,
  startEjbcaPeer,
} from '../../../test/support/ejbca-peer.ts';
import { describeWithEjbca } from '../../../test/support/ejbca-program.ts';
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import { OID } from '../../domain/oid.ts';
import { Unavailable } from '../../domain/unavailable.ts';
import { judgeAnswer } from '../../issuance/verify.ts';
import type { Backend, BackendDeps, SigningRequest } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { ejbcaBackend } from './index.ts';

const none = new AbortController().signal;
let peer: EjbcaPeer;

function makeBackend(spec: Partial<EjbcaBackendSpec> = {}, given: Partial<BackendDeps> = {}): Backend {
  const ejbca = { ...peer.spec, ...spec };
  const secrets = createMemorySecrets(peer.secrets);
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined, ...given };
  return ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca });
}

/** Keys of requests by id: what EJBCA signed is known by them. */
const keys = new Map<string, Buffer>();

function noted(backend: Backend): Backend {
  return {
    ...backend,
    sign: (request, signal) => {
      keys.set(request.id, request.model.publicKey.spki);
      return backend.sign(request, signal);
    },
  };
}

async function liveOf(id: string): Promise<number> {
  const { certificates } = await peer.state();
  return certificates.filter(({ der, reason }) => reason < 0 && keys.get(id)?.equals(parseCertificate(der).spki))
    .length;
}

function underTest(): BackendUnderTest & { remote: RemoteUnderTest<EjbcaRaw> } {
  const remote: RemoteUnderTest<EjbcaRaw> = {
    live: liveOf,
    loseAnswer: () => peer.behave({ kind: 'lose' }),
    overload: (retryAfter) => peer.behave({ kind: 'status', status: 503, retryAfter }),
    answerWrongly: (how) => peer.behave(isRaw(how) ? { kind: 'raw', what: how } : { kind: 'wrong', what: how }),
    behaveWell: () => peer.behave({ kind: 'sign' }),
  };
  return {
    backend: noted(makeBackend()),
    trustRoots: parsePemCertificates(peer.root),
    refused: aSigningRequest({ names: { dnsNames: ['refused.example.test'] } }),
    fail: () => peer.behave({ kind: 'away' }),
    recover: () => peer.behave({ kind: 'sign' }),
    remote,
  };
}

const isRaw = (how: string): boolean => (EJBCA_RAW as readonly string[]).includes(how);

async function outcomeOf(backend: Backend, request: SigningRequest, behaviour?: EjbcaBehaviour): Promise<string> {
  if (behaviour) await peer.behave(behaviour);
  try {
    const outcome = await backend.sign(request, none);
    return outcome.kind === 'refused' ? `refused ${outcome.problem.message}` : outcome.kind;
  } catch (error) {
    const { reason = '', message } = error as Error & { reason?: string };
    return `${reason}: ${message}`;
  }
}

const fault = (name: string, code: string, message: string, times = 1): EjbcaBehaviour => ({
  kind: 'fault',
  fault: name,
  code,
  message,
  times,
});

describeWithEjbca('the ejbca backend', () => {
  beforeAll(async () => {
    peer = await startEjbcaPeer();
  });
  afterAll(() => peer?.close());
  beforeEach(() => peer.behave({ kind: 'sign' }));

  backendContract('ejbca', async () => underTest());
  remoteBackendContract('ejbca', async () => underTest(), { raw: EJBCA_RAW, resumesBy: 'search' });

  describe('what EJBCA is asked', () => {
    test('the end entity by its subject, and again by the same', async () => {
      const backend = makeBackend();
      const subject = [
        [{ oid: OID.organizationName, value: 'Ex, "ample" + Co' }],
        [{ oid: OID.commonName, value: 'a.test' }],
      ];
      const names = { dnsNames: ['a.test'] };
      for (let round = 0; round < 2; round++) await backend.sign(aSigningRequest({ names, subject }), none);
      const { entities, certificates } = await peer.state();
      const mine = entities.filter(({ subjectDN }) => subjectDN === 'CN=a.test,O=Ex\\, \\"ample\\" \\+ Co');
      expect(mine).toEqual([
        expect.objectContaining({ username: expect.stringMatching(/^countersign-[a-z2-7]{52}$/), status: 40 }),
      ]);
      expect(certificates.filter(({ username }) => username === mine[0]?.username)).toHaveLength(2);
    });

    test.each([
      ['RSA-2048', 'CorpRSA'],
      ['P-256', 'CorpEC'],
      ['Ed25519', 'CorpEC'],
    ] as const)('the CA of %s keys, or the one of all others', async (kind, caName) => {
      const request = aSigningRequest({
        keys: createKey(kind),
        names: { dnsNames: [`${kind.toLowerCase()}.ca.test`] },
      });
      await makeBackend().sign(request, none);
      const { certificates } = await peer.state();
      const mine = certificates.find(({ der }) => parseCertificate(der).spki.equals(request.model.publicKey.spki));
      expect(mine?.caName).toBe(caName);
    });

    test('no CA for a key is a refusal, by limits as by sign', async () => {
      const { caName: _none, ...spec } = peer.spec;
      const ejbca = { ...spec, caNameByKey: { RSA: 'CorpRSA' } };
      const deps = {
        secrets: createMemorySecrets(peer.secrets),
        clock: createClock(),
        random: createFakeRandom(),
        urls: undefined,
      };
      const backend = ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca });
      const request = aSigningRequest();
      expect(await outcomeOf(backend, request)).toBe('refused badPublicKey: this issuer has no CA for ECDSA keys');
      expect((await backend.limits(request.model))?.detail).toBe('this issuer has no CA for ECDSA keys');
    });

    test.each([
      ['{CN}', (cn: string) => cn],
      ['acme-{CN}', (cn: string) => `acme-${cn}`],
      [
        '{random}',
        (_: string, id: string) => createHash('sha256').update(`EJBCA user name\0${id}`).digest('hex').slice(0, 32),
      ],
    ] as const)('user names by %s', async (username, wanted) => {
      const cn = `u${createHash('sha256').update(username).digest('hex').slice(0, 8)}.test`;
      const backend = makeBackend({ username });
      const request = aSigningRequest({ names: { dnsNames: [cn] } });
      expect(await outcomeOf(backend, request)).toBe('issued');
      expect((await peer.state()).entities.map((each) => each.username)).toContain(wanted(cn, request.id));
      expect(backend.lane?.(request)).toBe(wanted(cn, request.id));
      expect(await backend.search?.(request, new Date(Date.now() - 900_000), none)).toHaveLength(1);
    });

    test('a subject without what the user name is made of is a refusal that says so', async () => {
      const backend = makeBackend({ username: '{OU}-{CN}' });
      const wanted = 'the subject has no OU, which the CA of this issuer names its end entities by';
      expect(await outcomeOf(backend, aSigningRequest())).toBe(`refused badCSR: ${wanted}`);
    });

    test('validity, where that is switched on', async () => {
      const backend = makeBackend({ overrideValidity: true, certificateProfile: 'OVERRIDE' });
      const request = aSigningRequest({ names: { dnsNames: ['validity.test'] } });
      const outcome = await backend.sign(request, none);
      if (outcome.kind !== 'issued') throw new Error(outcome.kind);
      const leaf = parseCertificate(outcome.chain[0] ?? Buffer.alloc(0));
      expect([leaf.notBefore, leaf.notAfter]).toEqual([request.model.notBefore, request.model.notAfter]);
      const other = aSigningRequest({ names: { dnsNames: ['validity2.test'] } });
      expect(await outcomeOf(makeBackend({ overrideValidity: true }), other)).toMatch(
        /^SettingsRefused: .*validity override/,
      );
    });
  });

  test('a certificate longer than approved is not released, whoever decides when it begins', async () => {
    const backend = makeBackend();
    const { controls } = backend;
    const anchors = parsePemCertificates(peer.root);
    const start = new Date();
    const short = aSigningRequest({
      notAfter: new Date(start.getTime() + 24 * 3_600_000),
      names: { dnsNames: ['short.test'] },
    });
    const outcome = await backend.sign(short, none);
    if (outcome.kind !== 'issued') throw new Error(outcome.kind);
    expect(judgeAnswer(outcome.chain, short.model, { controls, anchors })).toMatchObject({
      reasons: [expect.stringContaining('later than approved')],
    });
  });

  describe('faults', () => {
    test.each<[string, EjbcaBehaviour, string]>([
      [
        'a profile',
        fault('UserDoesntFullfill', '', 'Wrong number of IPADDRESS fields in Subject Alternative Name.'),
        'refused badCSR: the CA refused the request: Wrong number of IPADDRESS fields in Subject Alternative Name. The request has 1 names; the end entity profile of the CA takes fewer, or needs others.',
      ],
      [
        'a profile, by the class in the text',
        fault('Ejbca', '', 'org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: no'),
        'refused badCSR: the CA refused the request: no',
      ],
      [
        'a key',
        fault(
          'Ejbca',
          'ILLEGAL_KEY',
          'org.cesecore.certificates.certificate.CertificateCreateException: org.x.y.IllegalKeyException: Illegal key length 1024',
        ),
        'refused badCSR: the CA refused the request: Illegal key length 1024',
      ],
      [
        'name constraints',
        fault('Ejbca', 'NAMECONSTRAINT_VIOLATION', 'not here'),
        'refused rejectedIdentifier: the CA refused the request: not here',
      ],
      ['CAA', fault('Ejbca', 'CAA_VALIDATION_FAILED', 'no'), 'refused caa: the CA refused the request: no'],
      [
        'the key of another',
        fault(
          'Ejbca',
          'CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER',
          "same key as the user(s) 'secretuser'",
        ),
        'refused badCSR: the CA refused the request: the key is that of another subject: make a new one',
      ],
      [
        'the subject of another',
        fault('Ejbca', 'CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER', "user(s) 'secretuser'"),
        'refused badCSR: the CA refused the request: the subject is that of another end entity',
      ],
      ['no CA', fault('Ejbca', 'CA_NOT_EXISTS', 'gone'), 'CAMissing: EJBCA answered CA_NOT_EXISTS: gone'],
      ['a CA that is offline', fault('Ejbca', 'CA_OFFLINE', ''), 'CAOffline: EJBCA answered CA_OFFLINE'],
      [
        'no right',
        fault('AuthorizationDenied', '', 'no'),
        'Unauthorized: EJBCA answered AuthorizationDeniedException: no',
      ],
      [
        'an error inside',
        fault('Ejbca', 'INTERNAL_ERROR', 'java.lang.NullPointerException'),
        'InternalError: EJBCA answered INTERNAL_ERROR',
      ],
      ['an approval', fault('Approval', '', 'x'), 'ApprovalRequired: EJBCA answered ApprovalException: x'],
      ['no detail', fault('Runtime', '', 'boom'), 'RequestNotUnderstood: EJBCA answered with a fault: boom'],
    ])('about %s', async (_, behaviour, wanted) => {
      expect(await outcomeOf(makeBackend(), aSigningRequest(), behaviour)).toBe(wanted);
    });

    test.each(['LOGIN_ERROR', 'USER_WRONG_STATUS'])('%s is met by asking again, a few times', async (code) => {
      const request = aSigningRequest({ names: { dnsNames: [`${code.toLowerCase().replaceAll('_', '')}.test`] } });
      expect(await outcomeOf(makeBackend(), request, fault('Ejbca', code, 'busy', 2))).toBe('issued');
      expect(await outcomeOf(makeBackend(), request, fault('Ejbca', code, 'busy', 99))).toBe(
        `InternalError: EJBCA answered ${code}: busy`,
      );
    });

    test('the password is shown to nobody', async () => {
      const backend = makeBackend({ password: 'hunter22-{CN}' });
      const request = aSigningRequest({ names: { dnsNames: ['pw.test'] } });
      const said = 'the password hunter22-pw.test is bad';
      expect(await outcomeOf(backend, request, fault('UserDoesntFullfill', '', said))).toBe(
        'refused badCSR: the CA refused the request: the password … is bad',
      );
      expect(await outcomeOf(backend, request, fault('Ejbca', 'INTERNAL_ERROR', said))).toBe(
        'InternalError: EJBCA answered INTERNAL_ERROR: the password … is bad',
      );
    });

    test('what people must mend stands in the condition until a request is signed', async () => {
      const backend = makeBackend();
      await outcomeOf(backend, aSigningRequest(), fault('Approval', '', 'somebody must approve'));
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'ApprovalRequired' });
      expect(await outcomeOf(backend, aSigningRequest())).toBe('issued');
      expect(await backend.check(none)).toMatchObject({ ready: true });
    });

    test('more names than the profile takes is a refusal that tells the number', async () => {
      const backend = makeBackend({ endEntityProfile: 'NARROW' });
      const request = aSigningRequest({ names: { dnsNames: ['a.n.test', 'b.n.test', 'c.n.test'] } });
      expect(await outcomeOf(backend, request)).toContain(
        'Wrong number of DNSNAME fields in Subject Alternative Name. The request has 3 names',
      );
    });
  });

  describe('readiness', () => {
    test.each<[string, Partial<EjbcaBackendSpec>, string, string]>([
      ['CA', { caName: 'Nowhere' }, 'CAMissing', 'EJBCA has no CA Nowhere that our client certificate may use'],
      [
        'end entity profile',
        { endEntityProfile: 'X' },
        'ProfileMissing',
        'EJBCA has no end entity profile X that our client certificate may use',
      ],
      [
        'certificate profile',
        { certificateProfile: 'X' },
        'ProfileMissing',
        'EJBCA has no certificate profile X in the end entity profile ACME',
      ],
      ['Secret', { clientCertificateRef: { name: 'nowhere' } }, 'SecretMissing', 'there is no Secret nowhere'],
      [
        'ConfigMap',
        { caBundle: undefined, caBundleRef: { kind: 'ConfigMap', name: 'nowhere', key: 'ca.crt' } } as never,
        'ConfigMapMissing',
        'there is no ConfigMap nowhere',
      ],
    ])('names a missing %s', async (_, spec, reason, message) => {
      expect(await makeBackend(spec).check(none)).toEqual({ ready: false, reason, message });
    });

    test.each([
      ['/administrator', '/administrator'],
      ['/ra_functionality/revoke_end_entity', '/ra_functionality/revoke_end_entity'],
      ['/ca/-1001', '/ca/CorpRSA'],
      ['/endentityprofilesrules/201/edit_end_entity', '/endentityprofilesrules/ACME/edit_end_entity'],
    ])('names the missing rule %s', async (deny, named) => {
      await peer.behave({ kind: 'sign', deny });
      const message = `EJBCA does not grant our client certificate ${named}`;
      expect(await makeBackend().check(none)).toEqual({ ready: false, reason: 'AccessRuleMissing', message });
    });

    test('a certificate that is in no role is told apart from none', async () => {
      const backend = makeBackend({ clientCertificateRef: { name: 'stranger' } });
      expect(await backend.check(none)).toMatchObject({ reason: 'AccessRuleMissing' });
      expect(await outcomeOf(backend, aSigningRequest())).toMatch(/^Unauthorized: EJBCA answered AuthorizationDenied/);
    });

    test('trust anchors that the CAs do not lead to', async () => {
      const backend = makeBackend({ trustAnchors: peer.spec.caBundle ?? '' });
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'CANotTrusted' });
    });

    test('a URL where there is something else', async () => {
      const backend = makeBackend({ url: peer.spec.url.replace('/ejbca/', '/elsewhere/') });
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'ServiceMissing' });
    });
  });

  describe('trust', () => {
    test('a server certificate of another CA ends it', async () => {
      const backend = makeBackend({ caBundle: peer.root });
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'Unreachable' });
    });

    test('where addresses are judged, none is dialled that may not be', async () => {
      const asked: string[] = [];
      const checked = (judge: () => readonly string[]) => {
        const addressesOf = async (host: string) => {
          asked.push(host);
          return judge();
        };
        return makeBackend({}, { addressesOf }).check(none);
      };
      expect(await checked(() => ['127.0.0.1'])).toMatchObject({ ready: true });
      const forbidden = await checked(() => {
        throw new Unavailable('it is forbidden');
      });
      const message = 'EJBCA cannot be reached: it is forbidden';
      expect(forbidden).toMatchObject({ ready: false, reason: 'Unreachable', message });
      expect(new Set(asked)).toEqual(new Set(['127.0.0.1']));
    });

    test('the CA bundle may stand in a ConfigMap or Secret', async () => {
      const { caBundle = '' } = peer.spec;
      const bundle = { 'ca.crt': caBundle };
      const configMaps = { read: async (name: string) => (name === 'bundle' ? bundle : undefined) };
      const secrets = createMemorySecrets({ ...peer.secrets, bundle });
      for (const kind of ['ConfigMap', 'Secret'] as const) {
        const { caBundle: _inline, ...spec } = peer.spec;
        const ejbca = { ...spec, caBundleRef: { kind, name: 'bundle', key: 'ca.crt' } };
        const deps = { secrets, configMaps, clock: createClock(), random: createFakeRandom(), urls: undefined };
        expect(await ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca }).check(none)).toMatchObject({
          ready: true,
        });
      }
    });

    test('a new client certificate is taken up without a restart, and requests under way end', async () => {
      const secrets = createMemorySecrets({ ...peer.secrets, 'ejbca-client': peer.secrets['stranger'] ?? {} });
      const backend = makeBackend({}, { secrets });
      expect(await backend.check(none)).toMatchObject({ reason: 'AccessRuleMissing' });
      const good = Object.fromEntries(
        Object.entries(peer.secrets['ejbca-client'] ?? {}).map(([key, text]) => [key, Buffer.from(text)]),
      );
      secrets.values.set('ejbca-client', good);
      expect(await backend.check(none)).toMatchObject({ ready: true });
      await peer.behave({ kind: 'slow', ms: 1_500 });
      const slow = backend.sign(aSigningRequest({ names: { dnsNames: ['slow.test'] } }), none);
      await new Promise((resolve) => setTimeout(resolve, 500));
      secrets.values.set(
        'ejbca-client',
        Object.fromEntries(
          Object.entries(peer.secrets['stranger'] ?? {}).map(([key, text]) => [key, Buffer.from(text)]),
        ),
      );
      expect(await backend.check(none)).toMatchObject({ reason: 'AccessRuleMissing' });
      expect((await slow).kind).toBe('issued');
    });
  });

  test('a revocation carries its reason; one that waits for an approval is tried again later', async () => {
    const backend = makeBackend();
    const outcome = await backend.sign(aSigningRequest({ names: { dnsNames: ['revoked.test'] } }), none);
    const leaf = outcome.kind === 'issued' ? (outcome.chain[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const entry = { serial: parseCertificate(leaf).serial, revokedAt: new Date(), reason: 1 };
    await peer.behave({ kind: 'revocation approval' });
    await expect(backend.revoke?.('x', leaf, entry, none)).rejects.toMatchObject({
      reason: 'ApprovalRequired',
      retryAfterMs: 600_000,
    });
    await peer.behave({ kind: 'sign' });
    expect(await backend.revoke?.('x', leaf, entry, none)).toEqual({ kind: 'revoked' });
    expect((await peer.state()).certificates.find(({ der }) => der.equals(leaf))?.reason).toBe(1);
  });

  test('an EJBCA that does not answer is given up after the time-out', async () => {
    expect(await outcomeOf(makeBackend({ timeout: '1s' }), aSigningRequest(), { kind: 'mute' })).toBe(
      'TimedOut: EJBCA did not answer in time',
    );
  });
});
