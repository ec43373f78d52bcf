// The CRDs on a real API server: it takes them, keeps what it is given, and gives the verdicts that the rules in TypeScript give.
import { expect, test } from 'vitest';
import { OWN_KINDS } from '../../src/api/index.ts';
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import { createFakeStore } from '../fakes/world.ts';
import { ABSENT, withValue } from '../schema-walk/field-case.ts';
import { type Leaf, leavesOf } from '../schema-walk/leaves.ts';
import { describeOnApiServer } from '../support/api-server-suite.ts';
import type { ApiClient } from '../support/api-client.ts';
import { crdFiles } from '../support/crd-files.ts';
import { eventually } from '../support/eventually.ts';
import { exampleManifests } from './example-manifests.ts';
import { baseOf } from './verdict-bases.ts';
import { OBJECT_CASES, UPDATE_CASES } from './verdict-cases.ts';
import {
  BAD_A_LABELS,
  BAD_MAILBOXES,
  BAD_PEMS,
  BAD_TEMPLATES,
  GOOD_TEXTS,
  ODD_LABEL_VALUES,
  ODD_LABELS,
  ODD_TEXTS,
  ODD_VALUES,
} from './verdict-values.ts';
import { collectionPath, judgeHere, judgeThere, mapAtOnce, type Verdict, wholeObject } from './verdicts.ts';

const IDNA = 'CEL has no IDNA: whether an xn-- label decodes and is what IDNA would write is told by TypeScript alone';
const DER = 'CEL reads no certificates: whether what stands in PEM is one is told by TypeScript alone';
const FIXED =
  'CEL has no table of attributes: bounds and characters of fixed values, and UTF-8 in escapes, are told by TypeScript alone';

/**
 * What CEL cannot say: by kind and field, the texts that TypeScript refuses and the API server takes. All others get one verdict.
 * What comes of them in a cluster: a DNS name that is none is refused when the claim asks for it, a mailbox is judged by policy
 * alone, a CAA identity that is none stands in no CAA record, a broken template is a 503 to whoever needs it, and an
 * issuer whose trust anchors cannot be read is not ready.
 */
const INEXPRESSIBLE: Record<string, { why: string; texts: readonly string[] }> = {
  ...issuerTexts('ClusterCAIssuer'),
  ...issuerTexts('CAIssuer'),
  'ClusterCAIssuer spec.backend.ejbca.trustAnchors': { why: DER, texts: BAD_PEMS },
  'ClusterCAIssuer spec.backend.ejbca.caBundle': { why: DER, texts: BAD_PEMS },
  'ClusterCAIssuer spec.backend.ejbca.email': { why: IDNA, texts: BAD_MAILBOXES },
  'ClusterCAIssuer spec.backend.certbot.account.contacts': { why: IDNA, texts: BAD_MAILBOXES },
  'ClusterCAIssuer spec.backend.certbot.trustAnchors': { why: DER, texts: BAD_PEMS },
  'ClusterCAIssuer spec.backend.certbot.caBundle': { why: DER, texts: BAD_PEMS },
  'ClusterCAIssuer spec.backend.acme.dns01.acmeDNS.caBundle': { why: DER, texts: BAD_PEMS },
  'ClusterCAIssuer spec.backend.acme.dns01.webhook.caBundle': { why: DER, texts: BAD_PEMS },
  'CertificateClaim spec.dnsNames': { why: IDNA, texts: BAD_A_LABELS },
  'CertificateClaim spec.emailAddresses': { why: IDNA, texts: BAD_MAILBOXES },
};

