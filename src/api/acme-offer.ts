// How an issuer is offered over ACME: part of the spec of a ClusterCAIssuer, and of a CAIssuer.
import { Type } from 'typebox';
import { Closed, Duration, KeyedList, List, MatchLabels, Name, SecretKeyRef, SetOf, Text } from './kind.ts';

export const ChallengeType = Type.Enum(['http-01', 'dns-01', 'tls-alpn-01'], {
  description: 'An ACME challenge type.',
});

const KeyID = Type.String({
  pattern: '^[A-Za-z0-9._-]+$',
  maxLength: 128,
  minLength: 1,
  description: 'Key identifier given to the client.',
});

const BINDING = {
  mode: Type.Enum(['Optional', 'Required'], { description: 'Whether newAccount must carry a binding.' }),
  reuse: Type.Optional(
    Type.Enum(['Always', 'Never'], { description: 'Whether one key may bind several accounts; Always when absent.' }),
  ),
};
const BINDING_TITLE = 'External account binding, RFC 8555 section 7.3.4.';
const KEYS_TITLE = 'MAC keys, each base64url text of at least 32 bytes in a Secret beside that of the CA.';

/** Of a CAIssuer: a tenant does not say for which namespace a key speaks. */
export const TenantExternalAccountBinding = Closed(
  {
    ...BINDING,
    keys: Type.Optional(KeyedList(Closed({ keyID: KeyID, secretRef: SecretKeyRef }), 'keyID', KEYS_TITLE, 256)),
  },
  BINDING_TITLE,
);

const ExternalAccountBinding = Closed(
  {
    ...BINDING,
    keys: Type.Optional(
      KeyedList(
        Closed({
          keyID: KeyID,
          secretRef: SecretKeyRef,
          scope: Type.Optional(
            Type.Enum(['Namespace', 'ByOrder'], {
              description:
                'For whom accounts bound with this key ask: for the one namespace named below, or for the namespace in which cert-manager keeps the order at hand; for no namespace when absent.',
            }),
          ),
          namespace: Type.Optional(
            Text(
              'The namespace, of scope Namespace; the only one whose orders count, of scope ByOrder, where any does when absent.',
              63,
            ),
          ),
        }),
        'keyID',
        KEYS_TITLE,
        256,
      ),
    ),
    mint: Type.Optional(
      Closed(
        {
          namespaceSelector: Closed(
            {
              matchNames: Type.Optional(
                List(Text('Name; * matches any run of characters.', 253), 'Names of the namespaces.'),
              ),
              matchLabels: Type.Optional(MatchLabels('Labels of the namespaces.')),
            },
            'Namespaces that get a key.',
          ),
          secretName: Name(
            'Name of the Secret made in each of them; what it holds is explained in docs/attribution.md.',
          ),
          rotateAfter: Type.Optional(
            Duration('A new key is made so often, and the one before is taken as long again; 720h when absent.'),
          ),
        },
        'Keys that the operator makes, one for each namespace, which speak for that namespace. The key identifier is ns. and the name of the namespace.',
      ),
    ),
  },
  BINDING_TITLE,
);

const Proof = Closed(
  {
    certManagerOrders: Type.Optional(
      Type.Boolean({
        description:
          'Take the namespace in which cert-manager keeps an Order as that of the requester, for the account of each ClusterIssuer and Issuer of cert-manager.',
      }),
    ),
    ingressClasses: Type.Optional(
      List(
        Text('Name of an IngressClass.', 253),
        'Hosts in rules of Ingresses of these classes need no challenge where the Ingress is of the namespace of the requester and no other namespace has such a host. Not where the operator serves listed namespaces only.',
        64,
      ),
    ),
    gateways: Type.Optional(
      List(
        Text('NAMESPACE/NAME of a Gateway.', 317),
        'The same of host names of HTTPRoutes that one of these Gateways has accepted.',
        64,
      ),
    ),
    podAddress: Type.Optional(
      Closed(
        {
          enabled: Type.Boolean({
            description:
              'Take the namespace and the ServiceAccount of the one running Pod with the address of the client as those of the requester. Only where Pods reach the operator with their own addresses, and none can send from that of another.',
          }),
          relayNamespaces: Type.Optional(
            List(
              Text('Name of a namespace.', 63),
              'Namespaces whose Pods ask for others, such as ingress controllers, and so for none; cert-manager, ingress-nginx and kube-system when absent.',
              64,
            ),
          ),
        },
        'Pods known by their addresses.',
      ),
    ),
    services: Type.Optional(
      Type.Boolean({
        description:
          'Names under SERVICE.NAMESPACE.svc need no challenge where the requester is of that namespace and it has that Service.',
      }),
    ),
  },
  'What speaks for a requester besides challenges. It never replaces a policy.',
);

export const Acme = Closed(
  {
    challenges: Type.Optional(SetOf(ChallengeType, 'Challenge types offered; all three when absent.', 3)),
    termsOfService: Type.Optional(Text('URL of the terms that newAccount must agree to.', 2048)),
    website: Type.Optional(Text('URL shown in the directory.', 2048)),
    caa: Type.Optional(
      Closed(
        {
          identities: List(
            Text('Domain name that CAA records name.', 253),
            'Names by which CAA records permit this CA.',
            16,
          ),
          enforce: Type.Optional(
            Type.Boolean({
              description:
                'Check CAA records (RFC 8659, RFC 8657) before an authorization is valid and before signing.',
            }),
          ),
        },
        'Certification Authority Authorization.',
      ),
    ),
    externalAccountBinding: Type.Optional(ExternalAccountBinding),
    proof: Type.Optional(Proof),
    validation: Type.Optional(
      Closed(
        {
          nameservers: Type.Optional(
            List(Text('Address or address:port.', 64), 'DNS servers asked; the system resolver when absent.', 8),
          ),
          redirects: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 10,
              description: 'HTTP redirects followed by http-01; 0 when absent.',
            }),
          ),
        },
        'How challenges are validated.',
      ),
    ),
    orderDuration: Type.Optional(Duration('Life of an order; 24h when absent.')),
    authorizationDuration: Type.Optional(
      Duration('How long a valid authorization serves later orders; 24h when absent.'),
    ),
    finalizeTimeout: Type.Optional(
      Duration('How long finalize waits for the certificate before it answers processing; 10s when absent.'),
    ),
  },
  'How the issuer is offered over ACME.',
);
