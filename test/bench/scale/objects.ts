// The objects that make a cluster large: records as the operator writes them, Secrets of others, claims.
import { createHash, randomBytes } from 'node:crypto';
import type { CertificateRecord } from '../../../src/api/issued-certificate.ts';
import { loadKeyring } from '../../../src/commands/sealing-keys.ts';
import { sealRecord } from '../../../src/issuance/sealed-records.ts';
import type { Cluster } from '../../../src/ports.ts';
import { createClock } from '../../../src/runtime/clock.ts';
import { createRandom } from '../../../src/runtime/random.ts';
import { type ApiClient, createApiClient } from '../../support/api-client.ts';
import { NAMESPACE } from '../../support/serve.ts';
import { GROUP, RECORDS, secretsOf } from '../../support/serving-stage.ts';
import type { Stage } from './stage.ts';

/** As an API client keeps at most eight connections. */
const CLIENTS = 3;
const UNDER_WAY = 24;
/** What all certificates begin with. */
const HEADER = 32;
/** Namespaces of foreign Secrets and of claims. */
const TEAMS = 20;

export interface RecordTemplate {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  spec: Record<string, unknown> & { requester: Record<string, string>; csr: string };
  status: Record<string, unknown> & { certificate: string };
}

export const countOf = async (api: ApiClient, collection: string): Promise<number> => {
  const { items, metadata } = await api.expect<{ items: unknown[]; metadata: { remainingItemCount?: number } }>(
    'GET',
    `${collection}?limit=1`,
  );
  return items.length + (metadata.remainingItemCount ?? 0);
};

/** The newest record of a real issuance. */
export async function templateOf({ plane }: Stage): Promise<RecordTemplate> {
  const { items } = await plane.api.expect<{ items: RecordTemplate[] }>('GET', `${RECORDS}?limit=1`);
  const [record] = items;
  if (!record) throw new Error('there is no record to go by');
  return record;
}

/** Records up to `count` in all, like the template, but each of its own request, account, key and serial. */
export async function loadRecords(stage: Stage, template: RecordTemplate, count: number): Promise<void> {
  const have = await countOf(stage.plane.api, RECORDS);
  const token = await stage.plane.serviceAccountToken(NAMESPACE, 'countersign');
  const marks = await keyringOf(stage);
  await inParallel(stage, { token }, count - have, (api, n) =>
    api.expect(
      'POST',
      RECORDS,
      sealRecord(marks, recordLike(template, have + n) as RecordTemplate & CertificateRecord),
    ),
  );
}

/** The operator's own: it takes no record for its own that it has not marked. */
function keyringOf({ plane }: Stage) {
  const cluster = {
    get: (_kind: unknown, { name }: { name: string }) => plane.api.expect('GET', `${secretsOf(NAMESPACE)}/${name}`),
  } as unknown as Cluster;
  return loadKeyring({ cluster, namespace: NAMESPACE, clock: createClock(), random: createRandom() });
}

function recordLike({ apiVersion, kind, metadata, spec, status }: RecordTemplate, n: number): RecordTemplate {
  const hash = (what: string) => base32(createHash('sha256').update(`${what} ${n}`).digest());
  const serial = `4${randomBytes(15).toString('hex')}`;
  const account = `ac-${base32(
    createHash('sha256')
      .update(`account ${n % 1000}`)
      .digest(),
  )}`;
  const names = [`dns:host-${n}.bench.test`];
  const labels = {
    ...metadata.labels,
    'countersign.dev/serial': serial,
    'countersign.dev/account': account,
    'countersign.dev/public-key': hash('key'),
    'countersign.dev/names': hash('names'),
  };
  return {
    apiVersion,
    kind,
    metadata: { name: `ic-${hash('record')}`, labels },
    spec: {
      ...spec,
      requestID: randomBytes(16).toString('hex'),
      decisionID: randomBytes(12).toString('hex'),
      requester: { ...spec.requester, account },
      names,
      csr: another(spec.csr),
    },
    status: { ...status, serial, certificate: another(status.certificate) },
  };
}

/** As long and as random as the keys and signatures of another one make it. */
function another(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  randomBytes(bytes.length - HEADER).copy(bytes, HEADER);
  return bytes.toString('base64');
}

function base32(bytes: Buffer): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let [text, bits, value] = ['', 0, 0];
  for (const byte of bytes) {
    value = ((value & 0xff) << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

const team = (n: number) => `team-${n % TEAMS}`;

export async function makeTeams({ plane }: Stage): Promise<void> {
  for (let n = 0; n < TEAMS; n++)
    await plane.api.expect('POST', '/api/v1/namespaces', { metadata: { name: team(n), labels: { team: String(n) } } });
}

/** Secrets of others, two kilobytes each. */
export async function loadSecrets(stage: Stage, count: number): Promise<void> {
  await inParallel(stage, stage.plane.admin, count, (api, n) =>
    api.expect('POST', secretsOf(team(n)), {
      metadata: { name: `foreign-${n}`, labels: { 'app.kubernetes.io/name': `app-${n % 300}` } },
      type: 'Opaque',
      data: { config: randomBytes(1024).toString('base64'), password: randomBytes(512).toString('base64') },
    }),
  );
}

export async function loadClaims(stage: Stage, count: number): Promise<void> {
  await inParallel(stage, stage.plane.admin, count, (api, n) =>
    api.expect('POST', `${GROUP}/namespaces/${team(n)}/certificateclaims`, {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name: `claim-${n}` },
      spec: {
        secretName: `claim-${n}-tls`,
        issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
        dnsNames: [`claim-${n}.bench.test`],
      },
    }),
  );
}

type Credentials = Parameters<typeof createApiClient>[2];

async function inParallel(
  { plane }: Stage,
  credentials: Credentials,
  count: number,
  work: (api: ApiClient, n: number) => Promise<unknown>,
): Promise<void> {
  const clients = Array.from({ length: CLIENTS }, () => createApiClient(plane.url, plane.ca, credentials));
  let next = 0;
  try {
    await Promise.all(
      Array.from({ length: UNDER_WAY }, async (_, i) => {
        const api = clients[i % CLIENTS] as ApiClient;
        while (next < count) await work(api, next++);
      }),
    );
  } finally {
    for (const client of clients) client.close();
  }
}
