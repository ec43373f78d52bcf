// Policies and issuers made ready to judge: parsed once per generation of the object, so that judging parses nothing.
import { type Issuer, issuerKind } from '../../api/issuer.ts';
import { CertificateRequestPolicyKind } from '../../api/certificate-request-policy.ts';
import type { CertificateRequestPolicy, Door, PolicySpec } from '../../api/certificate-request-policy.ts';
import type { Usage } from '../../api/kind.ts';
import { specFault } from '../../api/validate.ts';
import type { Network } from '../address.ts';
import type { KeyAlgorithm } from '../certificate-model.ts';
import { parseDuration } from '../duration.ts';
import { quote } from '../identifier.ts';
import { clusterIssuer } from '../issuer.ts';
import { OID } from '../oid.ts';
import type { CompiledExpression, CompileExpression } from './expression.ts';
import { type Glob, parseGlob } from './glob.ts';
import { type NetworkRange, parseCidr } from './network-range.ts';
import { type NamePattern, NAMESPACE_PLACEHOLDER, parsePattern, type Syntax } from './pattern.ts';

export interface NameRule {
  values: readonly NamePattern[];
  except: readonly NamePattern[];
  /** Some of the values, for messages. */
  shown: string;
}

interface AttributeRule {
  values: readonly Glob[];
  required: boolean;
}

export interface KeyRule {
  algorithm: KeyAlgorithm;
  sizes: readonly number[] | undefined;
  minSize: number;
}

export interface PreparedSelector {
  issuerKind: string;
  issuerNamespace: Glob | undefined;
  issuerName: Glob | undefined;
  doors: readonly Door[] | undefined;
  namespace: { names: readonly Glob[] | undefined; labels: readonly (readonly [string, string])[] } | undefined;
  serviceAccounts: readonly Glob[] | undefined;
  accounts: ReadonlySet<string> | undefined;
  eabKeyIDs: readonly Glob[] | undefined;
  /** Lower-case hex. */
  publicKeys: ReadonlySet<string> | undefined;
  sources: NetworkRange | undefined;
}

export interface ServerRule {
  range: NetworkRange;
  verifyPTR: boolean;
  allowUnresolvable: boolean;
}

export interface ReadyPolicy {
  name: string;
  priority: number;
  audit: boolean;
  /** Whether the namespace of the requester stands in for challenges. */
  trustsNamespace: boolean;
  broken: undefined;
  selector: PreparedSelector;
  commonName: { pattern: NamePattern; required: boolean } | undefined;
  dnsNames: (NameRule & { wildcards: boolean }) | undefined;
  ipAddresses: NetworkRange | undefined;
  uris: NameRule | undefined;
  emailAddresses: NameRule | undefined;
  /** By object identifier. */
  subject: ReadonlyMap<string, AttributeRule>;
  usages: readonly Usage[];
  profiles: readonly string[] | undefined;
  maxNames: number;
  expressions: readonly { expression: CompiledExpression; message: string }[];
  servers: ServerRule | undefined;
  maxDurationMs: number | undefined;
  privateKey: readonly KeyRule[] | undefined;
  forbidKeyReuse: boolean;
}

/** A policy that cannot be used; it is skipped and named. */
interface BrokenPolicy {
  name: string;
  /** Sentence for the object's Ready condition: the field and what is wrong with it. */
  broken: string;
}

export type PreparedPolicy = ReadyPolicy | BrokenPolicy;

/** Most names in one certificate, whatever policies say. */
export const MAX_NAMES = 100;

/** Attributes of `allowed.subject` by object identifier, X.520. */
export const SUBJECT_OIDS = {
  organizations: OID.organizationName,
  organizationalUnits: OID.organizationalUnitName,
  countries: OID.countryName,
  provinces: OID.stateOrProvinceName,
  localities: OID.localityName,
} as const;

class Broken extends Error {}

/** Cheap enough to run on every change of the object. Never throws. */
export function prepare(policy: CertificateRequestPolicy, compile: CompileExpression): PreparedPolicy {
  const { name } = policy.metadata;
  try {
    const ready = prepareSpec(policy.spec, compile);
    const broken = specFault(CertificateRequestPolicyKind, policy);
    return broken === undefined ? { name, ...ready } : { name, broken };
  } catch (error) {
    if (error instanceof Broken) return { name, broken: error.message };
    throw error;
  }
}