function issuerTexts(kind: string) {
  return {
    [`${kind} spec.acme.caa.identities`]: { why: IDNA, texts: BAD_A_LABELS.filter((text) => !text.startsWith('*')) },
    [`${kind} spec.subject.template`]: { why: FIXED, texts: BAD_TEMPLATES },
    [`${kind} spec.backend.acme.account.contacts`]: { why: IDNA, texts: BAD_MAILBOXES },
    [`${kind} spec.backend.acme.backup.account.contacts`]: { why: IDNA, texts: BAD_MAILBOXES },
    [`${kind} spec.backend.acme.trustAnchors`]: { why: DER, texts: BAD_PEMS },
    [`${kind} spec.backend.acme.caBundle`]: { why: DER, texts: BAD_PEMS },
    [`${kind} spec.backend.acme.backup.caBundle`]: { why: DER, texts: BAD_PEMS },
    [`${kind} spec.backend.webhook.trustAnchors`]: { why: DER, texts: BAD_PEMS },
    [`${kind} spec.backend.webhook.caBundle`]: { why: DER, texts: BAD_PEMS },
    [`${kind} spec.publishTrust.additional`]: { why: DER, texts: BAD_PEMS },
  };
}

function kindOf(name: string): Kind {
  const kind = OWN_KINDS.find((each) => each.kind === name);
  if (!kind) throw new Error(`no kind ${name}`);
  return kind;
}

interface Probe {
  leaf: Leaf;
  value: unknown;
  here: Verdict;
  there: Verdict;
}

interface Field {
  kind: Kind;
  root: 'spec' | 'status';
  leaf: Leaf;
}

const FIELDS: readonly Field[] = OWN_KINDS.flatMap((kind) =>
  (['spec', 'status'] as const)
    .filter((root) => kind.schema && root in kind.schema.properties)
    .flatMap((root) => leavesOf(kind, root).map((leaf) => ({ kind, root, leaf }))),
);

/** All that says what a field takes, apart from other fields. */
function signature({ kind, leaf }: Field): string {
  const rules = (kind.cel ?? []).filter(({ at }) => at === leaf.path || at === `${leaf.path}[]`);
  return JSON.stringify([leaf.node, rules.map(({ cel }) => cel)], (name, value: unknown) =>
    name === 'description' || name === 'accepts' ? undefined : value,
  );
}

/** Fields of one signature are one code on both sides: the first is asked about everything, the others about a little. */
const FIRST_OF = new Map(FIELDS.toReversed().map((field) => [signature(field), field]));

/** The values put at a field; texts as entries where it is a list. */
function valuesFor(field: Field): unknown[] {
  const { node, words } = field.leaf;
  const listed = node.type === 'array';
  const text = node.items ?? node;
  const first = FIRST_OF.get(signature(field)) === field;
  const fine = text.pattern !== undefined || /isIP|matches/.test(signature(field));
  const lengths = [text.minLength ?? 0, text.maxLength ?? 0].flatMap((length) => [length, length + 1]);
  const texts = [
    ...words,
    ...(first ? ['a b', 'é', 'a\n', '\u0000'] : []),
    ...(first
      ? lengths.flatMap((length) => ['x'.repeat(length), '😀'.repeat(length)])
      : ['x'.repeat((text.maxLength ?? 0) + 1)]),
    // Something of it is good for whatever stands here, so that every field is seen to take a value.
    ...(fine ? ODD_TEXTS.filter((_, i) => first || i % 8 === 0) : ['x']),
    ...(first ? [] : GOOD_TEXTS),
  ];
  return [
    ABSENT,
    null,
    ...ODD_VALUES.filter((value, i) => first || i % 4 === 1 || (text.type === 'integer' && typeof value === 'number')),
    ...(node.type === 'object' ? [...ODD_LABELS, ...ODD_LABEL_VALUES] : []),
    ...(text.type === 'string' || text.enum ? texts.map((each) => (listed ? [each] : each)) : []),
  ];
}

async function probe(api: ApiClient, kind: Kind, root: 'spec' | 'status'): Promise<Probe[]> {
  // Behind a status subresource the status is judged where it is written.
  const apart = root === 'status' && kind.statusSubresource;
  const metadata = apart
    ? { name: 'stored', resourceVersion: (await createFresh(api, kind, baseOf(kind.kind, root))).resourceVersion }
    : {};
  const path = apart ? `${collectionPath(kind)}/stored/status` : collectionPath(kind);
  const probes = FIELDS.filter((field) => field.kind === kind && field.root === root).flatMap((field) =>
    valuesFor(field).map((value) => ({ leaf: field.leaf, value })),
  );
  return mapAtOnce(probes, async ({ leaf, value }) => {
    const object = wholeObject(kind, withValue(baseOf(kind.kind, leaf.path), leaf.path, value), metadata);
    const here = judgeHere(kind, object);
    return { leaf, value, here, there: await judgeThere(api, apart ? 'PUT' : 'POST', path, object) };
  });
}

