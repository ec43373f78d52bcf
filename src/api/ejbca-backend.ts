// The `ejbca` backend in the spec of an issuer.
import { type Static, Type } from 'typebox';
import { ATTRIBUTE_NAMES } from '../domain/distinguished-name.ts';
import { parseDuration } from '../domain/duration.ts';
import { Closed, Duration, Name, SecretRef, Text } from './kind.ts';
import { type PlaceRule, placeRule } from './rule.ts';
import { certificatesRule, expressionRule, mailboxRule, webhookRule } from './text-rules.ts';

const CA_NAME = 'Name of a CA in EJBCA';

export const CaBundleRef = Closed(
  {
    kind: Type.Optional(Type.Enum(['Secret', 'ConfigMap'], { description: 'Kind of the object; Secret when absent.' })),
    name: Name('Name of the object.'),
    key: Text('Key in it.', 253),
  },
  'A Secret or ConfigMap that holds CA certificates, PEM.',
);
export type CaBundleRef = Static<typeof CaBundleRef>;

export const EjbcaBackend = Closed(
  {
    protocol: Type.Optional(
      Type.Enum(['SOAP', 'REST'], {
        description:
          'Interface of EJBCA that is asked: its Web Service, or REST, which cannot be searched and takes subject and names from the CSR. SOAP when absent.',
      }),
    ),
    url: Text(
      'https URL of that interface, such as https://ejbca.test:8443/ejbca/ejbcaws/ejbcaws or, of REST, https://ejbca.test:8443/ejbca/ejbca-rest-api.',
      2048,
    ),
    clientCertificateRef: SecretRef,
    trustAnchors: Text('CA certificates, PEM. Every certificate EJBCA issues must chain to one of them.', 65_536),
    caBundle: Type.Optional(
      Text(
        'Certificates that the server certificate must chain to, PEM, or a self-signed one that it must be; those that Node.js trusts when absent.',
        65_536,
      ),
    ),
    caBundleRef: Type.Optional(CaBundleRef),
    endEntityProfile: Text('Name of the end entity profile.', 256),
    certificateProfile: Text('Name of the certificate profile.', 256),
    caName: Type.Optional(Text(`${CA_NAME}, for keys that caNameByKey does not name.`, 256)),
    caNameByKey: Type.Optional(
      Closed(
        {
          RSA: Type.Optional(Text(`${CA_NAME}, for RSA keys.`, 256)),
          ECDSA: Type.Optional(Text(`${CA_NAME}, for ECDSA keys.`, 256)),
          Ed25519: Type.Optional(Text(`${CA_NAME}, for Ed25519 keys.`, 256)),
        },
        'CAs by the algorithm of the key in the CSR. Without these and caName, keys of an algorithm are refused.',
      ),
    ),
    username: Type.Optional(
      Text(
        'Name of the end entity: attributes of the subject such as {CN}, {hash} (of CA and subject), {random} (new for each order). countersign-{hash} when absent.',
        200,
      ),
    ),
    password: Type.Optional(
      Text('Enrollment code of the end entity: attributes of the subject, {random}. {random} when absent.', 200),
    ),
    email: Type.Optional(Text('E-mail address of the end entity.', 254)),
    notify: Type.Optional(
      Type.Boolean({ description: 'Have EJBCA send its notifications to that address. False when absent.' }),
    ),
    overrideValidity: Type.Optional(
      Type.Boolean({
        description:
          'Tell EJBCA when validity begins and ends, which certificate profile and end entity profile must allow. When absent, the certificate profile decides, orders that name notBefore or notAfter are refused, and a certificate longer than approved is not released.',
      }),
    ),
    timeout: Type.Optional(Duration('Longest time for one answer, at most 10m; 30s when absent.')),
    concurrency: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: 'Requests under way at a time, never two of one user name; 4 when absent.',
      }),
    ),
  },
  'Have requests signed by EJBCA over its Web Service or its REST interface (docs/backends/ejbca.md). Its Secrets and ConfigMaps are in the namespace of the operator.',
);
export type EjbcaBackendSpec = Static<typeof EjbcaBackend>;

const AT = 'spec.backend.ejbca';

/** What may stand in braces in a template of names, beside `extra`. */
function templateRule(at: string, extra: readonly string[]): PlaceRule {
  const words = [...ATTRIBUTE_NAMES, ...extra];
  return expressionRule(
    at,
    new RegExp(`^([^{}]|\\{(${words.join('|')})\\})+$`),
    `must be text with {CN} or another attribute of the subject, ${extra.map((word) => `{${word}}`).join(', ')}`,
  );
}

export const EJBCA_RULES: readonly PlaceRule[] = [
  webhookRule(`${AT}.url`),
  certificatesRule(`${AT}.trustAnchors`),
  certificatesRule(`${AT}.caBundle`),
  placeRule<EjbcaBackendSpec>({
    at: AT,
    cel: '!has(self.caBundle) || !has(self.caBundleRef)',
    message: 'caBundle and caBundleRef do not go together',
    holds: (self) => self.caBundle === undefined || self.caBundleRef === undefined,
  }),
  placeRule<EjbcaBackendSpec>({
    at: AT,
    cel: 'has(self.caName) || has(self.caNameByKey)',
    message: 'has caName, caNameByKey or both',
    holds: (self) => self.caName !== undefined || self.caNameByKey !== undefined,
  }),
  mailboxRule(`${AT}.email`),
  placeRule<EjbcaBackendSpec>({
    at: AT,
    cel: '!has(self.notify) || !self.notify || has(self.email)',
    message: 'notify needs an email',
    holds: (self) => self.notify !== true || self.email !== undefined,
  }),
  placeRule<EjbcaBackendSpec>({
    at: AT,
    cel: "!has(self.protocol) || self.protocol != 'REST' || ((!has(self.notify) || !self.notify) && (!has(self.overrideValidity) || !self.overrideValidity))",
    message: 'notify and overrideValidity need the protocol SOAP',
    holds: (self) => self.protocol !== 'REST' || (self.notify !== true && self.overrideValidity !== true),
  }),
  placeRule<NonNullable<EjbcaBackendSpec['caNameByKey']>>({
    at: `${AT}.caNameByKey`,
    cel: 'has(self.RSA) || has(self.ECDSA) || has(self.Ed25519)',
    message: 'names a CA for one algorithm at least',
    holds: (self) => Object.keys(self).length > 0,
  }),
  templateRule(`${AT}.username`, ['hash', 'random']),
  templateRule(`${AT}.password`, ['random']),
  placeRule<string>({
    at: `${AT}.timeout`,
    cel: "duration(self) > duration('0s') && duration(self) <= duration('10m')",
    message: 'must be longer than zero and at most 10m',
    holds: (self) => parseDuration(self) > 0 && parseDuration(self) <= 600_000,
  }),
];