function prepareSpec(spec: PolicySpec, compile: CompileExpression): Omit<ReadyPolicy, 'name'> {
  return {
    priority: spec.priority ?? 0,
    audit: spec.audit ?? false,
    trustsNamespace: spec.proof === 'Namespace',
    broken: undefined,
    selector: prepareSelector(spec.selector),
    ...prepareNames(spec.allowed),
    ...prepareCeiling(spec.allowed, compile),
    ...prepareConstraints(spec.constraints ?? {}),
  };
}

function prepareNames(allowed: PolicySpec['allowed']) {
  const { commonName, dnsNames, ipAddresses, uris, emailAddresses } = allowed;
  return {
    commonName: commonName && {
      pattern: pattern(commonName.value, 'dns', 'spec.allowed.commonName.value'),
      required: commonName.required ?? false,
    },
    dnsNames: dnsNames && {
      ...nameRule(dnsNames, 'dns', 'spec.allowed.dnsNames'),
      wildcards: dnsNames.wildcards ?? false,
    },
    // A ceiling: without cidrs nothing is allowed.
    ipAddresses: ipAddresses && range({ cidrs: [], ...ipAddresses }, 'spec.allowed.ipAddresses'),
    uris: uris && nameRule(uris, 'uri', 'spec.allowed.uris'),
    emailAddresses: emailAddresses && nameRule(emailAddresses, 'email', 'spec.allowed.emailAddresses'),
  };
}

function prepareCeiling(allowed: PolicySpec['allowed'], compile: CompileExpression) {
  return {
    subject: prepareSubject(allowed.subject ?? {}),
    usages: allowed.usages ?? (['server auth'] as const),
    profiles: allowed.profiles,
    maxNames: Math.min(allowed.maxNames ?? MAX_NAMES, MAX_NAMES),
    expressions: (allowed.validations ?? []).map(({ rule, message }, i) => {
      const compiled = compile(rule);
      if (!compiled.ok) throw new Broken(`spec.allowed.validations[${i}].rule ${compiled.reason}`);
      const said = message ?? `the rule ${quote(rule)} is not true`;
      return { expression: compiled.expression, message: said.replace(/\p{Cc}/gu, ' ') };
    }),
  };
}

function prepareConstraints({
  servers,
  maxDuration,
  privateKey,
  forbidKeyReuse,
}: NonNullable<PolicySpec['constraints']>) {
  return {
    servers: servers && {
      range: range(servers, 'spec.constraints.servers'),
      verifyPTR: servers.verifyPTR ?? false,
      allowUnresolvable: servers.unresolvable === 'Allow',
    },
    maxDurationMs: duration(maxDuration, 'spec.constraints.maxDuration'),
    privateKey: privateKey?.map(({ algorithm, sizes, minSize }) => ({ algorithm, sizes, minSize: minSize ?? 0 })),
    forbidKeyReuse: forbidKeyReuse ?? false,
  };
}

function prepareSelector(selector: PolicySpec['selector']): PreparedSelector {
  const { issuerRef, namespace, sources } = selector;
  return {
    // What a tenant writes is not meant by policies that do not say so, `selector: {}` among them.
    issuerKind: issuerRef?.kind ?? 'ClusterCAIssuer',
    issuerNamespace: issuerRef?.namespace === undefined ? undefined : parseGlob(issuerRef.namespace),
    issuerName: issuerRef?.name === undefined ? undefined : parseGlob(issuerRef.name),
    doors: selector.doors,
    namespace: namespace && {
      names: namespace.matchNames?.map(parseGlob),
      labels: Object.entries(namespace.matchLabels ?? {}),
    },
    serviceAccounts: selector.serviceAccounts?.map(parseGlob),
    accounts: selector.accounts && new Set(selector.accounts),
    eabKeyIDs: selector.eabKeyIDs?.map(parseGlob),
    publicKeys: selector.publicKeys && new Set(selector.publicKeys.map((hex) => hex.toLowerCase())),
    sources: sources && range(sources, 'spec.selector.sources'),
  };
}

