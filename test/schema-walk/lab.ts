// One running program for the schema walk: each outcome asks an issuer of its own, and reads what a client or kubectl would see.
// Issuers are ClusterCAIssuers, or CAIssuers while `inNamespace` runs.
import { randomBytes, X509Certificate } from 'node:crypto';
import type { CAIssuerSpec } from '../../src/api/ca-issuer.ts';
import {
  type CertificateClaim,
  CertificateClaimKind,
  type CertificateClaimSpec,
} from '../../src/api/certificate-claim.ts';
import { CertificateRequestPolicyKind } from '../../src/api/certificate-request-policy.ts';
import { NamespaceKind, type Secret, SecretKind } from '../../src/api/core.ts';
import { type Issuer, issuerKind } from '../../src/api/issuer.ts';
import type { Condition } from '../../src/api/kind.ts';
import { createLoopbackDenyList } from '../../src/domain/deny-list.ts';
import { issuerPath } from '../../src/domain/issuer.ts';
import { NAMESPACE, startOperator } from '../operator/harness.ts';
import { register, type Responders } from '../support/acme-flow.ts';
import { type AcmeWire, connect, createTransport, type Transport } from '../support/acme-wire.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';

export interface Lab {
  operator: Awaited<ReturnType<typeof startOperator>>;
  responders: Responders;
  transport: Transport;
}

const running: { lab?: Promise<Lab>; home?: string } = {};

/** The namespace of CAIssuers, and of whatever belongs to them. */
const TENANT = 'tenant';

/** Runs the outcome with CAIssuers. One at a time, as tests of a file run. */
export function inNamespace<A, T>(outcome: (argument: A) => Promise<T>): (argument: A) => Promise<T> {
  return async (argument) => {
    running.home = TENANT;
    try {
      return await outcome(argument);
    } finally {
      delete running.home;
    }
  };
}

/** Where the Secrets of issuers are. */
export const secretNamespace = (): string => running.home ?? NAMESPACE;

const claimNamespace = (): string => running.home ?? 'default';

/** So that policy allows names of Services. */
export const CLUSTER_DOMAIN = 'cluster.test';

/** Everything a client could want, so that the field under test decides. */
const ANY_ATTRIBUTE = { values: ['*'] };
const OPEN_POLICY = {
  selector: {},
  allowed: {
    commonName: { value: '**.test' },
    dnsNames: { values: ['**.test'], wildcards: true },
    ipAddresses: { cidrs: ['127.0.0.0/8', '10.0.0.0/8'] },
    uris: { values: ['spiffe://trust/*'] },
    emailAddresses: { values: ['*@example.test'] },
    subject: {
      organizations: ANY_ATTRIBUTE,
      organizationalUnits: ANY_ATTRIBUTE,
      countries: ANY_ATTRIBUTE,
      provinces: ANY_ATTRIBUTE,
      localities: ANY_ATTRIBUTE,
    },
    usages: ['server auth' as const, 'client auth' as const],
  },
};

export function lab(): Promise<Lab> {
  running.lab ??= startLab();
  return running.lab;
}

async function startLab(): Promise<Lab> {
  const [dns, http01, tlsAlpn] = await Promise.all([startDnsServer(), startHttp01Responder(), startTlsAlpnResponder()]);
  const operator = await startOperator({
    nameserver: dns.address,
    http01Port: http01.port,
    tlsAlpn01Port: tlsAlpn.port,
    policy: OPEN_POLICY,
    overrides: {
      clusterDomain: CLUSTER_DOMAIN,
      tenantBackends: { offered: ['webhook'], denyList: createLoopbackDenyList([]) },
    },
  });
  await operator.cluster.create(NamespaceKind, { metadata: { name: TENANT } });
  await operator.cluster.create(CertificateRequestPolicyKind, {
    metadata: { name: 'tenants' },
    spec: { ...OPEN_POLICY, selector: { issuerRef: { kind: 'CAIssuer' } } },
  });
  return { operator, responders: { dns, http01, tlsAlpn }, transport: createTransport(operator.ca) };
}