async function createFresh(api: ApiClient, kind: Kind, body: object): Promise<KubeObject['metadata']> {
  const path = collectionPath(kind);
  await api.request('DELETE', `${path}/stored`);
  await eventually('the former object is gone', async () =>
    (await api.request('GET', `${path}/stored`)).status === 404 ? true : undefined,
  );
  const created = await api.expect<KubeObject>(
    'POST',
    `${path}?fieldValidation=Strict`,
    wholeObject(kind, body, { name: 'stored' }),
  );
  return created.metadata;
}

const shown = (value: unknown): string => (value === ABSENT ? 'absent' : JSON.stringify(value)).slice(0, 120);

function told(what: string, here: Verdict, there: Verdict): string {
  return `${what}: TypeScript ${here.accepted ? 'accepts' : `refuses (${here.why})`}, the API server ${there.accepted ? 'accepts' : `refuses (${there.why})`}`;
}

const SERVER_FIELDS = ['uid', 'resourceVersion', 'generation', 'creationTimestamp'];

/** What was given, of what is kept. */
function withoutServerFields(object: KubeObject): object {
  expect(Object.keys(object.metadata)).toEqual(expect.arrayContaining(SERVER_FIELDS));
  const given = Object.entries(object.metadata).filter(([name]) => ![...SERVER_FIELDS, 'managedFields'].includes(name));
  return { ...object, metadata: Object.fromEntries(given) };
}

