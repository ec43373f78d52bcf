// Hostile inputs 64 to 66 against `serve` on a real API server from which our admission policy has been removed: whoever may write our
// own kinds gets nothing by it. And words of others, in whatever characters, on their way to people.
import { createHash, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificateID } from '../conformance/certificates.ts';
import { attempt, challengeOf, issue, newOrder, provision, register } from '../support/acme-flow.ts';
import { type AcmeWire, connect } from '../support/acme-wire.ts';
import { APPLY_PATCH } from '../support/api-client.ts';
import { buildCaCertificate, createKeyPair } from '../support/certificate-builder.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { deployed, pathOf } from '../support/manifests.ts';
import { createRemoteIssuer, REMOTE, remoteIssuerReady } from '../support/remote-issuer.ts';
import { NAMESPACE } from '../support/serve.ts';
import {
  describeOnStage,
  GROUP,
  RECORDS,
  type RecordObject,
  secretsOf,
  type ServingReplicas,
  startReplicas,
} from '../support/serving-stage.ts';
import { startWebhookPeer, type WebhookPeer } from '../support/webhook-peer.ts';

interface Stored extends RecordObject {
  metadata: RecordObject['metadata'] & { uid: string; annotations?: Record<string, string> };
  spec: RecordObject['spec'] & { issuerUID: string; revocation?: object };
  status?: RecordObject['status'] & { serial?: string };
}
interface Event {
  reason: string;
  note?: string;
  regarding: { name: string };
}
interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
}

