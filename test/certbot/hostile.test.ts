// An ACME server that does not do as it should, and the real certbot between it and us: what comes of it is no certificate, no answer for
// anybody else, and safe words.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { CertbotBackendSpec } from '../../src/api/certbot-backend.ts';
import { type CertificateRecord, IssuedCertificateKind, isIssued } from '../../src/api/issued-certificate.ts';
import { createChildRunner } from '../../src/backends/certbot/child-runner.ts';
import { certbotBackend } from '../../src/backends/certbot/index.ts';
import { createSecretReader } from '../../src/cluster/secret-reader.ts';
import { parsePemCertificates } from '../../src/domain/chain.ts';
import { Unavailable } from '../../src/domain/unavailable.ts';
import { judgeAnswer } from '../../src/issuance/verify.ts';
import type { CertbotRunner, SigningRequest } from '../../src/ports.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { anIssuer, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest } from '../contract/models.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';
import { type AcmeDouble, startAcmeDouble } from '../support/acme-double.ts';
import { finalize, poll, readyOrder, register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport } from '../support/acme-wire.ts';
import { describeWithCertbot } from '../support/certbot.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import { readyIssuer } from '../support/ready-issuer.ts';
import { startResponders, stopResponders } from '../support/responders.ts';

const none = new AbortController().signal;
const own = { clock: createClock(), random: createRandom() };
/** Nobody lays anything out here. */
const answersURL = 'http://127.0.0.1:1/';
let double: AcmeDouble;

const specOf = (more: Partial<CertbotBackendSpec> = {}): CertbotBackendSpec => ({
  config: `server = ${double.directory}\n`,
  caBundle: double.caBundle,
  trustAnchors: double.root,
  account: { keySecretRef: { name: 'certbot-account' } },
  ...more,
});

