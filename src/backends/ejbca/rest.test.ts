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
import { buildCsr } from '../../../test/support/csr-builder.ts';
import {
  EJBCA_REST_RAW,
  type EjbcaBehaviour,
  type EjbcaPeer,
  type EjbcaRestRaw,
  startEjbcaPeer,
} from '../../../test/support/ejbca-peer.ts';
import { describeWithEjbca } from '../../../test/support/ejbca-program.ts';
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { parsePemCertificates } from '../../domain/chain.ts';
import type { Backend, SigningRequest } from '../../ports.ts';
import { createClock } from '../../runtime/clock.ts';
import { ejbcaBackend } from './index.ts';

const none = new AbortController().signal;
let peer: EjbcaPeer;

function makeBackend(spec: Partial<EjbcaBackendSpec> = {}): Backend {
  const ejbca = { ...peer.restSpec, ...spec };
  const secrets = createMemorySecrets(peer.secrets);
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined };
  return ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca });
}

/** Keys of requests by id: what EJBCA signed is known by them. */
const keys = new Map<string, Buffer>();

function underTest(): BackendUnderTest & { remote: RemoteUnderTest<EjbcaRestRaw> } {
  const backend = makeBackend();
  const isRaw = (how: string): boolean => (EJBCA_REST_RAW as readonly string[]).includes(how);
  return {
    backend: {
      ...backend,
      sign: (request, signal) => {
        keys.set(request.id, request.model.publicKey.spki);
        return backend.sign(request, signal);
      },
    },
    trustRoots: parsePemCertificates(peer.root),
    refused: aSigningRequest({ names: { dnsNames: ['refused.example.test'] } }),
    fail: () => peer.behave({ kind: 'away' }),
    recover: () => peer.behave({ kind: 'sign' }),
    remote: {
      live: async (id) => {
        const { certificates } = await peer.state();
        return certificates.filter(({ der, reason }) => reason < 0 && keys.get(id)?.equals(parseCertificate(der).spki))
          .length;
      },
      loseAnswer: () => peer.behave({ kind: 'lose', times: 1 }),
      overload: (retryAfter) => peer.behave({ kind: 'status', status: 503, retryAfter }),
      answerWrongly: (how) => peer.behave(isRaw(how) ? { kind: 'raw', what: how } : { kind: 'wrong', what: how }),
      behaveWell: () => peer.behave({ kind: 'sign' }),
    },
  };
}

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

const fault = (message: string, status = 400, more: Partial<EjbcaBehaviour> = {}): EjbcaBehaviour => ({
  kind: 'fault',
  fault: 'Ejbca',
  code: 'NOT_TOLD_BY_REST',
  message,
  status,
  times: 1,
  ...more,
});

