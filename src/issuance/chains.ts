// Chains above leaves, kept once per issuer in its status, so that a record holds the leaf alone.
import { ClusterCAIssuerKind } from '../api/ca-issuer.ts';
import { CAIssuerKind, type Issuer, issuerKind } from '../api/issuer.ts';
import { type CertificateRecord, type IssuedCertificate, isIssued } from '../api/issued-certificate.ts';
import type { Right } from '../api/right.ts';
import { type CertificateFacts, parseCertificate } from '../domain/certificate.ts';
import { chainFingerprint, isRoot, parsePemCertificates, preferredChain, trimRoot } from '../domain/chain.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { renderPem } from '../domain/encoding.ts';
import { comeBack, type Problem } from '../domain/problem.ts';
import type { Cache, Clock, Cluster } from '../ports.ts';

export const CHAIN_RIGHTS: readonly Right[] = [
  {
    kind: ClusterCAIssuerKind,
    verbs: ['get'],
    in: ['cluster'],
    why: 'read the chains that are kept before one is added',
  },
  {
    kind: ClusterCAIssuerKind,
    subresource: 'status',
    verbs: ['update'],
    in: ['cluster'],
    why: 'keep the chain above a leaf where all replicas find it',
  },
];

export const TENANT_CHAIN_RIGHTS: readonly Right[] = CHAIN_RIGHTS.map((right) => ({
  ...right,
  kind: CAIssuerKind,
  in: ['tenants'],
}));

/** A chain as handed out. */
interface Offered {
  fingerprint: string;
  /** DER, issuing CA first; without the root where the issuer trims it. */
  certificates: readonly Buffer[];
  root: Buffer | undefined;
  whole: readonly CertificateFacts[];
  pem: string;
  /** Subject key identifier of the issuing CA, hex. */
  issuingKey: string;
}

export interface ChainStore {
  /** Makes sure the chain is in the issuer's status; returns its fingerprint. */
  keep(issuer: Issuer, chain: readonly Buffer[]): Promise<string>;
  /** Leaf and chain of a record in DER, with the root where known. */
  handedOut(issuer: Issuer, record: IssuedCertificate): { chain: readonly Buffer[]; root?: Buffer };
  /** PEM above the leaf: the preferred chain of the same CA key first, then the alternates. Empty if none is known. */
  pemsOf(issuer: Issuer, record: IssuedCertificate): readonly string[];
}

/** Chains an issuer's status holds at most. */
export const MAX_CHAINS = 16;
/** The watch takes moments; a chain beyond these is looked for in the status alone. */
const MAX_RECENT = 1024;

/** Fingerprints of the chains that live certificates of the issuer (uid) were handed out with, as the cache knows. */
export type ChainsInUse = (issuerUID: string) => ReadonlySet<string>;

export function createChainsInUse(deps: {
  records: Pick<Cache<CertificateRecord>, 'each'>;
  clock: Clock;
}): ChainsInUse {
  return (issuerUID) => {
    const now = deps.clock.now();
    const inUse = new Set<string>();
    for (const record of deps.records.each()) {
      const { spec, status } = record;
      if (status?.chain === undefined || spec.issuerUID !== issuerUID) continue;
      if (isIssued(record) && new Date(record.status.notAfter) > now) inUse.add(status.chain);
    }
    return inUse;
  };
}

/** As many as a status holds, newest first: of those beyond `current`, the oldest that are not in use go. Undefined where all are. */
export function fitChains<C extends { fingerprint: string }>(
  { current, earlier }: { current: readonly C[]; earlier: readonly C[] },
  inUse: () => ReadonlySet<string>,
): C[] | undefined {
  const surplus = current.length + earlier.length - MAX_CHAINS;
  if (surplus <= 0) return [...current, ...earlier];
  const needed = inUse();
  const dropped = earlier.filter(({ fingerprint }) => !needed.has(fingerprint)).slice(-surplus);
  return dropped.length < surplus ? undefined : [...current, ...earlier.filter((chain) => !dropped.includes(chain))];
}

export interface ChainStoreDeps {
  cluster: Cluster;
  inUse: ChainsInUse;
}

