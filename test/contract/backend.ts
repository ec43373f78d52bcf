// What every backend owes its callers, whatever CA stands behind it. Each backend's own test calls this with a way to set one up.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseCertificate, verifyLeaf } from '../../src/domain/certificate.ts';
import { chainFaults } from '../../src/domain/chain.ts';
import type { CertificateModel } from '../../src/domain/certificate-model.ts';
import { Problem } from '../../src/domain/problem.ts';
import { Unavailable } from '../../src/domain/unavailable.ts';
import { judgeAnswer } from '../../src/issuance/verify.ts';
import type { Backend, SigningOutcome, SigningRequest } from '../../src/ports.ts';
import { RAW, type Raw, WRONG, type Wrong } from '../support/webhook-signer-words.ts';
import { aSigningRequest, KEY_KINDS, sharedKey } from './models.ts';

export interface BackendUnderTest {
  backend: Backend;
  /** DER of the roots that clients of this CA trust. */
  trustRoots: readonly Buffer[];
  /** A model this CA refuses for good. */
  refused: SigningRequest;
  /** Makes the CA unable to answer, and back. */
  fail(): void | Promise<void>;
  recover(): void | Promise<void>;
}

/** `R`: what the peer of the test knows of answers that are none. */
export interface RemoteUnderTest<R extends string = Raw> {
  /** Certificates that the CA has signed for the request and not revoked. */
  live(id: string): Promise<number>;
  /** The CA will sign, but its next answer is lost. */
  loseAnswer(): Promise<void>;
  /** The CA takes its time: so many questions are answered "not yet". Absent where a CA answers at once or not at all. */
  pend?(questions: number): Promise<void>;
  /** The CA is overloaded, and says when to come back. */
  overload(retryAfterSeconds: number): Promise<void>;
  /** With a certificate other than approved, or with something that is no answer. */
  answerWrongly(how: Wrong | R): Promise<void>;
  behaveWell(): Promise<void>;
}

const none = new AbortController().signal;

/** Asks until the backend has decided. */
async function settle(
  backend: Backend,
  request: SigningRequest,
): Promise<Exclude<SigningOutcome, { kind: 'pending' }>> {
  for (let round = 0; round < 600; round++) {
    const outcome = await backend.sign(request, none);
    if (outcome.kind !== 'pending') return outcome;
    await new Promise((resolve) => setTimeout(resolve, Math.min(outcome.retryAfterMs, 100)));
  }
  throw new Error('the backend never decided');
}

async function issued(backend: Backend, request: SigningRequest): Promise<readonly Buffer[]> {
  const outcome = await settle(backend, request);
  if (outcome.kind !== 'issued') throw new Error(`refused: ${outcome.problem.detail}`);
  return outcome.chain;
}

function expectAsApproved(
  chain: readonly Buffer[],
  model: CertificateModel,
  { backend, trustRoots }: BackendUnderTest,
): void {
  const facts = chain.map(parseCertificate);
  const [leaf] = facts;
  if (!leaf) throw new Error('an empty chain');
  const { validity, extensions, subject } = backend.controls;
  const limits = {
    exactUsages: extensions,
    ...(validity === true ? { notBefore: model.notBefore, notAfter: model.notAfter } : {}),
  };
  expect(verifyLeaf(leaf, model, limits)).toEqual([]);
  if (validity === true && backend.local)
    expect([leaf.notBefore, leaf.notAfter]).toEqual([model.notBefore, model.notAfter]);
  if (subject) expect(leaf.subject).toEqual(model.subject);
  expect(chainFaults(facts)).toEqual([]);
  const top = new X509Certificate(chain.at(-1) ?? Buffer.alloc(0));
  expect(
    trustRoots.some(
      (root) => top.checkIssued(new X509Certificate(root)) && top.verify(new X509Certificate(root).publicKey),
    ),
  ).toBe(true);
}

/** Whether an answer may be released, as the program judges it. */
async function verdict(backend: Backend, request: SigningRequest): Promise<'released' | 'rejected' | 'unanswered'> {
  try {
    const chain = await issued(backend, request);
    const { controls } = backend;
    const judged = judgeAnswer(chain, request.model, { controls, anchors: await backend.trustAnchors?.() });
    return 'reasons' in judged ? 'rejected' : 'released';
  } catch (error) {
    expect(error).toBeInstanceOf(Unavailable);
    return 'unanswered';
  }
}

