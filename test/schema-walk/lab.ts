// One running program for the schema walk: each outcome asks an issuer of its own, and reads what a client or kubectl would see.
import { randomBytes, X509Certificate } from 'node:crypto';
import { type CAIssuerSpec, type ClusterCAIssuer, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import {
  type CertificateClaim,
  CertificateClaimKind,
  type CertificateClaimSpec,
} from '../../src/api/certificate-claim.ts';
import { type Secret, SecretKind } from '../../src/api/core.ts';
import type { Condition } from '../../src/api/kind.ts';
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

const running: { lab?: Promise<Lab> } = {};

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
export async function anIssuer(spec: CAIssuerSpec): Promise<ClusterCAIssuer> {
  const { cluster } = (await lab()).operator;
  const name = uniqueName('issuer');
  await cluster.create(ClusterCAIssuerKind, { metadata: { name }, spec });
  return eventually(`the issuer ${name} is judged`, async () => {
    const issuer = await cluster.get(ClusterCAIssuerKind, { name });
    const status = readyOf(issuer?.status?.conditions)?.status;
    return status === 'True' || status === 'False' ? issuer : undefined;
  });
}

/** A client of the issuer's directory, without an account. */
export async function clientOf({ metadata }: Pick<ClusterCAIssuer, 'metadata'>): Promise<AcmeWire> {
  return clientAt(metadata.name);
}

async function clientAt(issuer: string): Promise<AcmeWire> {
  const { operator, transport } = await lab();
  return connect(transport, `${operator.origin}/acme/${issuer}/directory`);
}

export async function registeredAt(issuer: string): Promise<AcmeWire> {
  const acme = await clientAt(issuer);
  await register(acme);
  return acme;
}

export async function registered(spec: CAIssuerSpec): Promise<AcmeWire> {
  return registeredAt((await anIssuer(spec)).metadata.name);
}

export async function aSecret(name: string, stringData: Record<string, string>): Promise<void> {
  const { cluster } = (await lab()).operator;
  await cluster.apply(SecretKind, { metadata: { namespace: NAMESPACE, name }, stringData }, { fieldManager: 'test' });
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
  await cluster.create(CertificateClaimKind, { metadata: { namespace: 'default', name }, spec });
  return settledClaim(name);
}

/** The claim once its Ready condition is True or False for this generation, with its Secret. */
export async function settledClaim(name: string, revision = 0): Promise<Claimed> {
  const { cluster } = (await lab()).operator;
  const claim = await eventually(`the claim ${name} is judged`, async () => {
    const found = await cluster.get(CertificateClaimKind, { namespace: 'default', name });
    const ready = readyOf(found?.status?.conditions);
    if ((found?.status?.revision ?? 0) < revision) return undefined;
    return ready && (ready.status === 'True' || found?.status?.failures) ? found : undefined;
  });
  const secret = await cluster.get(SecretKind, { namespace: 'default', name: claim.spec.secretName });
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