export function createChainStore(deps: ChainStoreDeps): ChainStore {
  const parsed = new WeakMap<object, readonly Offered[]>();
  /** Chains just stored, by issuer and fingerprint, until the watched issuer shows them. */
  const recent = new Map<string, Buffer[]>();

  function offered(issuer: Issuer): readonly Offered[] {
    const chains = issuer.status?.chains ?? [];
    const known = parsed.get(chains);
    if (known) return known;
    const made = chains.map(({ fingerprint, pem }) => offer(issuer, fingerprint, parsePemCertificates(pem)));
    const whole = made.map((chain) => chain.whole);
    const first = preferredChain(whole, issuer.spec.chain?.preferred ?? []);
    const ordered = [...made.slice(first, first + 1), ...made.filter((_, i) => i !== first)];
    parsed.set(chains, ordered);
    return ordered;
  }

  async function keep(issuer: Issuer, chain: readonly Buffer[]): Promise<string> {
    const fingerprint = chainFingerprint(chain);
    const own = ofIssuer(issuer, fingerprint);
    if (offered(issuer).some((known) => known.fingerprint === fingerprint)) recent.delete(own);
    else if (!recent.has(own)) {
      await store(deps, issuer, { fingerprint, pem: pemOf(chain) });
      recent.set(own, [...chain]);
      const oldest = recent.keys().next().value;
      if (recent.size > MAX_RECENT && oldest !== undefined) recent.delete(oldest);
    }
    return fingerprint;
  }

  /** The preferred chain of the CA key that signed the record, then the others of that key. */
  function ofRecord(issuer: Issuer, record: IssuedCertificate): readonly Offered[] {
    const all = offered(issuer);
    const just = recent.get(ofIssuer(issuer, record.status.chain));
    const own =
      all.find((chain) => chain.fingerprint === record.status.chain) ??
      (just && offer(issuer, record.status.chain, just));
    if (!own) return [];
    const same = all.filter((chain) => chain.issuingKey === own.issuingKey);
    return same.length > 0 ? same : [own];
  }

  return {
    keep,
    handedOut: (issuer, record) => {
      const [first] = ofRecord(issuer, record);
      const leaf = Buffer.from(record.status.certificate, 'base64');
      return { chain: [leaf, ...(first?.certificates ?? [])], ...(first?.root ? { root: first.root } : {}) };
    },
    pemsOf: (issuer, record) => ofRecord(issuer, record).map((chain) => chain.pem),
  };
}

/** Two issuers may have one CA, and each keeps its chain. */
const ofIssuer = ({ metadata }: Issuer, fingerprint: string) => `${metadata.uid}|${fingerprint}`;

const pemOf = (chain: readonly Buffer[]) => chain.map((der) => renderPem('CERTIFICATE', der)).join('');

async function store(
  { cluster, inUse }: ChainStoreDeps,
  issuer: Issuer,
  chain: { fingerprint: string; pem: string },
): Promise<void> {
  const kind = issuerKind(issuer);
  for (;;) {
    const live = await cluster.get(kind, issuer.metadata);
    if (live?.metadata.uid !== issuer.metadata.uid) throw new Error('the issuer is gone');
    const chains = live.status?.chains ?? [];
    if (chains.some(({ fingerprint }) => fingerprint === chain.fingerprint)) return;
    const kept = fitChains({ current: [chain], earlier: chains }, () => inUse(live.metadata.uid));
    if (!kept) throw noRoom(issuer);
    try {
      await cluster.replaceStatus(kind, { ...live, status: { ...live.status, chains: kept } });
      return;
    } catch (error) {
      if (!isClusterError(error, 'Conflict')) throw error;
    }
  }
}

function noRoom(issuer: Issuer): Problem {
  const detail = `issuer ${issuer.metadata.name} has ${MAX_CHAINS} chains in use and no room for another until certificates of one of them expire`;
  return comeBack(detail, 300);
}

function offer(issuer: Issuer, fingerprint: string, chain: readonly Buffer[]): Offered {
  const whole = chain.map(parseCertificate);
  const last = whole.at(-1);
  const root = last && isRoot(last) ? last.der : undefined;
  const certificates = trimRoot(whole, issuer.spec.chain?.trimRoot).map(({ der }) => der);
  return {
    fingerprint,
    certificates,
    root,
    whole,
    pem: pemOf(certificates),
    issuingKey: whole[0]?.subjectKeyIdentifier?.toString('hex') ?? '',
  };
}
