// The `webhook` backend in the spec of an issuer.
import { type Static, Type } from 'typebox';
import { Closed, Duration, SecretKeyRef, SecretRef, Text } from './kind.ts';

export const SharedKey = Closed(
  {
    keyID: Type.Optional(Text('Sent along, for servers that know several keys.', 128)),
    secretRef: SecretKeyRef,
  },
  'Requests are signed by HMAC-SHA-256 with a shared key of at least 32 bytes.',
);
export type SharedKeySpec = Static<typeof SharedKey>;

export const WebhookBackend = Closed(
  {
    url: Text('https URL that signing requests are posted to.', 2048),
    trustAnchors: Text(
      'CA certificates, PEM. Every certificate the webhook answers must chain to one of them.',
      65_536,
    ),
    caBundle: Type.Optional(
      Text(
        'CA certificates that the server certificate must chain to, PEM; those that Node.js trusts when absent.',
        65_536,
      ),
    ),
    caBundleRef: Type.Optional(SecretKeyRef),
    authentication: Closed(
      {
        clientCertificateRef: Type.Optional(SecretRef),
        hmac: Type.Optional(SharedKey),
      },
      'How the webhook knows us: a TLS client certificate (tls.crt and tls.key of a Secret) or a shared key. Exactly one.',
    ),
    timeout: Type.Optional(Duration('Longest time for one answer, at most 10m; 30s when absent.')),
    concurrency: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, description: 'Requests under way at a time; 4 when absent.' }),
    ),
  },
  'Have requests signed by an HTTPS service of your own (docs/write-your-own-backend.md). Its Secrets are in the namespace of the operator, those of a CAIssuer in its own.',
);
export type WebhookBackendSpec = Static<typeof WebhookBackend>;
