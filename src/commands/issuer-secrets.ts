// Which Secrets an issuer may use: a ClusterCAIssuer those of the operator's namespace, a CAIssuer those of its own.
import type { Issuer } from '../api/issuer.ts';
import { CaFault } from '../backends/ca/ca-fault.ts';
import { createSecretReader } from '../cluster/secret-reader.ts';
import type { Cluster, SecretReader } from '../ports.ts';

export interface IssuerSecretsDeps {
  cluster: Cluster;
  /** The operator's. */
  namespace: string;
  /** Of that namespace. */
  secrets: SecretReader;
}

/** A CAIssuer in the operator's namespace has none: else whoever may write it there could sign with the CA of any ClusterCAIssuer. */
export function createIssuerSecrets({ cluster, namespace, secrets }: IssuerSecretsDeps) {
  return ({ metadata }: Pick<Issuer, 'metadata'>): SecretReader => {
    if (metadata.namespace === undefined) return secrets;
    return metadata.namespace === namespace ? NOTHING : createSecretReader(cluster, metadata.namespace);
  };
}

const NOTHING: SecretReader = { read: refuse, create: refuse };

function refuse(): Promise<never> {
  return Promise.reject(
    new CaFault(
      'NamespaceForbidden',
      'the Secrets of the operator are not for a CAIssuer: move it to another namespace',
    ),
  );
}
