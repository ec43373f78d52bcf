// Which issuer: how the two kinds are referred to, shown, found and put into paths.
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import type { Issuer } from '../api/issuer.ts';
import type { IssuedCertificateSpec } from '../api/issued-certificate.ts';
import type { IssuerRef } from '../api/kind.ts';

/** A CAIssuer of the namespace; without one, a ClusterCAIssuer. */
export interface IssuerName {
  namespace?: string;
  name: string;
}

/** What a reference means in an object of the namespace: a CAIssuer is always one of that namespace. */
export function referredIssuer({ kind, name }: IssuerRef, namespace: string): IssuerName {
  return kind === 'CAIssuer' ? { namespace, name } : { name };
}

/** The issuer as records name it. */
export function issuerRef({
  metadata: { namespace, name },
}: Pick<Issuer, 'metadata'>): IssuedCertificateSpec['issuerRef'] {
  return namespace === undefined ? { kind: 'ClusterCAIssuer', name } : { kind: 'CAIssuer', namespace, name };
}

/** One text an issuer; names hold no slash. */
export function issuerKey({ namespace = '', name }: IssuerName): string {
  return `${namespace}/${name}`;
}

/** For people: `ClusterCAIssuer corporate`, `CAIssuer team-a/web`. */
export function issuerTitle({ namespace, name }: IssuerName): string {
  return namespace === undefined ? `ClusterCAIssuer ${name}` : `CAIssuer ${namespace}/${name}`;
}

/** As people name one: `corporate`, `team-a/web`. */
export function parseIssuerName(text: string): IssuerName {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** What stands before `/acme/<name>`, `/crl/<name>.crl` and `/ca/<name>.cer` in the paths of the issuer. */
export function issuerPath({ namespace }: IssuerName): string {
  return namespace === undefined ? '' : `/ns/${namespace}`;
}

/** For lines of the audit log and of the log. */
export function issuerFields({ metadata: { namespace, name } }: { metadata: IssuerName }): {
  issuer: string;
  issuerNamespace?: string;
} {
  return { issuer: name, ...(namespace === undefined ? {} : { issuerNamespace: namespace }) };
}

/** For metrics. */
export function issuerLabels({ metadata: { namespace = '', name } }: { metadata: IssuerName }) {
  return { issuer: name, issuer_namespace: namespace };
}

/** The issuer where the platform team wrote it: what this has and a CAIssuer has not is never read from a tenant. */
export function clusterIssuer(issuer: Issuer): ClusterCAIssuer | undefined {
  return issuer.metadata.namespace === undefined ? issuer : undefined;
}
