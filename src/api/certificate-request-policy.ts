// CertificateRequestPolicy: who may have which names.
import { type Static, Type } from 'typebox';
import { POLICY_RULES, policyRules } from './certificate-request-policy-rules.ts';
import {
  Cidr,
  Closed,
  Conditions,
  Duration,
  GROUP,
  type Kind,
  type KubeObject,
  List,
  MatchLabels,
  SetOf,
  Text,
  Usage,
  VERSION,
} from './kind.ts';

export const Door = Type.Enum(['ACME', 'CertificateClaim'], { description: 'A way in which requests arrive.' });
export type Door = Static<typeof Door>;

const Pattern = Text(
  'Pattern over whole labels (DNS names, domains of e-mail addresses) or path segments (URIs): * is any one, ** one or more (once in a pattern), {{namespace}} the namespace of the requester, which matches nothing where it is not known.',
  253,
);

const Cidrs = Closed({
  cidrs: Type.Optional(List(Cidr, 'Networks inside which an address must lie.')),
  except: Type.Optional(List(Cidr, 'Networks inside which an address must not lie; wins over cidrs.')),
});

const Selector = Closed(
  {
    issuerRef: Type.Optional(
      Closed(
        {
          kind: Type.Optional(
            Type.Enum(['ClusterCAIssuer', 'CAIssuer'], {
              description: 'Kind of the issuer; ClusterCAIssuer when absent.',
            }),
          ),
          namespace: Type.Optional(
            Text('Namespace of a CAIssuer, where * matches any run of characters; any when absent.', 63),
          ),
          name: Type.Optional(Text('Name of the issuer; * matches any run of characters.', 253)),
        },
        'The issuer asked. CAIssuers are written by tenants, so no policy is for them unless it names their kind; every ClusterCAIssuer when absent.',
      ),
    ),
    doors: Type.Optional(SetOf(Door, 'Doors through which the request came.', 8)),
    namespace: Type.Optional(
      Closed({
        matchNames: Type.Optional(
          List(Text('Name; * matches any run of characters.', 253), 'Namespaces of the requester.'),
        ),
        matchLabels: Type.Optional(MatchLabels('Labels of that namespace.')),
      }),
    ),
    serviceAccounts: Type.Optional(
      List(
        Text('NAMESPACE/NAME of a ServiceAccount; * matches any run of characters.', 317),
        'ServiceAccounts of the Pods that ask, where issuers know Pods by their addresses.',
      ),
    ),
    accounts: Type.Optional(List(Text('Name of an Account (the last part of its URL).', 253), 'ACME accounts.')),
    eabKeyIDs: Type.Optional(
      List(
        Text('Key identifier; * matches any run of characters.', 128),
        'External account binding keys of the account.',
      ),
    ),
    publicKeys: Type.Optional(List(Text('SHA-256 of the SubjectPublicKeyInfo, hex.', 64), 'Keys to be certified.')),
    sources: Type.Optional(Cidrs),
  },
  'Which requests the policy judges. An absent member matches all, but issuerRef, which must name the kind CAIssuer to match one; what is not known matches nothing.',
);

const Names = (what: string) =>
  Closed({
    values: List(Pattern, `Patterns of allowed ${what}.`),
    except: Type.Optional(List(Pattern, `Patterns of refused ${what}; wins over values.`)),
  });

const Attribute = (what: string) =>
  Type.Optional(
    Closed({
      values: List(Text('Value; * matches any run of characters.', 256), `Allowed ${what}.`),
      required: Type.Optional(Type.Boolean({ description: `Whether the subject must have ${what}.` })),
    }),
  );

const Allowed = Closed(
  {
    commonName: Type.Optional(
      Closed({
        value: Text(
          'Pattern of the common name, which is judged by it even where it repeats a DNS name. Without this member the common name, if there is one, must repeat one of the names.',
          253,
        ),
        required: Type.Optional(Type.Boolean({ description: 'Whether there must be one.' })),
      }),
    ),
    dnsNames: Type.Optional(
      Closed({
        values: List(Pattern, 'Patterns of allowed DNS names.'),
        except: Type.Optional(List(Pattern, 'Patterns of refused DNS names; wins over values.')),
        wildcards: Type.Optional(
          Type.Boolean({
            description:
              'Allow wildcard certificates; false when absent. *.x is then allowed where every name directly under x is: a value has * or ** in the place of the wildcard (*.x or **.x, never www.x), and no exception matches any such name.',
          }),
        ),
      }),
    ),
    ipAddresses: Type.Optional(Cidrs),
    uris: Type.Optional(Names('URIs')),
    emailAddresses: Type.Optional(Names('e-mail addresses')),
    subject: Type.Optional(
      Closed({
        organizations: Attribute('organizations'),
        organizationalUnits: Attribute('organizational units'),
        countries: Attribute('countries'),
        provinces: Attribute('provinces'),
        localities: Attribute('localities'),
      }),
    ),
    usages: Type.Optional(SetOf(Usage, 'Extended key usages; server auth when absent.', 2)),
    profiles: Type.Optional(List(Text('Name of a profile.', 63), 'Profiles; all when absent.', 32)),
    maxNames: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'Most names in one certificate; 100 when absent.' }),
    ),
    validations: Type.Optional(
      List(
        Closed({
          rule: Text(
            'CEL that must be true for each name. Variables: self (the name), names (all of them), door, account, and __namespace__ (namespace is a reserved word of CEL). Offered: comparison, in, + and -, logic, ?:, size, startsWith, endsWith, contains, indexOf, lastIndexOf, substring, split, all, exists, exists_one, filter.',
            1024,
          ),
          message: Type.Optional(Text('Said when the rule is false.', 256)),
        }),
        'Rules in CEL, bound in cost.',
        16,
      ),
    ),
  },
  'A ceiling: what is not listed is denied.',
);