describeOnApiServer('CRDs on an API server', (plane) => {
  test('every file is accepted, served, and says nothing that Kubernetes would drop', async () => {
    const { api } = plane();
    for (const { definition } of crdFiles()) {
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`;
      const stored = await api.expect<{ spec: object; status: { conditions: { type: string; status: string }[] } }>(
        'GET',
        path,
      );
      expect(stored.spec).toMatchObject(definition.spec);
      const conditions = Object.fromEntries(stored.status.conditions.map(({ type, status }) => [type, status]));
      expect(conditions, definition.metadata.name).toMatchObject({ NamesAccepted: 'True', Established: 'True' });
      // A schema that is not structural, or a rule of CEL that does not compile.
      expect(conditions).not.toHaveProperty('NonStructuralSchema');
    }
  });

  test('every example is kept as it is given, here and there alike', async () => {
    const { api } = plane();
    const examples = exampleManifests();
    expect(new Set(examples.map(({ kind }) => kind.kind)).size).toBeGreaterThan(2);
    for (const { where, kind, object } of examples) {
      const path = collectionPath(kind);
      await api.expect('POST', `${path}?fieldValidation=Strict`, object);
      const there = await api.expect<KubeObject>('GET', `${path}/${object.metadata.name}`);
      await api.expect('DELETE', `${path}/${object.metadata.name}`);
      expect(withoutServerFields(there), where).toEqual(object);

      const { cluster } = createFakeStore();
      await cluster.create(kind, object);
      const here = await cluster.get(kind, object.metadata);
      if (!here) throw new Error(`${where} was not kept`);
      expect(withoutServerFields(here), where).toEqual(object);
      const fields = Object.keys(there.metadata).filter((name) => name !== 'managedFields');
      expect(Object.keys(here.metadata).sort(), where).toEqual(fields.sort());
      expect(here.metadata.generation, where).toBe(there.metadata.generation);
    }
  });

  for (const kind of OWN_KINDS) {
    for (const root of ['spec', 'status'] as const) {
      const leaves = FIELDS.filter((field) => field.kind === kind && field.root === root).map(({ leaf }) => leaf);
      if (leaves.length === 0) continue;

      test(`${kind.kind}: one verdict on every odd value of every field of ${root}`, { timeout: 300_000 }, async () => {
        const probes = await probe(plane().api, kind, root);
        const nulls = probes.filter(({ value }) => value === null);
        const differing = probes.filter(({ value, here, there }) => value !== null && here.accepted !== there.accepted);
        const known = ({ leaf, value, here }: Probe): boolean => {
          const texts = INEXPRESSIBLE[`${kind.kind} ${leaf.path}`]?.texts ?? [];
          return !here.accepted && texts.includes(String([value].flat()[0]));
        };
        const surprises = differing.filter((each) => !known(each));
        expect(
          surprises.map(({ leaf, value, here, there }) => told(`${leaf.path} = ${shown(value)}`, here, there)),
        ).toEqual([]);

        // The list is exact: each of its texts is taken there, and nothing else is.
        for (const { path } of leaves) {
          const { texts = [] } = INEXPRESSIBLE[`${kind.kind} ${path}`] ?? {};
          const of = (some: readonly Probe[]) =>
            new Set(some.filter(({ leaf }) => leaf.path === path).map(({ value }) => [value].flat()[0]));
          const asked = of(probes);
          expect(of(differing), path).toEqual(new Set(texts.filter((text) => asked.has(text))));
        }

        // A null is a mistake to TypeScript. The API server drops it, as it does for every custom resource.
        expect(nulls.filter(({ here }) => here.accepted)).toEqual([]);
        for (const { leaf, there } of nulls) {
          const absent = probes.find(({ leaf: { path }, value }) => path === leaf.path && value === ABSENT);
          expect(there.accepted, `${leaf.path} = null`).toBe(absent?.there.accepted);
        }

        // A field of which every value is refused is not looked at: its siblings are missing in verdict-bases.ts.
        const live = new Set(
          probes.filter(({ here, value }) => here.accepted && value !== ABSENT).map(({ leaf }) => leaf.path),
        );
        expect(leaves.map(({ path }) => path).filter((path) => !live.has(path))).toEqual([]);
      });
    }
  }

  test('of what the operator alone writes no account is kept by members', async () => {
    const kind = kindOf('Authorization');
    type Owned = { metadata: { managedFields: { fieldsV1: Record<string, unknown> }[] } };
    const object = wholeObject(kind, baseOf(kind.kind, ''), { name: 'owned' });
    const made = await plane().api.expect<Owned>('POST', collectionPath(kind), object);
    expect(made.metadata.managedFields.map(({ fieldsV1 }) => fieldsV1['f:spec'])).toEqual([{}]);
  });

  test('what CEL cannot say is listed for fields that there are', () => {
    const places = FIELDS.map(({ kind, leaf }) => `${kind.kind} ${leaf.path}`);
    expect(Object.keys(INEXPRESSIBLE).filter((place) => !places.includes(place))).toEqual([]);
  });

  test('one verdict on good and bad objects', { timeout: 120_000 }, async () => {
    expect(OBJECT_CASES.length).toBeGreaterThan(300);
    const wrong = await mapAtOnce(OBJECT_CASES, async ({ kind: name, title, good, body, metadata }) => {
      const kind = kindOf(name);
      const object = wholeObject(kind, body, metadata);
      const here = judgeHere(kind, object);
      const there = await judgeThere(plane().api, 'POST', collectionPath(kind), object);
      return here.accepted === good && there.accepted === good ? [] : [told(`${name} ${title}`, here, there)];
    });
    expect(wrong.flat()).toEqual([]);
  });

  test('one verdict on updates', async () => {
    const { api } = plane();
    const wrong: string[] = [];
    for (const { kind: name, title, good, before, after } of UPDATE_CASES) {
      const kind = kindOf(name);
      const { resourceVersion } = await createFresh(api, kind, before);
      const object = wholeObject(kind, after, { name: 'stored', resourceVersion });
      const here = judgeHere(kind, object, wholeObject(kind, before, { name: 'stored' }));
      const there = await judgeThere(api, 'PUT', `${collectionPath(kind)}/stored`, object);
      if (here.accepted !== good || there.accepted !== good) wrong.push(told(`${name} ${title}`, here, there));
    }
    expect(wrong).toEqual([]);
  });
});