export interface RemoteContract<R extends string> {
  /** Answers that are none; RAW when absent. */
  raw?: readonly R[];
  /**
   * How a request is made again: by its id, by a search for what came of it before, or by what was put on record (then the subject keeps
   * that, and the CA is not searched). Where it is by nothing, it is signed again, and whoever runs the CA was told so.
   */
  resumesBy?: 'id' | 'search' | 'record' | 'nothing';
}

/** What a CA elsewhere owes beside that: it is asked again after crashes and lost answers, and may not be well-behaved. */
export function remoteBackendContract<R extends string = Raw>(
  name: string,
  setUp: () => Promise<BackendUnderTest & { remote: RemoteUnderTest<R> }>,
  { raw = RAW as readonly string[] as readonly R[], resumesBy = 'id' }: RemoteContract<R> = {},
): void {
  /** As the program does when it does not know whether the CA was asked. */
  async function again(backend: Backend, request: SigningRequest): Promise<readonly Buffer[]> {
    const [found] = resumesBy === 'search' ? ((await backend.search?.(request, since(), none)) ?? []) : [];
    return found ?? issued(backend, request);
  }

  const isSearched = resumesBy === 'id' || resumesBy === 'search';
  const signsAgain = resumesBy === 'nothing';
  const since = () => new Date(Date.now() - 900_000);
  const sole = (chain: readonly Buffer[]) => chain[0]?.toString('hex');

  describe(`${name} as a backend elsewhere`, () => {
    test(`one request is ${signsAgain ? 'a certificate each time' : 'one certificate, however often'} it is asked for`, async () => {
      const { backend, remote } = await setUp();
      const request = aSigningRequest();
      const first = sole(await issued(backend, request));
      expect(sole(await again(backend, request)) === first).toBe(!signsAgain);
      expect(await remote.live(request.id)).toBe(signsAgain ? 2 : 1);
    });

    test('after an answer that was lost the request is served, by a search or by asking again', async () => {
      const { backend, remote } = await setUp();
      const request = aSigningRequest();
      await remote.loseAnswer();
      await expect(backend.sign(request, none)).rejects.toThrow(Unavailable);
      await remote.behaveWell();
      const [found] = isSearched ? ((await backend.search?.(request, since(), none)) ?? []) : [];
      expect(found !== undefined).toBe(isSearched);
      const released = sole(await again(backend, request));
      if (found) expect(sole(found)).toBe(released);
      expect(await remote.live(request.id)).toBe(signsAgain ? 2 : 1);
    });

    test('a search for what was never asked finds nothing', async () => {
      const { backend } = await setUp();
      expect(await backend.search?.(aSigningRequest(), since(), none)).toEqual(isSearched ? [] : undefined);
    });

    test.each(resumesBy === 'search' || signsAgain ? [] : [true, false])(
      'a request that waits is one certificate in the end, its handle kept: %s',
      async (kept) => {
        const { backend, remote } = await setUp();
        const request: SigningRequest = aSigningRequest();
        await remote.pend?.(2);
        const outcomes: string[] = [];
        for (let handle: string | undefined; outcomes.at(-1) !== 'issued'; ) {
          const outcome = await backend.sign({ ...request, ...(kept && handle !== undefined ? { handle } : {}) }, none);
          outcomes.push(outcome.kind);
          if (outcome.kind === 'pending') {
            handle = outcome.handle;
            expect(outcome.retryAfterMs).toBeGreaterThan(0);
            expect((await backend.search?.(request, since(), none)) ?? []).toEqual([]);
          }
        }
        expect(outcomes).toEqual(['pending', 'pending', 'issued']);
        expect(await remote.live(request.id)).toBe(1);
      },
    );

    test('an overload is transient, and the time to come back is passed on', async () => {
      const { backend, remote } = await setUp();
      const request = aSigningRequest();
      await remote.overload(7);
      await expect(backend.sign(request, none)).rejects.toMatchObject({ name: 'Unavailable', retryAfterMs: 7000 });
      await remote.behaveWell();
      expect(await verdict(backend, request)).toBe('released');
    });

    test.each([...WRONG])('an answer with wrong %s is never released', async (how) => {
      const { backend, remote } = await setUp();
      await remote.answerWrongly(how);
      expect(await verdict(backend, aSigningRequest({ names: { dnsNames: ['a.test', 'b.test'] } }))).toBe('rejected');
    });

    test.each([...raw])('an answer that is %s is no answer', async (how) => {
      const { backend, remote } = await setUp();
      const request = aSigningRequest();
      await remote.answerWrongly(how);
      expect(await verdict(backend, request)).toBe('unanswered');
      await remote.behaveWell();
      expect(await verdict(backend, request)).toBe('released');
    });

    test('what is revoked is no longer found; to revoke it again does no harm', async () => {
      const { backend, remote } = await setUp();
      const request = aSigningRequest();
      const [leaf = Buffer.alloc(0)] = await issued(backend, request);
      const { serial } = parseCertificate(leaf);
      for (let round = 0; round < 2; round++) {
        const entry = { serial, revokedAt: new Date(), reason: 4 };
        expect(await backend.revoke?.(request.id, leaf, entry, none)).toEqual({ kind: 'revoked' });
        expect((await backend.search?.(request, since(), none)) ?? []).toEqual([]);
        expect(await remote.live(request.id)).toBe(0);
      }
    });
  });
}