const MERGE = 'application/merge-patch+json';
const AUTHORIZATIONS = `/apis/acme.countersign.dev/v1alpha1/namespaces/${NAMESPACE}/authorizations`;
const CLAIMS = `${GROUP}/namespaces/default/certificateclaims`;
/** Line breaks, an escape sequence of seven and of eight bits, a bidirectional override, a line separator, what is not seen. */
const NASTY = 'a\r\nforged: line\u001b[2J\u009b31m\u202egpj.exe\u2028\u200b\u0007';
/** What a terminal, a log viewer or a browser shows as it is. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}]*$/u;
const nameOf = (seed: string) => {
  const hex = createHash('sha256').update(seed).digest('hex').slice(0, 52);
  return `ic-${hex.replace(/[0-9]/g, (digit) => 'ghijklmnop'[Number(digit)] ?? '')}`;
};

describeOnStage('without the admission policy', 1, (stage) => {
  let replicas: ServingReplicas;
  let peer: WebhookPeer;
  let acme: AcmeWire;
  let mallory: AcmeWire;
  let remoteUID: string;
  let numbered = 0;

  beforeAll(async () => {
    const { api } = stage().plane;
    peer = await startWebhookPeer();
    remoteUID = await createRemoteIssuer(stage(), peer);
    replicas = await startReplicas(stage());
    [acme, mallory] = [await replicas.client(0), await replicas.client(0)];
    await register(acme);
    await register(mallory);
    await remoteIssuerReady(stage());
    for (const manifest of deployed('admission')) await api.expect('DELETE', pathOf(manifest));
  });
  afterAll(async () => {
    // An orderly end is not what is looked at here.
    await Promise.all((replicas?.programs ?? []).map((program) => program.kill()));
    await replicas?.stop();
    await peer?.close();
  });

  function aName(): string {
    const name = `records-${++numbered}.test`;
    stage().place(name);
    return name;
  }

  async function genuine(client = acme) {
    const name = aName();
    const issued = await issue(client, stage().responders, [name]);
    const leaf = new X509Certificate((await client.get(issued.certificateUrl)).text);
    const { items } = await stage().plane.api.expect<{ items: Stored[] }>('GET', RECORDS);
    const record = items.find(({ spec }) => spec.names.includes(`dns:${name}`));
    if (!record) throw new Error('no record');
    return { ...issued, name, leaf, record };
  }

  /** The policy goes a moment after it was deleted. */
  const plant = (body: { metadata: { name: string } }, at = RECORDS): Promise<Stored> =>
    eventually('it is planted', async () => {
      const kind = at === RECORDS ? 'IssuedCertificate' : 'Authorization';
      const apiVersion = `${at === RECORDS ? '' : 'acme.'}countersign.dev/v1alpha1`;
      const reply = await stage().plane.api.request<Stored>('POST', at, { apiVersion, kind, ...body });
      if (reply.status !== 201 && reply.status !== 403) throw new Error(JSON.stringify(reply.body));
      return reply.status === 201 ? reply.body : undefined;
    });

  const expectUntouched = async (made: Stored, at = RECORDS) =>
    expect(await stage().plane.api.expect('GET', `${at}/${made.metadata.name}`)).toEqual(made);

  const events = async () => {
    const { items } = await stage().plane.api.expect<{ items: Event[] }>('GET', '/apis/events.k8s.io/v1/events');
    return items;
  };
  const toldOf = (made: Stored) =>
    eventually(`an Event tells of ${made.metadata.name}`, async () =>
      (await events()).find(({ reason, note }) => reason === 'ForgedRecord' && note?.includes(made.metadata.name)),
    );

  /** DER of the list of `main`. */
  async function crl(): Promise<Buffer> {
    const { hostname, port } = new URL(replicas.origins[0] ?? '');
    const reply = await acme.transport.request('GET', `http://${hostname}:${Number(port) + 1}/crl/main.crl`);
    expect(reply.status).toBe(200);
    return reply.body;
  }
  const onCrl = async (serial: string) => (await crl()).includes(Buffer.from(serial, 'hex'));

  test('64: a record made by hand is no certificate to download, to renew, to revoke by, or on the list', async () => {
    const { record, leaf, certificateUrl } = await genuine();
    const mine = mallory.account.url.slice(mallory.account.url.lastIndexOf('/') + 1);
    const self = new X509Certificate(buildCaCertificate('self-made', createKeyPair()));
    const serial = self.serialNumber.toLowerCase();
    const own = {
      ...record.metadata.labels,
      'countersign.dev/account': mine,
      'countersign.dev/serial': serial,
    };
    const selfMade = { ...record.status, certificate: self.raw.toString('base64'), serial };
    const revocation = { reason: 1, revokedAt: new Date().toISOString(), by: 'nobody' };
    const requester = { account: mine };
    const bodies = {
      // Another's certificate under mallory's account; one of mallory's making; one to be put on the list.
      taken: { spec: { ...record.spec, requester }, status: record.status, labels: own },
      made: { spec: { ...record.spec, requester }, status: selfMade, labels: own },
      revoked: { spec: { ...record.spec, requester, revocation }, status: selfMade, labels: own },
    };
    const { annotations = {} } = record.metadata;
    for (const [what, { labels, ...body }] of Object.entries(bodies))
      for (const marks of [{}, annotations]) {
        const name = nameOf(`${what} ${Object.keys(marks).length}`);
        const made = await plant({ metadata: { name, labels, annotations: marks } as { name: string }, ...body });
        await toldOf(made);
        const url = certificateUrl.replace(record.metadata.name, name);
        for (const client of [mallory, acme]) expect((await client.get(url)).status).toBe(404);
        await expectUntouched(made);
      }
    const info = (id: string) => acme.transport.request('GET', `${acme.directory.renewalInfo}/${id}`);
    expect((await info(certificateID(leaf))).status).toBe(200);
    const [authority = ''] = certificateID(leaf).split('.');
    const id = `${authority}.${Buffer.from(serial, 'hex').toString('base64url')}`;
    expect((await info(id)).status).toBe(404);
    expect(await onCrl(serial)).toBe(false);
    // Whose name stands in a planted record has no say over the certificate.
    const certificate = leaf.raw.toString('base64url');
    const revoke = await mallory.post(mallory.directory.revokeCert, { certificate, reason: 1 });
    expect(revoke.status).toBe(403);
    expect((await acme.get(certificateUrl)).status).toBe(200);
    expect(await onCrl(leaf.serialNumber.toLowerCase())).toBe(false);
  });

  test('64: a reservation made by hand is not signed by the CA elsewhere', async () => {
    const name = 'bank.test';
    const { record } = await genuine();
    const { status: _status, ...template } = record;
    const now = Date.now();
    const instant = (ms: number) => new Date(now + ms).toISOString();
    const before = await peer.calls();
    const made = await plant({
      metadata: {
        name: nameOf('reservation'),
        labels: { ...record.metadata.labels, 'countersign.dev/state': 'reserved' },
        annotations: record.metadata.annotations,
      } as { name: string },
      spec: {
        ...template.spec,
        issuerRef: { kind: 'ClusterCAIssuer', name: REMOTE },
        issuerUID: remoteUID,
        names: [`dns:${name}`],
        csr: buildCsr({ names: [name] }).der.toString('base64'),
        approved: { subject: 'MAA=', usages: ['server auth'], notBefore: instant(0), notAfter: instant(86_400_000) },
      },
    } as { metadata: { name: string } });
    await toldOf(made);
    // What comes after it in the same lane is signed.
    const client = await remoteClient();
    await issue(client, stage().responders, [aName()]);
    expect(await peer.calls()).toBeGreaterThan(before);
    expect((await peer.signed())[made.metadata.name]).toBeUndefined();
    await expectUntouched(made);
  });

  async function remoteClient(): Promise<AcmeWire> {
    const client = await connect(acme.transport, acme.directoryUrl.replace('/acme/main/', `/acme/${REMOTE}/`));
    await register(client);
    return client;
  }

  test('64: an authorization made by hand, or another one changed, authorizes nothing', async () => {
    const { name } = await genuine();
    const { api } = stage().plane;
    const { items } = await api.expect<{ items: (Stored & { spec: { identifier: { value: string } } })[] }>(
      'GET',
      AUTHORIZATIONS,
    );
    const model = items.find(({ spec }) => spec.identifier.value === name);
    if (!model) throw new Error('no authorization');
    const account = mallory.account.url.slice(mallory.account.url.lastIndexOf('/') + 1);
    const labels = { ...model.metadata.labels, 'acme.countersign.dev/account': account };
    const spec = { ...model.spec, account };
    const made = await plant(
      { metadata: { name: 'az-planted', labels } as { name: string }, spec } as never,
      AUTHORIZATIONS,
    );
    const taken = await newOrder(mallory, [name]);
    expect(taken.object.status).toBe('pending');
    await expectUntouched(made, AUTHORIZATIONS);
    // For a name of mallory's own that failed: turned to valid by hand.
    const wrong = 'elsewhere.test';
    const order = await newOrder(mallory, [wrong]);
    const challenge = await challengeOf(mallory, order.object.authorizations[0] ?? '', 'dns-01');
    stage().responders.dns.set(`_acme-challenge.${wrong}`, 'TXT', ['wrong']);
    expect((await attempt(mallory, challenge)).status).toBe('invalid');
    const after = await api.expect<{ items: Stored[] }>('GET', AUTHORIZATIONS);
    const failed = after.items.find(
      (item) => (item.spec as unknown as { identifier: { value: string } }).identifier.value === wrong,
    );
    await api.expect('PATCH', `${AUTHORIZATIONS}/${failed?.metadata.name}`, { spec: { outcome: 'valid' } }, MERGE);
    await eventually('the change is there', async () =>
      (await mallory.get(order.url)).json.status === 'pending' ? true : undefined,
    );
    expect((await newOrder(mallory, [wrong])).object.status).toBe('pending');
  });

  test('64: a record that somebody holds after its deletion, with owners and finalizers of theirs, is served and stays on the list', async () => {
    const { api } = stage().plane;
    const { record, leaf, certificateUrl } = await genuine();
    const serial = leaf.serialNumber.toLowerCase();
    const uid = '1b4e28ba-2fa1-11d2-883f-0016d3cca427';
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid }];
    const metadata = { finalizers: ['example.com/forever'], ownerReferences, labels: { team: 'mallory' } };
    await api.expect('PATCH', `${RECORDS}/${record.metadata.name}`, { metadata }, MERGE);
    await api.expect('DELETE', `${RECORDS}/${record.metadata.name}`);
    const certificate = leaf.raw.toString('base64url');
    expect((await acme.post(acme.directory.revokeCert, { certificate, reason: 4 })).status).toBe(200);
    await eventually('it is on the list', async () => (await onCrl(serial)) || undefined);
    expect((await acme.get(certificateUrl)).status).toBe(200);
    expect((await genuine()).leaf.serialNumber).not.toBe(leaf.serialNumber);
    await api.expect('PATCH', `${RECORDS}/${record.metadata.name}`, { metadata: { finalizers: null } }, MERGE);
  });

  test('65: mistakes that only TypeScript tells are told by a condition and cost a status and an Event each, once', async () => {
    const { api } = stage().plane;
    const apiVersion = 'countersign.dev/v1alpha1';
    const ca = { secretRef: { name: 'typos-ca' }, selfSigned: { commonName: 'Typos' } };
    const bombs: Readonly<Record<string, string>> = {
      nested: `[${Array.from({ length: 30 }, () => '1').join()}].all(a, ${'names.all(n, '.repeat(5)}true${')'.repeat(5)})`,
      pattern: `self.matches('(a+)+$')`,
      product: '(self + self + self + self).contains(self + self)',
      deep: `${'('.repeat(200)}true${')'.repeat(200)}`,
      type: 'size(names)',
      template: '{{ .Secret }}',
      shell: '${process.env}',
      path: '$..[?(@.password)]',
    };
    const objects: Record<string, object> = {
      [`${GROUP}/clustercaissuers`]: {
        kind: 'ClusterCAIssuer',
        metadata: { name: 'typos' },
        // The country has two letters.
        spec: { backend: { ca }, subject: { template: 'CN={dnsNames[0]},C=Germany' } },
      },
      [CLAIMS]: {
        kind: 'CertificateClaim',
        metadata: { name: 'typos' },
        spec: {
          secretName: 'typos-tls',
          issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
          // An A-label that decodes to nothing.
          emailAddresses: ['a@xn--a.test'],
        },
      },
    };
    const conditionOf = (at: string) =>
      eventually(`${at} is judged`, async () => {
        const { status } = await api.expect<{ status?: { conditions?: Condition[] } }>('GET', at);
        return status?.conditions?.find(({ type, status: is }) => type === 'Ready' && is === 'False');
      });
    const judged: string[] = [];
    for (const [at, object] of Object.entries(objects)) {
      await api.expect('POST', at, { apiVersion, ...object });
      judged.push(`${at}/typos`);
    }
    expect(await conditionOf(judged[0] ?? '')).toMatchObject({
      reason: 'InvalidSpec',
      message: expect.stringContaining('spec.subject.template') as string,
    });
    expect(await conditionOf(judged[1] ?? '')).toMatchObject({
      reason: 'InvalidRequest',
      message: expect.stringContaining('spec.emailAddresses[0]') as string,
    });
    const policies = `${GROUP}/certificaterequestpolicies`;
    for (const [name, rule] of Object.entries(bombs)) {
      const spec = {
        selector: {},
        priority: 1000,
        allowed: { dnsNames: { values: ['**.test'] }, validations: [{ rule }] },
      };
      await api.expect('POST', policies, { apiVersion, kind: 'CertificateRequestPolicy', metadata: { name }, spec });
      judged.push(`${policies}/${name}`);
    }
    for (const name of Object.keys(bombs)) {
      const condition = await conditionOf(`${policies}/${name}`);
      expect(condition).toMatchObject({
        reason: 'Broken',
        message: expect.stringContaining('spec.allowed.validations[0]') as string,
      });
      expect(condition.message).toMatch(PRINTABLE);
      // Work is told in steps, before any is done.
      if (name === 'product') expect(condition.message).toMatch(/could take \d{7} steps for 100 names, more than \d+/);
    }
    const refusedSpecs: Readonly<Record<string, object>> = {
      expression: { dnsNames: { values: ['(a+)+$'] } },
      braces: { dnsNames: { values: ['{{ .Secret }}.test'] } },
      many: { dnsNames: { values: Array.from({ length: 10_000 }, (_, i) => `n${i}.test`) } },
      large: { dnsNames: { values: ['a'.repeat(1_400_000)] } },
      source: { dnsNames: { values: ['**.test'] }, validations: [{ rule: 'true || '.repeat(1000) + 'true' }] },
    };
    for (const [name, allowed] of Object.entries(refusedSpecs)) {
      const body = {
        apiVersion,
        kind: 'CertificateRequestPolicy',
        metadata: { name },
        spec: { selector: {}, allowed },
      };
      const { status } = await api.request('POST', policies, body);
      expect({ name, status }).toEqual({ name, status: 422 });
    }
    for (const template of ['{{ .Secret }}', '${process.env}', 'CN=$..[?(@.x)],O={{x}}', 'x'.repeat(1_400_000)]) {
      const spec = { backend: { ca }, subject: { template } };
      const body = { apiVersion, kind: 'ClusterCAIssuer', metadata: { name: 'template' }, spec };
      expect((await api.request('POST', `${GROUP}/clustercaissuers`, body)).status).toBe(422);
    }
    // Broken policies are skipped: the others decide. The work it took: one status each, and no more for as long as this goes on.
    await genuine();
    const own = `system:serviceaccount:${NAMESPACE}:countersign`;
    const writes = async () =>
      (await stage().plane.audit()).filter(
        ({ user, verb, requestURI, stage: at, responseStatus }) =>
          user.username === own &&
          at === 'ResponseComplete' &&
          verb === 'update' &&
          (responseStatus?.code ?? 0) < 300 &&
          judged.some((path) => requestURI.startsWith(`${path}/status`)),
      );
    const counts = await eventually('all are written', async () => {
      const found = await writes();
      return found.length >= judged.length ? found.length : undefined;
    });
    expect(counts).toBe(judged.length);
  });

  test('66: words of a CA, a person or a client reach people on one line, with nothing in them that a terminal obeys', async () => {
    const { api } = stage().plane;
    const apiVersion = 'countersign.dev/v1alpha1';
    const refused = { type: 'urn:ietf:params:acme:error:rejectedIdentifier', detail: NASTY };
    await peer.behave({ kind: 'status', status: 403, problem: refused });
    await api.expect('POST', CLAIMS, {
      apiVersion,
      kind: 'CertificateClaim',
      metadata: { name: 'nasty' },
      spec: { secretName: 'nasty-tls', issuerRef: { kind: 'ClusterCAIssuer', name: REMOTE }, dnsNames: ['nasty.test'] },
    });
    const condition = await eventually('the claim says why', async () => {
      const { status } = await api.expect<{ status?: { conditions?: Condition[] } }>('GET', `${CLAIMS}/nasty`);
      return status?.conditions?.find(({ reason }) => reason === 'Denied');
    });
    expect(condition.message).toContain('forged: line');
    const event = await eventually('so does an Event', async () =>
      (await events()).find(({ regarding, note }) => regarding.name === 'nasty' && note?.includes('forged: line')),
    );
    for (const text of [condition.message, event.note]) expect(text).toMatch(PRINTABLE);
    // What a policy says of a name that it denies is written by people, too.
    const ours = `x.nasty.example`;
    await api.expect('POST', `${GROUP}/certificaterequestpolicies`, {
      apiVersion,
      kind: 'CertificateRequestPolicy',
      metadata: { name: 'nasty' },
      spec: {
        selector: {},
        allowed: {
          dnsNames: { values: ['**.nasty.example'] },
          validations: [{ rule: `self != '${ours}'`, message: NASTY }],
        },
      },
    });
    await api.expect('POST', CLAIMS, {
      apiVersion,
      kind: 'CertificateClaim',
      metadata: { name: 'ruled' },
      spec: { secretName: 'ruled-tls', issuerRef: { kind: 'ClusterCAIssuer', name: 'main' }, dnsNames: [ours] },
    });
    const ruled = await eventually('the claim says what the policy says', async () => {
      const { status } = await api.expect<{ status?: { conditions?: Condition[] } }>('GET', `${CLAIMS}/ruled`);
      return status?.conditions?.find(({ message }) => message.includes('forged: line'));
    });
    expect(ruled.message).toMatch(PRINTABLE);
    const early = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'dns', value: ours }] });
    expect([early.status, early.problem.detail]).toEqual([403, expect.stringContaining('forged: line')]);
    expect(JSON.stringify(early.problem)).toMatch(PRINTABLE);
    const client = await remoteClient();
    const order = await attemptOrder(client);
    expect(order.error?.detail).toContain('forged: line');
    expect(order.error?.detail).toMatch(PRINTABLE);
    await peer.behave({ kind: 'sign' });

    const { record } = await genuine();
    const revocation = { reason: 1, revokedAt: new Date().toISOString(), by: NASTY };
    const path = `${RECORDS}/${record.metadata.name}`;
    // Its spec is owned whole (docs/adr/0021): what is applied in part would be all of it.
    const applied = {
      apiVersion,
      kind: 'IssuedCertificate',
      metadata: { name: record.metadata.name },
      spec: { revocation: { ...revocation, by: 'somebody' } },
    };
    for (const force of [false, true]) {
      const reply = await api.request('PATCH', `${path}?fieldManager=somebody&force=${force}`, applied, APPLY_PATCH);
      expect(reply.status).toBe(force ? 422 : 409);
    }
    await api.expect('PATCH', path, { spec: { revocation } }, MERGE);
    await eventually('it is on the list', async () => (await onCrl(record.status?.serial ?? '')) || undefined);
    await eventually('it has the label of what is revoked', async () => {
      const { metadata } = await api.expect<Stored>('GET', path);
      return metadata.labels?.['countersign.dev/revoked'];
    });
    const { items } = await api.expect<{ items: Event[] }>('GET', '/apis/events.k8s.io/v1/events');
    for (const { note } of items) expect(note ?? '').toMatch(PRINTABLE);
    // Each line of the log is one JSON object whose text a terminal shows as it is.
    const lines = (replicas.programs[0]?.output() ?? '').split('\n').filter((line) => line.startsWith('{'));
    expect(lines.some((line) => line.includes('forged: line'))).toBe(true);
    const told = lines.filter((line) => line.includes('"audit":"revocation"') && line.includes(record.metadata.name));
    expect(told).toEqual([expect.stringContaining('"via":"record"')]);
    for (const line of lines) {
      expect(line).toMatch(PRINTABLE);
      expect(() => JSON.parse(line) as unknown).not.toThrow();
    }
    const others = (replicas.programs[0]?.output() ?? '')
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('{'));
    for (const line of others) expect(line).toMatch(/^(ready|countersign:) [\x20-\x7e]*$/);
  });

  /** Up to the refusal of the CA. */
  async function attemptOrder(client: AcmeWire) {
    const name = aName();
    const order = await newOrder(client, [name]);
    const challenge = await challengeOf(client, order.object.authorizations[0] ?? '', 'http-01');
    provision(stage().responders, challenge, { type: 'dns', value: name }, client.account.key);
    await attempt(client, challenge);
    const csr = buildCsr({ names: [name] }).der.toString('base64url');
    await client.post(order.object.finalize, { csr });
    return eventually('the order is refused', async () => {
      const { json } = await client.get(order.url);
      return json.status === 'invalid' ? json : undefined;
    });
  }

  test('63: a namespace in a reference of a tenant’s issuer is dropped or refused: it never reaches another one', async () => {
    const { api } = stage().plane;
    const apiVersion = 'countersign.dev/v1alpha1';
    const at = `${GROUP}/namespaces/default/caissuers`;
    const body = (name: string, backend: object) => ({
      apiVersion,
      kind: 'CAIssuer',
      metadata: { name },
      spec: { backend },
    });
    const far = { secretRef: { name: 'main-ca', namespace: NAMESPACE } };
    // As kubectl asks, and as a client that does not ask for strictness.
    expect((await api.request('POST', `${at}?fieldValidation=Strict`, body('far', { ca: far }))).status).toBe(400);
    await api.expect('POST', at, body('far', { ca: far }));
    const made = await eventually('the issuer is judged', async () => {
      const issuer = await api.expect<{ spec: object; status?: { conditions?: Condition[] } }>('GET', `${at}/far`);
      return issuer.status?.conditions ? issuer : undefined;
    });
    expect(made.spec).toEqual({ backend: { ca: { secretRef: { name: 'main-ca' } } } });
    expect(made.status?.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'SecretNotFound',
    });
    const webhook = { ...peer.spec, caBundleRef: { name: 'x', key: 'ca.crt', namespace: NAMESPACE } };
    expect((await api.request('POST', at, body('hook', { webhook }))).status).toBe(422);
    expect((await api.request('GET', `${secretsOf('default')}/main-ca`)).status).toBe(404);
  });
});
