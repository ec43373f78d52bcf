// Effects of the fields of the ejbca backend, against a service that keeps what it is asked.
import { type CAIssuerSpec, ClusterCAIssuerKind } from '../../src/api/ca-issuer.ts';
import type { EjbcaBackendSpec } from '../../src/api/ejbca-backend.ts';
import { ejbcaBackend } from '../../src/backends/ejbca/index.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { anIssuer as anIssuerOf, createMemorySecrets } from '../contract/authorities.ts';
import { aSigningRequest, type KeyKind, sharedKey } from '../contract/models.ts';
import { createFakeRandom } from '../fakes/random.ts';
import { buildCaCertificate, createKeyPair, pemOf } from '../support/certificate-builder.ts';
import { ABSENT, type FieldCase } from './field-case.ts';
import { anIssuer, aSecret, uniqueName } from './lab.ts';
import { type RecordingEjbca, startRecordingEjbca } from './recording-ejbca.ts';

/** What stands in the cases for what is known only once the service runs. */
const [ROOT, BUNDLE, OTHER] = ['root', 'bundle', 'other'].map((name) =>
  pemOf('CERTIFICATE', buildCaCertificate(name, createKeyPair())),
);
const URL_OF_SERVICE = 'https://ejbca.test/ejbcaws';
const NAMES = { client: uniqueName('walk-ejbca'), bundle: uniqueName('walk-ejbca-bundle') };

const running: { service?: Promise<RecordingEjbca> } = {};

async function start(): Promise<RecordingEjbca> {
  const service = await startRecordingEjbca();
  await aSecret(NAMES.client, service.client);
  await aSecret(NAMES.bundle, { 'ca.crt': service.caBundle, 'other.crt': OTHER ?? '' });
  return service;
}

export async function stopEjbca(): Promise<void> {
  (await running.service)?.stop();
}

/** The spec with what stands for the service replaced by what it is. */
async function real({ backend }: CAIssuerSpec): Promise<{ service: RecordingEjbca; ejbca: EjbcaBackendSpec }> {
  running.service ??= start();
  const service = await running.service;
  const spec = backend.ejbca as EjbcaBackendSpec;
  const text = new Map([
    [ROOT, service.root],
    [BUNDLE, service.caBundle],
  ]);
  const { caBundle } = spec;
  const ejbca = {
    ...spec,
    url: spec.url.replace(URL_OF_SERVICE, service.url),
    trustAnchors: text.get(spec.trustAnchors) ?? spec.trustAnchors,
    ...(caBundle === undefined ? {} : { caBundle: text.get(caBundle) ?? caBundle }),
  };
  return { service, ejbca };
}

const ready = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { status } = await anIssuer({ ...spec, backend: { ejbca: (await real(spec)).ejbca } });
  const { status: state, reason } = status?.conditions?.find(({ type }) => type === 'Ready') ?? {};
  return { state, reason };
};

/** What a backend made of the spec asks for one request, and how that ends. */
async function asks(spec: CAIssuerSpec, kind: KeyKind = 'P-256') {
  const { service, ejbca } = await real(spec);
  const secrets = createMemorySecrets({ [NAMES.client]: service.client });
  const deps = { secrets, clock: createClock(), random: createFakeRandom(), urls: undefined };
  const backend = ejbcaBackend.create(deps, anIssuerOf({ ejbca }), { ejbca });
  const request = aSigningRequest({ keys: sharedKey(kind), id: 'ic-walk' });
  const ended = await backend.sign(request, new AbortController().signal).catch((error: Error) => error.message);
  return { backend, asked: service.asked(), ended };
}

const sent =
  (field: string, kind?: KeyKind) =>
  async (spec: CAIssuerSpec): Promise<unknown> =>
    (await asks(spec, kind)).asked[field] ?? 'none';

const slowly = async (spec: CAIssuerSpec): Promise<unknown> => {
  const { service } = await real(spec);
  service.delay = 2_500;
  const { ended } = await asks(spec);
  service.delay = 0;
  return ended;
};

const base = (ejbca: object = {}) => ({
  backend: {
    ejbca: {
      url: URL_OF_SERVICE,
      clientCertificateRef: { name: NAMES.client },
      trustAnchors: ROOT,
      caBundle: BUNDLE,
      endEntityProfile: 'EE1',
      certificateProfile: 'CP1',
      caName: 'One',
      ...ejbca,
    },
  },
});

function field(
  path: string,
  values: readonly unknown[],
  outcome: (spec: CAIssuerSpec) => Promise<unknown>,
  given = base(),
): FieldCase {
  return { kind: ClusterCAIssuerKind, path: `spec.backend.ejbca.${path}`, base: given, values, outcome };
}

const withRef = base({ caBundle: undefined, caBundleRef: { name: NAMES.bundle, key: 'ca.crt' } });

export const EJBCA_CASES: readonly FieldCase[] = [
  field('protocol', ['SOAP', 'REST'], sent('path')),
  field('url', [URL_OF_SERVICE, `${URL_OF_SERVICE}/elsewhere`], ready),
  field('clientCertificateRef.name', [NAMES.client, 'nowhere'], ready),
  field('trustAnchors', [ROOT, OTHER], ready),
  field('caBundle', [BUNDLE, OTHER], ready),
  field('caBundleRef.kind', ['Secret', 'ConfigMap'], ready, withRef),
  field('caBundleRef.name', [NAMES.bundle, 'nowhere'], ready, withRef),
  field('caBundleRef.key', ['ca.crt', 'other.crt', 'none.crt'], ready, withRef),
  field('endEntityProfile', ['EE1', 'EE2'], sent('endEntityProfileName')),
  field('certificateProfile', ['CP1', 'CP2'], sent('certificateProfileName')),
  field('caName', ['One', 'Two'], sent('caName')),
  field(
    'caNameByKey.RSA',
    ['Two', 'Three', ABSENT],
    sent('caName', 'RSA-2048'),
    base({ caNameByKey: { ECDSA: 'Four' } }),
  ),
  field('caNameByKey.ECDSA', ['Two', 'Three', ABSENT], sent('caName'), base({ caNameByKey: { RSA: 'Four' } })),
  field(
    'caNameByKey.Ed25519',
    ['Two', 'Three', ABSENT],
    sent('caName', 'Ed25519'),
    base({ caNameByKey: { RSA: 'Four' } }),
  ),
  field('username', ['{CN}', 'acme-{CN}', '{random}', ABSENT], sent('username')),
  field('password', ['{CN}', 'x{CN}', ABSENT], sent('password')),
  field('email', ['a@example.test', 'b@example.test', ABSENT], sent('email')),
  field('notify', [true, false], sent('sendNotification'), base({ email: 'a@example.test' })),
  field('overrideValidity', [true, false], async (spec) => typeof (await asks(spec)).asked['startTime']),
  field('timeout', ['1s', '30s'], slowly),
  field('concurrency', [1, 8, ABSENT], async (spec) => (await asks(spec)).backend.concurrency),
];
