// Objects that suites want again and again.

const apiVersion = 'countersign.dev/v1alpha1';

/** A ClusterCAIssuer with a CA of its own in the Secret `<name>-ca`, and a policy of the same name for it. */
export function caIssuer(name: string, dnsNames: readonly string[], issuer: object = {}): object[] {
  return [
    {
      apiVersion,
      kind: 'ClusterCAIssuer',
      metadata: { name },
      spec: {
        backend: { ca: { secretRef: { name: `${name}-ca` }, selfSigned: { commonName: `CA of ${name}` } } },
        ...issuer,
      },
    },
    {
      apiVersion,
      kind: 'CertificateRequestPolicy',
      metadata: { name },
      spec: { selector: { issuerRef: { name } }, allowed: { dnsNames: { values: dnsNames } } },
    },
  ];
}

/** Its Secret is `<name>-tls`. */
export function claim(name: string, { issuer, names }: { issuer: string; names: readonly string[] }): object {
  return {
    apiVersion,
    kind: 'CertificateClaim',
    metadata: { name },
    spec: { secretName: `${name}-tls`, issuerRef: { kind: 'ClusterCAIssuer', name: issuer }, dnsNames: names },
  };
}