function prepareSubject(subject: NonNullable<PolicySpec['allowed']['subject']>): Map<string, AttributeRule> {
  const rules = new Map<string, AttributeRule>();
  for (const [field, oid] of Object.entries(SUBJECT_OIDS)) {
    const attribute = subject[field as keyof typeof SUBJECT_OIDS];
    if (attribute) rules.set(oid, { values: attribute.values.map(parseGlob), required: attribute.required ?? false });
  }
  return rules;
}

function nameRule(names: { values: string[]; except?: string[] }, syntax: Syntax, path: string): NameRule {
  return {
    values: names.values.map((value, i) => pattern(value, syntax, `${path}.values[${i}]`)),
    except: (names.except ?? []).map((value, i) => pattern(value, syntax, `${path}.except[${i}]`)),
    shown: names.values.slice(0, 3).map(quote).join(', ') + (names.values.length > 3 ? ', …' : ''),
  };
}

function pattern(source: string, syntax: Syntax, path: string): NamePattern {
  const parsed = parsePattern(source, syntax);
  if ('error' in parsed) throw new Broken(`${path} ${parsed.error}`);
  return parsed;
}

function range(networks: { cidrs?: string[]; except?: string[] }, path: string): NetworkRange {
  return {
    cidrs: networks.cidrs?.map((text, i) => cidr(text, `${path}.cidrs[${i}]`)),
    except: (networks.except ?? []).map((text, i) => cidr(text, `${path}.except[${i}]`)),
  };
}

function cidr(text: string, path: string): Network {
  const network = parseCidr(text);
  if ('error' in network) throw new Broken(`${path} ${network.error}`);
  return network;
}

function duration(text: string | undefined, path: string): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseDuration(text);
  } catch {
    throw new Broken(`${path} is not a duration`);
  }
}

/** The part of an issuer that judges requests. */
export interface PreparedIssuer {
  kind: string;
  /** Of a CAIssuer. */
  namespace: string | undefined;
  name: string;
  /** What is wrong with it. Then what it denies is not known, and it must not issue. */
  broken: string | undefined;
  deny: { dnsNames: readonly NamePattern[]; networks: readonly Network[] };
  /** Labels a namespace must have; undefined: any requester. */
  allowedNamespaces: readonly (readonly [string, string])[] | undefined;
  profiles: ReadonlyMap<string, { maxDurationMs: number | undefined }>;
  defaultProfile: string | undefined;
}

/** As `prepare`. */
export function prepareIssuer(issuer: Issuer): PreparedIssuer {
  const { metadata, spec } = issuer;
  const common = {
    kind: issuerKind(issuer).kind,
    namespace: metadata.namespace,
    name: metadata.name,
    defaultProfile: spec.profiles?.find((profile) => profile.default)?.name,
  };
  const allowedNamespaces = clusterIssuer(issuer)?.spec.allowedNamespaces;
  try {
    return {
      ...common,
      broken: undefined,
      ...prepareIssuerSpec(spec),
      allowedNamespaces: allowedNamespaces && Object.entries(allowedNamespaces.matchLabels),
    };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const nothing = { deny: { dnsNames: [], networks: [] }, allowedNamespaces: undefined, profiles: new Map() };
    return { ...common, broken: error.message, ...nothing };
  }
}

function prepareIssuerSpec({ deny = {}, profiles = [] }: Issuer['spec']) {
  return {
    deny: {
      dnsNames: (deny.dnsNames ?? []).map((value, i) => denied(value, `spec.deny.dnsNames[${i}]`)),
      networks: (deny.cidrs ?? []).map((text, i) => cidr(text, `spec.deny.cidrs[${i}]`)),
    },
    profiles: new Map(
      profiles.map(({ name, duration: limits }, i) => [
        name,
        { maxDurationMs: duration(limits?.max, `spec.profiles[${i}].duration.max`) },
      ]),
    ),
  };
}

/** What is denied to everyone cannot depend on who asks. */
function denied(source: string, path: string): NamePattern {
  const parsed = pattern(source, 'dns', path);
  if (parsed.templated) throw new Broken(`${path} cannot use ${NAMESPACE_PLACEHOLDER}`);
  return parsed;
}
