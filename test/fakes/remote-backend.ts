// A CA elsewhere, in this process: signs once for a request unless told otherwise, remembers what it signed, and fails as a test wants.
import { parseCertificate } from '../../src/domain/certificate.ts';
import { Unavailable } from '../../src/domain/unavailable.ts';
import type { Backend, Clock, RevokedEntry, SigningOutcome, SigningRequest } from '../../src/ports.ts';
import {
  basicConstraints,
  buildCertificate,
  createKeyPair,
  extendedKeyUsage,
  type KeyPair,
  keyUsage,
} from '../support/certificate-builder.ts';
import { sanOf } from '../support/csr-builder.ts';
import { subjectAltName } from '../support/der-writer.ts';

const MINUTE = 60_000;

export interface FakeRemote {
  backend: Backend;
  ca: Buffer;
  /** Every call, as `sign ic-…`. */
  calls: string[];
  /** DER of what was signed, by request. */
  signed: Map<string, Buffer[]>;
  /** Serials. */
  revoked: string[];
  /** Requests under way. */
  active: number;
  /** Most requests ever under way at a time. */
  mostActive: number;
  /** What becomes of a call to `sign`; signs when it returns undefined. */
  behave: (request: SigningRequest) => SigningOutcome | undefined | Promise<SigningOutcome | undefined>;
  /** Thrown by every call while set. */
  down: Error | undefined;
  /** Thrown after signing, by the next calls. */
  lose: Error | undefined;
  /** Does not know a request again. */
  forgetful: boolean;
  sign(request: SigningRequest): Buffer;
}

export function createFakeRemote(clock: Clock, overrides: Partial<Backend> = {}): FakeRemote {
  const authority = createKeyPair();
  const ca = buildCertificate({
    subject: 'Remote CA',
    keys: authority,
    notBefore: new Date(clock.now().getTime() - 24 * 60 * MINUTE),
    notAfter: new Date(clock.now().getTime() + 3650 * 24 * 60 * MINUTE),
    extensions: [basicConstraints(true), keyUsage(5, 6)],
  });

  function certify({ model }: SigningRequest): Buffer {
    return buildCertificate({
      subject: 'A leaf',
      issuer: 'Remote CA',
      keys: { publicKey: model.publicKey.key } as KeyPair,
      signer: authority,
      extensions: [subjectAltName(model.names.dnsNames.map(sanOf)), extendedKeyUsage('1.3.6.1.5.5.7.3.1')],
      notBefore: new Date(clock.now().getTime() - MINUTE),
      notAfter: model.notAfter,
    });
  }

  function note(call: string): void {
    fake.calls.push(call);
    if (fake.down) throw fake.down;
  }

  async function sign(request: SigningRequest): Promise<SigningOutcome> {
    note(`sign ${request.id}`);
    const outcome = await fake.behave(request);
    if (outcome) return outcome;
    const known = fake.signed.get(request.id) ?? [];
    const leaf = (fake.forgetful ? undefined : known.at(-1)) ?? fake.sign(request);
    if (fake.lose) throw fake.lose;
    return { kind: 'issued', chain: [leaf, ca] };
  }

  const fake: FakeRemote = {
    ca,
    calls: [],
    signed: new Map(),
    revoked: [],
    active: 0,
    mostActive: 0,
    behave: () => undefined,
    down: undefined,
    lose: undefined,
    forgetful: false,
    sign(request) {
      const leaf = certify(request);
      fake.signed.set(request.id, [...(fake.signed.get(request.id) ?? []), leaf]);
      return leaf;
    },
    backend: {
      controls: { subject: false, validity: true, extensions: false },
      local: false,
      concurrency: 2,
      trustAnchors: () => Promise.resolve([ca]),
      async sign(request) {
        fake.mostActive = Math.max(fake.mostActive, ++fake.active);
        try {
          return await sign(request);
        } finally {
          fake.active--;
        }
      },
      async search({ id }) {
        note(`search ${id}`);
        const live = (fake.signed.get(id) ?? []).filter(
          (leaf) => !fake.revoked.includes(parseCertificate(leaf).serial),
        );
        return live.map((leaf) => [leaf, ca]);
      },
      async revoke(id: string, _certificate: Buffer, { serial }: RevokedEntry) {
        note(`revoke ${id}`);
        fake.revoked.push(serial);
        return { kind: 'revoked' };
      },
      limits: () => Promise.resolve(undefined),
      notAfterLimit: () => Promise.resolve(undefined),
      check: async () => {
        if (fake.down) return { ready: false, reason: 'Unreachable', message: 'down' };
        return { ready: true, reason: 'Ready', message: 'signs', ca: { certificate: ca, chains: [[ca]] } };
      },
      ...overrides,
    },
  };
  return fake;
}

export const away = (): Unavailable => new Unavailable('the CA is away');
