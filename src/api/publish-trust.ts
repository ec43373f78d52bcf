// Where certificates that others must trust are published: part of the spec of issuers.
import { Type } from 'typebox';
import { Closed, List, MatchLabels, Name, Text } from './kind.ts';

const additional = Type.Optional(
  Text(
    'PEM of CA certificates published beside those of the issuer, such as the root of a CA that is to take over.',
    65_536,
  ),
);

const configMapName = Name(
  'Name of the ConfigMap: ca.crt has the roots of certificates of the issuer, acme-ca.crt what signed the certificate of the ACME server.',
);

/** Of a CAIssuer: in its own namespace alone. */
export const TenantPublishTrust = Closed(
  {
    configMap: Type.Optional(Closed({ name: configMapName }, 'A ConfigMap in the namespace of the issuer.')),
    additional,
  },
  'Publish what clients must trust.',
);

export const PublishTrust = Closed(
  {
    configMap: Type.Optional(
      Closed(
        {
          name: configMapName,
          namespaceSelector: Type.Optional(
            Closed(
              {
                matchNames: Type.Optional(
                  List(Text('Name; * matches any run of characters.', 253), 'Names of the namespaces.'),
                ),
                matchLabels: Type.Optional(MatchLabels('Labels of the namespaces.')),
              },
              'Namespaces that get one; all that are served when absent.',
            ),
          ),
        },
        'A ConfigMap in each namespace selected.',
      ),
    ),
    clusterTrustBundle: Type.Optional(
      Type.Boolean({
        description:
          'Publish as ClusterTrustBundle too, where the API server has that: of signer clustercaissuers.countersign.dev/NAME the roots, of signer countersign.dev/acme what signed the certificate of the ACME server.',
      }),
    ),
    additional,
  },
  'Publish what clients must trust.',
);