export async function stopLab(): Promise<void> {
  if (!running.lab) return;
  const { operator, responders, transport } = await running.lab;
  transport.close();
  await operator.stop();
  await Promise.all([responders.dns.stop(), responders.http01.stop(), responders.tlsAlpn.stop()]);
}

export const uniqueName = (prefix: string): string => `${prefix}-${randomBytes(5).toString('hex')}`;

const readyOf = (conditions: readonly Condition[] | undefined) => conditions?.find(({ type }) => type === 'Ready');

/** Makes the issuer and waits until it is judged. */
export async function anIssuer(spec: CAIssuerSpec): Promise<Issuer> {
  const { cluster } = (await lab()).operator;
  const { home } = running;
  const metadata = { name: uniqueName('issuer'), ...(home === undefined ? {} : { namespace: home }) };
  const kind = issuerKind({ metadata });
  await cluster.create(kind, { metadata, spec });
  return eventually(`the issuer ${metadata.name} is judged`, async () => {
    const issuer = await cluster.get(kind, metadata);
    const status = readyOf(issuer?.status?.conditions)?.status;
    return status === 'True' || status === 'False' ? issuer : undefined;
  });
}

/** A client of the issuer's directory, without an account. */
export async function clientOf({ metadata }: Pick<Issuer, 'metadata'>): Promise<AcmeWire> {
  const { operator, transport } = await lab();
  return connect(transport, `${operator.origin}${issuerPath(metadata)}/acme/${metadata.name}/directory`);
}

export async function registeredAt(issuer: Pick<Issuer, 'metadata'>): Promise<AcmeWire> {
  const acme = await clientOf(issuer);
  await register(acme);
  return acme;
}

export async function registered(spec: CAIssuerSpec): Promise<AcmeWire> {
  return registeredAt(await anIssuer(spec));
}

export async function aSecret(name: string, stringData: Record<string, string>): Promise<void> {
  const { cluster } = (await lab()).operator;
  const metadata = { namespace: secretNamespace(), name };
  await cluster.apply(SecretKind, { metadata, stringData }, { fieldManager: 'test' });
}

export interface Claimed {
  claim: CertificateClaim;
  secret: Secret | undefined;
  certificate: X509Certificate | undefined;
}

/** Makes the claim and waits until it is judged. */
export async function aClaim(spec: CertificateClaimSpec): Promise<Claimed> {
  const { cluster } = (await lab()).operator;
  const name = uniqueName('claim');
  await cluster.create(CertificateClaimKind, { metadata: { namespace: claimNamespace(), name }, spec });
  return settledClaim(name);
}

/** The claim once its Ready condition is True or False for this generation, with its Secret. */
export async function settledClaim(name: string, revision = 0): Promise<Claimed> {
  const { cluster } = (await lab()).operator;
  const claim = await eventually(`the claim ${name} is judged`, async () => {
    const found = await cluster.get(CertificateClaimKind, { namespace: claimNamespace(), name });
    const ready = readyOf(found?.status?.conditions);
    if ((found?.status?.revision ?? 0) < revision) return undefined;
    return ready && (ready.status === 'True' || found?.status?.failures) ? found : undefined;
  });
  const secret = await cluster.get(SecretKind, { namespace: claimNamespace(), name: claim.spec.secretName });
  const pem = Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString();
  return { claim, secret, certificate: pem === '' ? undefined : new X509Certificate(pem) };
}

/** Length of a certificate's life, seconds. */
export function lifetime(certificate: X509Certificate): number {
  return (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 1000;
}

/** Algorithm and size of a certificate's key. */
export function keyOf({ publicKey }: X509Certificate): string {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
  return `${publicKey.asymmetricKeyType} ${modulusLength ?? namedCurve ?? ''}`;
}