function make(more: Partial<CertbotBackendSpec> = {}) {
  const secrets = createMemorySecrets();
  const certbot = specOf(more);
  const runner: CertbotRunner = createChildRunner({ ...own, secrets, answersURL });
  const deps = { ...own, secrets, urls: undefined, certbot: runner };
  const laidOut: string[] = [];
  const backend = certbotBackend.create(deps, anIssuer({ certbot }), { certbot });
  /** How the run ends that is begun for the request. */
  const ended = async (request: SigningRequest): Promise<string> => {
    const keep = (_handle: string, answers: readonly string[] = []) => Promise.resolve(void laidOut.push(...answers));
    for (;;) {
      try {
        const outcome = await backend.sign({ ...request, keep }, none);
        if (outcome.kind === 'refused') return `refused ${outcome.problem.type}: ${outcome.problem.detail}`;
        if (outcome.kind === 'issued') {
          const anchors = parsePemCertificates(certbot.trustAnchors);
          const judged = judgeAnswer(outcome.chain, request.model, { controls: backend.controls, anchors });
          return 'reasons' in judged ? 'rejected' : 'released';
        }
      } catch (error) {
        expect(error).toBeInstanceOf(Unavailable);
        return `later: ${(error as Error).message}`;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  return { ended, laidOut, runner };
}

describeWithCertbot('certbot, and an ACME server that is hostile', () => {
  beforeAll(async () => {
    double = await startAcmeDouble();
  });
  afterEach(() => double.reset());
  afterAll(() => double?.server.stop());

  test.each(['html', 'huge', 'endless', 'redirect', 'broken pem', 'cut'] as const)(
    'an answer that is %s is none',
    async (raw) => {
      const { ended } = make(raw === 'endless' || raw === 'huge' ? { deadline: '5s' } : {});
      double.behaviour.raw = raw;
      const words = await ended(aSigningRequest());
      expect(words).toMatch(
        /^(later: certbot [^\r\n]{1,320}|refused serverInternal: the CA did not sign in time|refused unauthorized: the CA refused the request)$/,
      );
      expect(words).not.toMatch(/<script>|Traceback/);
    },
  );

  test('after an answer that was none the next one may be', async () => {
    const { ended } = make();
    const request = aSigningRequest();
    double.behaviour.raw = 'no certificate';
    expect(await ended(request)).toMatch(/^later: /);
    double.reset();
    expect(await ended(request)).toBe('released');
  });

  test.each([
    ['like a path', '../../x'],
    ['like a command', '$(id)'],
    ['of two lines', 'a\r\nX-Header: 1'],
    ['of 10,000 characters', 'x'.repeat(10_000)],
  ])('a token %s is never answered', async (_, token) => {
    const { ended, laidOut } = make({ deadline: '5s' });
    Object.assign(double.behaviour, { challenges: ['http-01'], token: () => token });
    const words = await ended(aSigningRequest());
    // For the owner of the issuer, on one line; clients hear nothing of it.
    expect(words).toMatch(/^later: certbot failed: [^\r\n]{1,301}$/);
    expect(words).not.toContain('uid=');
    expect(laidOut).toEqual([]);
  });

  test('nonces that are refused at a rate of nine in ten are no refusal: it is tried again', async () => {
    const { ended } = make();
    const request = aSigningRequest();
    double.behaviour.rejectNonces = 0.9;
    // Certbot itself repeats a request once.
    expect(await ended(request)).toMatch(/^later: certbot failed: /);
    double.reset();
    expect(await ended(request)).toBe('released');
  });

  test('an order that stays in processing is no refusal: it is tried again', async () => {
    const { ended } = make({ config: `server = ${double.directory}\nissuance-timeout = 2\n` });
    const request = aSigningRequest();
    double.behaviour.holds = 1_000_000;
    expect(await ended(request)).toMatch(/^later: certbot failed: /);
    double.reset();
    expect(await ended(request)).toBe('released');
  });

  test('a directory that leads elsewhere begins nothing', async () => {
    const { ended, runner } = make();
    const request = aSigningRequest();
    double.behaviour.directory = { newOrder: 'https://169.254.169.254/latest' };
    expect(await ended(request)).toBe('later: the ACME server names a URL for newOrder that is not its own');
    expect(await runner.state(request.id)).toEqual({ kind: 'absent' });
  });

  describe('a certificate other than approved, behind the whole program', () => {
    let operator: Awaited<ReturnType<typeof startOperator>>;
    let responders: Responders;
    let acme: AcmeWire;

    beforeAll(async () => {
      responders = await startResponders();
      const secrets = {
        read: (name: string) => createSecretReader(operator.cluster, NAMESPACE).read(name),
        create: () => Promise.reject(new Error('it makes none')),
      };
      operator = await startOperator({
        issuer: { backend: { certbot: specOf() }, defaults: { duration: '168h' }, acme: { finalizeTimeout: '2s' } },
        nameserver: responders.dns.address,
        http01Port: responders.http01.port,
        overrides: { certbot: createChildRunner({ ...own, secrets, answersURL }) },
      });
      await readyIssuer(operator.cluster);
      acme = await connect(createTransport(operator.ca), operator.directory);
      await register(acme);
    });
    afterAll(async () => {
      acme?.transport.close();
      await operator?.stop();
      await stopResponders(responders);
    });

    async function recordOf(name: string): Promise<CertificateRecord | undefined> {
      const { items } = await operator.cluster.list(IssuedCertificateKind);
      return items.find(({ spec }) => spec.names.includes(`dns:${name}`));
    }

    test.each(['key', 'name', 'validity', 'issuer', 'chain', 'ca'] as const)(
      'with wrong %s ends the order, is stored nowhere as valid, and is revoked',
      async (wrong) => {
        const names = [freshName('a'), freshName('b')];
        double.behaviour.wrong = wrong;
        const order = await readyOrder(acme, responders, names);
        await finalize(acme, order, buildCsr({ names }).der);
        const { status, error } = await poll(acme, order.url, (given) => given.status !== 'processing');
        expect([status, error]).toEqual([
          'invalid',
          expect.objectContaining({
            type: 'urn:ietf:params:acme:error:unauthorized',
            detail: expect.stringContaining('the CA answered with a certificate other than approved'),
          }),
        ]);
        const record = await recordOf(names[0] ?? '');
        expect(record && isIssued(record)).toBe(false);
        const { audit } = operator;
        expect(audit.some((line) => line['audit'] === 'rejection' && line['record'] === record?.metadata.name)).toBe(
          true,
        );
        await eventually('it is revoked', async () => double.orders.at(-1)?.isRevoked || undefined);
      },
    );
  });
});