describeWithEjbca('the ejbca backend by REST', () => {
  beforeAll(async () => {
    peer = await startEjbcaPeer();
  });
  afterAll(() => peer?.close());
  beforeEach(() => peer.behave({ kind: 'sign' }));

  backendContract('ejbca by REST', async () => underTest());
  remoteBackendContract('ejbca by REST', async () => underTest(), { raw: EJBCA_REST_RAW, resumesBy: 'nothing' });

  test('subject and names are those of the CSR, which it therefore does not control', async () => {
    const backend = makeBackend();
    expect(backend.controls).toEqual({ subject: false, validity: 'length', extensions: false });
    const keys = createKey('P-256');
    const names = { dnsNames: ['b.rest.test', 'a.rest.test'] };
    const request = aSigningRequest({ names, keys, subject: [] });
    const csr = buildCsr({ names: names.dnsNames, keys }).der;
    const outcome = await backend.sign({ ...request, csr }, none);
    const leaf = parseCertificate((outcome.kind === 'issued' ? outcome.chain[0] : undefined) ?? Buffer.alloc(0));
    expect([leaf.names.dnsNames.toSorted(), leaf.subject]).toEqual([['a.rest.test', 'b.rest.test'], []]);
  });

  test('the body of a request', async () => {
    const backend = makeBackend({ username: 'rest-{CN}', password: 'password-{CN}', email: 'pki@example.test' });
    const request = aSigningRequest({ names: { dnsNames: ['body.rest.test'] } });
    expect(await outcomeOf(backend, request)).toBe('issued');
    const body = (await peer.requests()).find((each) => each.includes('rest-body.rest.test')) ?? '';
    expect(JSON.parse(body)).toEqual({
      certificate_request: expect.stringMatching(/^-----BEGIN CERTIFICATE REQUEST-----\n/),
      certificate_profile_name: 'SERVER',
      end_entity_profile_name: 'ACME',
      certificate_authority_name: 'CorpEC',
      username: 'rest-body.rest.test',
      password: 'password-body.rest.test',
      include_chain: true,
      email: 'pki@example.test',
    });
  });

  test.each([
    ['RSA-2048', 'CorpRSA'],
    ['P-256', 'CorpEC'],
  ] as const)('the CA of %s keys', async (kind, caName) => {
    const request = aSigningRequest({
      keys: createKey(kind),
      names: { dnsNames: [`${kind.toLowerCase()}.rest.test`] },
    });
    expect(await outcomeOf(makeBackend(), request)).toBe('issued');
    const { certificates } = await peer.state();
    const mine = certificates.find(({ der }) => parseCertificate(der).spki.equals(request.model.publicKey.spki));
    expect(mine?.caName).toBe(caName);
  });

  describe('faults', () => {
    test.each<[string, EjbcaBehaviour, string]>([
      [
        'a profile',
        fault('Wrong number of IPADDRESS fields in Subject Alternative Name.'),
        'refused badCSR: the CA refused the request: Wrong number of IPADDRESS fields in Subject Alternative Name. The request has 1 names; the end entity profile of the CA takes fewer, or needs others.',
      ],
      ['a profile, by status', fault('no', 422), 'refused badCSR: the CA refused the request: no'],
      [
        'a profile, by the class in the text',
        fault('org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: no'),
        'refused badCSR: the CA refused the request: no',
      ],
      [
        'a key',
        fault('org.x.y.IllegalKeyException: Illegal key length 1024'),
        'refused badCSR: the CA refused the request: Illegal key length 1024',
      ],
      [
        'name constraints',
        fault('The name violates the name constraints'),
        'refused rejectedIdentifier: the CA refused the request: The name violates the name constraints',
      ],
      ['CAA', fault('CAA validation has failed'), 'refused caa: the CA refused the request: CAA validation has failed'],
      [
        'the key of another',
        fault("User 'a' is not allowed to use same key as the user(s) 'secretuser' is/are using."),
        'refused badCSR: the CA refused the request: the key is that of another subject: make a new one',
      ],
      [
        'the subject of another',
        fault("User 'a' is not allowed to use same subject DN as the user(s) 'secretuser' is/are using"),
        'refused badCSR: the CA refused the request: the subject is that of another end entity',
      ],
      [
        'no CA',
        fault('CA with name gone does not exist'),
        'CAMissing: EJBCA answered CA_NOT_EXISTS: CA with name gone does not exist',
      ],
      [
        'no profile',
        fault('Certificate profile gone does not exist', 404),
        'ProfileMissing: EJBCA answered CERT_PROFILE_NOT_EXISTS: Certificate profile gone does not exist',
      ],
      ['a CA that is offline', fault('', 503), 'CAOffline: EJBCA answered CAOfflineException'],
      ['no right', fault('no', 403), 'Unauthorized: EJBCA answered AuthorizationDeniedException: no'],
      [
        'an approval',
        fault('Approvals are needed for this'),
        'ApprovalRequired: EJBCA answered ApprovalException: Approvals are needed for this',
      ],
      [
        'an approval that is waited for',
        fault('x', 202),
        'ApprovalRequired: EJBCA answered WaitingForApprovalException: x',
      ],
      [
        'what is not understood',
        fault('java.lang.NullPointerException'),
        'InternalError: EJBCA answered HTTP status 400',
      ],
      [
        'an interface that is off',
        { kind: 'disabled' },
        'ServiceDisabled: EJBCA answered SERVICE_DISABLED: This service has been disabled.',
      ],
    ])('about %s', async (_, behaviour, wanted) => {
      expect(await outcomeOf(makeBackend(), aSigningRequest(), behaviour)).toBe(wanted);
    });

    test('words that the client chose say nothing about EJBCA', async () => {
      const name = 'approvals.offline.test';
      const backend = makeBackend();
      const request = aSigningRequest({ names: { dnsNames: [name] } });
      const said = `dNSName ${name} is not taken`;
      expect(await outcomeOf(backend, request, fault(said))).toBe(
        `InternalError: EJBCA answered HTTP status 400: ${said}`,
      );
      expect(await backend.check(none)).toMatchObject({ ready: true });
    });

    test('a conflict is met by asking again, a few times', async () => {
      const message = 'Got request with incorrect password for user x';
      const request = aSigningRequest({ names: { dnsNames: ['conflict.rest.test'] } });
      expect(await outcomeOf(makeBackend(), request, fault(message, 400, { times: 2 }))).toBe('issued');
      expect(await outcomeOf(makeBackend(), request, fault(message, 400, { times: 99 }))).toBe(
        `InternalError: EJBCA answered LOGIN_ERROR: ${message}`,
      );
    });

    test('the password is shown to nobody', async () => {
      const backend = makeBackend({ password: 'hunter22-{CN}' });
      const request = aSigningRequest({ names: { dnsNames: ['pw.rest.test'] } });
      expect(await outcomeOf(backend, request, fault('the password hunter22-pw.rest.test is bad', 422))).toBe(
        'refused badCSR: the CA refused the request: the password … is bad',
      );
    });

    test('what people must mend stands in the condition until a request is signed', async () => {
      const backend = makeBackend({ certificateProfile: 'APPROVAL' });
      expect(await outcomeOf(backend, aSigningRequest())).toMatch(/^ApprovalRequired: /);
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'ApprovalRequired' });
    });
  });

  describe('readiness', () => {
    test('says that nothing can be searched', async () => {
      expect(makeBackend()).not.toHaveProperty('search');
      expect(makeBackend().signsAgain).toBe(true);
      expect(await makeBackend().check(none)).toMatchObject({
        ready: true,
        message: expect.stringContaining('cannot be searched: a request whose answer is lost is signed again'),
      });
    });

    test.each<[string, Partial<EjbcaBackendSpec>, EjbcaBehaviour, object]>([
      [
        'a missing CA',
        { caName: 'Nowhere' },
        { kind: 'sign' },
        { reason: 'CAMissing', message: 'EJBCA has no CA Nowhere that our client certificate may use' },
      ],
      ['an interface that is off', {}, { kind: 'disabled' }, { reason: 'ServiceDisabled' }],
      [
        'a certificate that is in no role',
        { clientCertificateRef: { name: 'stranger' } },
        { kind: 'sign' },
        { reason: 'Unauthorized' },
      ],
      [
        'a Secret that is not there',
        { clientCertificateRef: { name: 'x' } },
        { kind: 'sign' },
        { reason: 'SecretMissing' },
      ],
    ])('tells %s', async (_, spec, behaviour, health) => {
      await peer.behave(behaviour);
      expect(await makeBackend(spec).check(none)).toMatchObject({ ready: false, ...health });
    });

    test('a URL where there is something else', async () => {
      const url = peer.restSpec.url.replace('/ejbca/', '/elsewhere/');
      expect(await makeBackend({ url }).check(none)).toMatchObject({ ready: false, reason: 'ServiceMissing' });
    });

    test('trust anchors that the CAs do not lead to', async () => {
      const backend = makeBackend({ trustAnchors: peer.spec.caBundle ?? '' });
      expect(await backend.check(none)).toMatchObject({ ready: false, reason: 'CANotTrusted' });
    });

    test('an EJBCA that shows no CAs, as before 8.1, is taken at its word', async () => {
      await peer.behave({ kind: 'sign', lists: 'none' });
      const backend = makeBackend();
      expect(await backend.check(none)).toMatchObject({ ready: true });
      expect((await backend.check(none)).ca).toBeUndefined();
      expect(await outcomeOf(backend, aSigningRequest({ names: { dnsNames: ['old.rest.test'] } }))).toBe('issued');
    });
  });

  test('a revocation carries its reason; one that waits for an approval is tried again later', async () => {
    const backend = makeBackend();
    const name = `${createHash('sha256').update('revoked').digest('hex').slice(0, 8)}.rest.test`;
    const outcome = await backend.sign(aSigningRequest({ names: { dnsNames: [name] } }), none);
    const leaf = outcome.kind === 'issued' ? (outcome.chain[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const entry = { serial: parseCertificate(leaf).serial, revokedAt: new Date(), reason: 1 };
    await peer.behave({ kind: 'revocation approval' });
    await expect(backend.revoke?.('x', leaf, entry, none)).rejects.toMatchObject({ reason: 'ApprovalRequired' });
    await peer.behave({ kind: 'sign' });
    expect(await backend.revoke?.('x', leaf, entry, none)).toEqual({ kind: 'revoked' });
    expect((await peer.state()).certificates.find(({ der }) => der.equals(leaf))?.reason).toBe(1);
  });

  test('a certificate that EJBCA does not know is not revoked', async () => {
    const backend = makeBackend();
    const outcome = await backend.sign(aSigningRequest({ names: { dnsNames: ['moved.rest.test'] } }), none);
    const leaf = outcome.kind === 'issued' ? (outcome.chain[0] ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const other = await startEjbcaPeer();
    try {
      const ejbca = other.restSpec;
      const secrets = createMemorySecrets(other.secrets);
      const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined };
      const elsewhere = ejbcaBackend.create(deps, anIssuer({ ejbca }), { ejbca });
      const entry = { serial: parseCertificate(leaf).serial, revokedAt: new Date(), reason: 1 };
      expect(await elsewhere.revoke?.('x', leaf, entry, none)).toMatchObject({ kind: 'refused' });
    } finally {
      await other.close();
    }
  });
});