const KeyRule = Closed({
  algorithm: Type.Enum(['RSA', 'ECDSA', 'Ed25519'], { description: 'Key algorithm.' }),
  sizes: Type.Optional(List(Type.Integer({ minimum: 256, maximum: 8192 }), 'Sizes allowed, bits.', 8)),
  minSize: Type.Optional(Type.Integer({ minimum: 256, maximum: 8192, description: 'Smallest size, bits.' })),
});

const Constraints = Closed(
  {
    servers: Type.Optional(
      Closed(
        {
          cidrs: Type.Optional(List(Cidr, 'Networks inside which every address of a name must lie.')),
          except: Type.Optional(List(Cidr, 'Networks inside which no address of a name may lie; wins over cidrs.')),
          verifyPTR: Type.Optional(
            Type.Boolean({ description: 'Each address must have a PTR record that names the host.' }),
          ),
          unresolvable: Type.Optional(
            Type.Enum(['Allow', 'Deny'], {
              description: 'What of a name without addresses (dns-01); Deny when absent.',
            }),
          ),
        },
        'Where the names must live: judged at validation and at finalize, for every challenge type and every address.',
      ),
    ),
    maxDuration: Type.Optional(
      Duration('Longest lifetime; defaults are clamped to it, explicit longer requests refused over ACME.'),
    ),
    privateKey: Type.Optional(
      List(KeyRule, 'Keys allowed; RSA of at least 2048 bits, P-256, P-384, P-521 and Ed25519 when absent.', 8),
    ),
    forbidKeyReuse: Type.Optional(
      Type.Boolean({ description: 'Refuse a key that another live certificate of this issuer holds.' }),
    ),
  },
  'Limits: what is absent is not limited.',
);

const Spec = Closed({
  priority: Type.Optional(
    Type.Integer({
      minimum: -10_000,
      maximum: 10_000,
      description: 'Higher is tried first, then by name; 0 when absent.',
    }),
  ),
  selector: Selector,
  allowed: Allowed,
  constraints: Type.Optional(Constraints),
  proof: Type.Optional(
    Type.Enum(['Challenge', 'Namespace'], {
      description:
        'What it takes besides for an ACME order: that each name is validated (or proven by an object of the cluster), or that the namespace of the requester is known and no more; Challenge when absent.',
    }),
  ),
  audit: Type.Optional(Type.Boolean({ description: 'Report the verdict only: the policy neither allows nor denies.' })),
});

const Schema = Closed({ spec: Spec, status: Type.Optional(Closed({ conditions: Type.Optional(Conditions) })) });
export type PolicySpec = Static<typeof Spec>;
export type CertificateRequestPolicy = KubeObject & Static<typeof Schema>;

export const CertificateRequestPolicyKind: Kind<CertificateRequestPolicy> = {
  group: GROUP,
  version: VERSION,
  kind: 'CertificateRequestPolicy',
  plural: 'certificaterequestpolicies',
  singular: 'certificaterequestpolicy',
  shortNames: ['cspol'],
  namespaced: false,
  statusSubresource: true,
  schema: Schema,
  columns: [
    { name: 'Ready', jsonPath: '.status.conditions[?(@.type=="Ready")].status', type: 'string' },
    { name: 'Priority', jsonPath: '.spec.priority', type: 'integer' },
    { name: 'Audit', jsonPath: '.spec.audit', type: 'boolean' },
    { name: 'Status', jsonPath: '.status.conditions[?(@.type=="Ready")].message', type: 'string', wide: true },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description:
    'Who may have which names. One passing policy allows a request; without one it is denied with every reason.',
  rules: policyRules,
  cel: POLICY_RULES,
};