/** Declares the suite. `setUp` is called once a test. */
export function backendContract(name: string, setUp: () => Promise<BackendUnderTest>): void {
  describe(`${name} as a backend`, () => {
    test.each(KEY_KINDS)('signs a %s key: key, names and chain as approved', async (kind) => {
      const subject = await setUp();
      const request = aSigningRequest({ keys: sharedKey(kind) });
      expectAsApproved(await issued(subject.backend, request), request.model, subject);
    });

    test.each<[string, Parameters<typeof aSigningRequest>[0]]>([
      ['a wildcard', { names: { dnsNames: ['*.example.test'] } }],
      ['addresses alone', { names: { ipAddresses: ['192.0.2.7', '2001:db8::7'] }, subject: [] }],
      ['a hundred names', { names: { dnsNames: Array.from({ length: 100 }, (_, i) => `n${i}.example.test`) } }],
      ['an internationalised name', { names: { dnsNames: ['xn--mller-kva.example.test'] } }],
      ['an empty subject', { subject: [] }],
    ])('signs %s', async (_, options) => {
      const subject = await setUp();
      const request = aSigningRequest(options);
      expectAsApproved(await issued(subject.backend, request), request.model, subject);
    });

    test('the same request again gives a certificate of the same model', async () => {
      const subject = await setUp();
      const request = aSigningRequest();
      for (let round = 0; round < 2; round++)
        expectAsApproved(await issued(subject.backend, request), request.model, subject);
    });

    test('what the CA will not sign is refused for good, with a problem fit to be shown, by sign and by limits alike', async () => {
      const { backend, refused } = await setUp();
      const outcome = await settle(backend, refused);
      if (outcome.kind !== 'refused') throw new Error('it was signed');
      expect(outcome.problem).toBeInstanceOf(Problem);
      expect(outcome.problem.status).toBeLessThan(500);
      expect(outcome.problem.detail).not.toMatch(/-----BEGIN|\n|undefined/);
      if (backend.local) expect((await backend.limits(refused.model))?.toJSON()).toEqual(outcome.problem.toJSON());
    });

    test('a CA that cannot answer throws, says so in check, and signs again after', async () => {
      const subject = await setUp();
      const { backend } = subject;
      const request = aSigningRequest();
      expect(await backend.check(none)).toMatchObject({ ready: true });
      await subject.fail();
      expect(await backend.check(none)).toMatchObject({
        ready: false,
        reason: expect.stringMatching(/^[A-Z][A-Za-z]+$/),
      });
      await expect(settle(backend, request)).rejects.toThrow(Error);
      await subject.recover();
      expect(await backend.check(none)).toMatchObject({ ready: true });
      expectAsApproved(await issued(backend, request), request.model, subject);
    });

    test('an aborted signal ends sign and check', async () => {
      const { backend } = await setUp();
      const aborted = AbortSignal.abort(new Error('over'));
      await expect(backend.sign(aSigningRequest(), aborted)).rejects.toThrow('over');
      await expect(backend.check(aborted)).rejects.toThrow('over');
    });

    test('health names the issuing certificate and the chains that leaves get', async () => {
      const subject = await setUp();
      const { ca } = await subject.backend.check(none);
      if (!ca) return;
      const [, issuing, ...rest] = await issued(subject.backend, aSigningRequest());
      expect(ca.certificate).toEqual(issuing);
      expect(ca.chains[0]).toEqual([issuing, ...rest]);
    });

    test('what may be signed ends with the CA', async () => {
      const subject = await setUp();
      const limit = await subject.backend.notAfterLimit();
      if (!limit || subject.backend.controls.validity !== true) return;
      const request = aSigningRequest({ notAfter: limit });
      expectAsApproved(await issued(subject.backend, request), request.model, subject);
      const late = aSigningRequest({ notAfter: new Date(limit.getTime() + 1000) });
      expect(await settle(subject.backend, late)).toMatchObject({ kind: 'refused' });
    });
  });
}
