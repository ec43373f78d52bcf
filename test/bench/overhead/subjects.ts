// CAs elsewhere, as the overhead of each backend is measured by them.
import type { CAIssuerSpec } from '../../../src/api/ca-issuer.ts';
import { createChildRunner } from '../../../src/backends/certbot/child-runner.ts';
import type { BackendDeps } from '../../../src/ports.ts';
import { createClock } from '../../../src/runtime/clock.ts';
import { createRandom } from '../../../src/runtime/random.ts';
import { startEjbcaPeer } from '../../support/ejbca-peer.ts';
import { type Pebble, startPebble } from '../../support/pebble.ts';
import { startWebhookPeer } from '../../support/webhook-peer.ts';

export interface Place {
  /** Where answers to http-01 are. */
  httpPort: number;
  /** `address:port` of the name server. */
  resolver: string;
}

/** Starts the CA. */
export type Subject = (place: Place) => Promise<{
  backend: CAIssuerSpec['backend'];
  /** That it names. */
  secrets: Readonly<Record<string, Record<string, string>>>;
  certbot?: (secrets: BackendDeps['secrets']) => NonNullable<BackendDeps['certbot']>;
  stop(): Promise<void>;
}>;

/** At a time. */
export const CLIENTS = [1, 8] as const;
/** None waits for another because of us. */
const concurrency = Math.max(...CLIENTS);
const TERMS = 'data:text/plain,Do%20what%20thou%20wilt';

const account = (name: string) => ({ keySecretRef: { name }, termsOfService: TERMS });
const trusted = ({ caBundle, roots }: Pebble) => ({ caBundle, trustAnchors: roots.join('') });

export const SUBJECTS = {
  async ejbca() {
    const peer = await startEjbcaPeer();
    return { backend: { ejbca: { ...peer.spec, concurrency } }, secrets: peer.secrets, stop: () => peer.close() };
  },
  async webhook() {
    const peer = await startWebhookPeer();
    return { backend: { webhook: { ...peer.spec, concurrency } }, secrets: peer.secrets, stop: () => peer.close() };
  },
  async upstream(place) {
    const pebble = await startPebble(place);
    const acme = {
      directory: pebble.directory,
      account: account('pebble'),
      preCheck: { enabled: false },
      concurrency,
      ...trusted(pebble),
    };
    return { backend: { acme }, secrets: {}, stop: () => pebble.stop() };
  },
  async certbot(place) {
    const pebble = await startPebble(place);
    const config = `server = ${pebble.directory}\n`;
    const [clock, random] = [createClock(), createRandom()];
    const answersURL = `http://127.0.0.1:${place.httpPort}/.well-known/acme-challenge/`;
    return {
      backend: { certbot: { config, account: account('certbot'), concurrency, ...trusted(pebble) } },
      secrets: {},
      certbot: (secrets) => createChildRunner({ secrets, clock, random, answersURL }),
      stop: () => pebble.stop(),
    };
  },
} satisfies Record<string, Subject>;

export type SubjectName = keyof typeof SUBJECTS;
