// An engine without policy: signs what it is asked for with a CA of its own and keeps a record, one for each request.
import { type IssuedCertificate, IssuedCertificateKind } from '../../src/api/issued-certificate.ts';
import { parseCertificate } from '../../src/domain/certificate.ts';
import { isClusterError } from '../../src/domain/cluster-error.ts';
import { parseCsr } from '../../src/domain/csr.ts';
import type { Problem } from '../../src/domain/problem.ts';
import { buildRecord } from '../../src/issuance/record.ts';
import { recordName } from '../../src/issuance/records.ts';
import type { IssuanceOutcome, IssuanceRequest, Issue } from '../../src/issuance/types.ts';
import type { Clock, Cluster } from '../../src/ports.ts';
import { buildCaCertificate, buildCertificate, createKeyPair, type KeyPair } from '../support/certificate-builder.ts';
import { sanOf } from '../support/csr-builder.ts';
import { subjectAltName } from '../support/der-writer.ts';

export interface FakeEngine {
  issue: Issue;
  requests: IssuanceRequest[];
  /** What the engine does with the next requests: sign, refuse, throw, or keep waiting. */
  behave: (request: IssuanceRequest) => Problem | 'sign' | 'pending';
  lifetimeMs: number;
  ca: Buffer;
}

const DAY = 86_400_000;

export function createFakeEngine({
  cluster,
  clock,
  namespace,
}: {
  cluster: Cluster;
  clock: Clock;
  namespace: string;
}): FakeEngine {
  const authority = createKeyPair();
  const ca = buildCaCertificate('fake CA', authority);

  async function sign(request: IssuanceRequest): Promise<IssuanceOutcome> {
    const csr = parseCsr(request.csr);
    const now = clock.now();
    const certificate = buildCertificate({
      subject: 'leaf',
      issuer: 'fake CA',
      keys: { publicKey: csr.publicKey.key } as KeyPair,
      signer: authority,
      extensions: [
        subjectAltName([...csr.names.dnsNames, ...csr.names.ipAddresses.map((ip) => `ip:${ip}`)].map(sanOf)),
      ],
      notBefore: new Date(now.getTime() - DAY / 24),
      notAfter: new Date(now.getTime() + engine.lifetimeMs),
    });
    const model = { ...csr, subject: [], usages: [], notBefore: now, notAfter: now, profile: undefined };
    const record = await keep(request, {
      name: recordName(request.door, request.id),
      namespace,
      model,
      policy: 'fake',
      decisionID: 'fake',
      leaf: parseCertificate(certificate),
      chain: 'fake',
      now,
    });
    return { kind: 'issued', record, chain: [Buffer.from(record.status.certificate, 'base64'), ca], root: ca };
  }

  async function keep(request: IssuanceRequest, facts: Parameters<typeof buildRecord>[1]): Promise<IssuedCertificate> {
    try {
      return (await cluster.create(IssuedCertificateKind, buildRecord(request, facts))) as IssuedCertificate;
    } catch (error) {
      if (!isClusterError(error, 'AlreadyExists')) throw error;
      return (await cluster.get(IssuedCertificateKind, facts)) as IssuedCertificate;
    }
  }

  const engine: FakeEngine = {
    requests: [],
    behave: () => 'sign',
    lifetimeMs: 90 * DAY,
    ca,
    async issue(request) {
      engine.requests.push(request);
      const behaviour = engine.behave(request);
      if (behaviour === 'pending') return { kind: 'pending', retryAfterMs: 30_000 };
      return behaviour === 'sign' ? sign(request) : { kind: 'refused', problem: behaviour };
    },
  };
  return engine;
}
