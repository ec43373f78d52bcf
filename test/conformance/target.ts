// What the suite runs against: our built program, or pebble, which proves the suite. Chosen by CONFORMANCE_TARGET.
import { type AcmeWire, connect, createTransport, type Transport } from '../support/acme-wire.ts';
import { register, type Responders } from '../support/acme-flow.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { startTlsAlpnResponder } from '../support/tls-alpn-responder.ts';
import { startCountersign } from './countersign-target.ts';
import { startPebble } from './pebble-target.ts';

/** The issuers of `manifests/`, by the way in which they differ from `main`. */
export type IssuerName =
  | 'main'
  | 'alternates'
  | 'broken'
  | 'brief'
  | 'caa'
  | 'eab'
  | 'eab-once'
  | 'eab-optional'
  | 'profiles'
  | 'redirects'
  | 'suspended'
  | 'tos';

/** A server under test, as each adapter knows how to run it. */
export interface Server {
  directoryUrl(issuer: IssuerName): Promise<string>;
  /** PEM by which the server's own certificate is judged. */
  readonly trust: string;
  /** Origins where the program speaks plain HTTP on purpose. */
  readonly plainOrigins: readonly string[];
  /** PEM of the root that issued certificates lead to. */
  issuerRoot(transport: Transport): Promise<string>;
  /** DER of the CRL of an issuer. */
  crl(issuer: IssuerName, transport: Transport): Promise<Buffer>;
  /** Changes one manifest while the program runs; the caller waits for the effect. */
  edit(file: string, change: (text: string) => string): Promise<void>;
  stop(): Promise<void>;
}

export type TargetKind = 'countersign' | 'pebble';

export interface Target extends Responders, Pick<Server, 'plainOrigins' | 'edit'> {
  readonly kind: TargetKind;
  readonly transport: Transport;
  /** A client without an account. */
  connect(issuer?: IssuerName): Promise<AcmeWire>;
  /** A client with an account of its own. */
  client(issuer?: IssuerName): Promise<AcmeWire>;
  /** The client that tests of one file share where the account does not matter. */
  shared(issuer?: IssuerName): Promise<AcmeWire>;
  issuerRoot(): Promise<string>;
  crl(issuer?: IssuerName): Promise<Buffer>;
  stop(): Promise<void>;
}

/** Network addresses that the server under test must use in place of the well-known ones. */
export interface Surroundings {
  resolver: string;
  http01Port: number;
  tlsAlpn01Port: number;
}

export function targetKind(): TargetKind {
  const kind = process.env['CONFORMANCE_TARGET'] ?? 'countersign';
  if (kind !== 'countersign' && kind !== 'pebble')
    throw new Error(`CONFORMANCE_TARGET is ${kind}: countersign or pebble`);
  return kind;
}

export async function startTarget(): Promise<Target> {
  const kind = targetKind();
  const [dns, http01, tlsAlpn] = await Promise.all([startDnsServer(), startHttp01Responder(), startTlsAlpnResponder()]);
  const surroundings = { resolver: dns.address, http01Port: http01.port, tlsAlpn01Port: tlsAlpn.port };
  const server = await (kind === 'pebble' ? startPebble(surroundings) : startCountersign(surroundings));
  const transport = createTransport(server.trust);
  const shared = new Map<IssuerName, Promise<AcmeWire>>();

  const connectTo = async (issuer: IssuerName = 'main'): Promise<AcmeWire> =>
    connect(transport, await server.directoryUrl(issuer));
  const client = async (issuer?: IssuerName): Promise<AcmeWire> => {
    const acme = await connectTo(issuer);
    await register(acme);
    return acme;
  };
  return {
    kind,
    dns,
    http01,
    tlsAlpn,
    transport,
    plainOrigins: server.plainOrigins,
    edit: (file, change) => server.edit(file, change),
    connect: connectTo,
    client,
    shared: (issuer = 'main') => {
      const known = shared.get(issuer) ?? client(issuer);
      shared.set(issuer, known);
      return known;
    },
    issuerRoot: () => server.issuerRoot(transport),
    crl: (issuer = 'main') => server.crl(issuer, transport),
    stop: async () => {
      transport.close();
      await server.stop();
      await Promise.all([dns.stop(), http01.stop(), tlsAlpn.stop()]);
    },
  };
}
