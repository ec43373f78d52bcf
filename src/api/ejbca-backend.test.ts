import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { buildCaCertificate, createKeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from './ca-issuer.ts';
import { CAIssuerKind } from './issuer.ts';
import { validateObject } from './validate.ts';

const PEM = pemOf('CERTIFICATE', buildCaCertificate('root', createKeyPair()));
const GOOD = {
  url: 'https://ejbca.test:8443/ejbca/ejbcaws/ejbcaws',
  clientCertificateRef: { name: 'client' },
  trustAnchors: PEM,
  endEntityProfile: 'ACME',
  certificateProfile: 'SERVER',
  caName: 'CA',
};

function faults(ejbca: object): string[] {
  const object = { metadata: { name: 'x' }, spec: { backend: { ejbca: { ...GOOD, ...ejbca } } } };
  return validateObject(ClusterCAIssuerKind, object as unknown as ClusterCAIssuer).map(
    ({ path, message }) => `${path.replace('spec.backend.ejbca', '')}: ${message}`,
  );
}

test('an EJBCA with all that belongs to it is taken', () => {
  expect(faults({})).toEqual([]);
  expect(
    faults({ caName: undefined, caNameByKey: { RSA: 'CA' }, username: 'acme-{CN}{O}', password: '{random}' }),
  ).toEqual([]);
  expect(faults({ protocol: 'REST', notify: false })).toEqual([]);
  expect(faults({ caBundleRef: { kind: 'ConfigMap', name: 'a', key: 'b' }, email: 'a@b.test', notify: true })).toEqual(
    [],
  );
});

test.each<[string, object, string]>([
  ['plain HTTP', { url: 'http://ejbca.test/' }, '.url: must be an https URL without user, query and fragment'],
  ['a WSDL', { url: `${GOOD.url}?wsdl` }, '.url: must be an https URL without user, query and fragment'],
  ['no CA', { caName: undefined }, ': has caName, caNameByKey or both'],
  ['no CA for any key', { caNameByKey: {} }, '.caNameByKey: names a CA for one algorithm at least'],
  [
    'two CA bundles',
    { caBundle: PEM, caBundleRef: { name: 'a', key: 'b' } },
    ': caBundle and caBundleRef do not go together',
  ],
  ['notifications to nobody', { notify: true }, ': notify needs an email'],
  [
    'notifications by REST',
    { protocol: 'REST', email: 'a@b.test', notify: true },
    ': notify and overrideValidity need the protocol SOAP',
  ],
  [
    'validity by REST',
    { protocol: 'REST', overrideValidity: true },
    ': notify and overrideValidity need the protocol SOAP',
  ],
  ['a protocol that is none', { protocol: 'rest' }, '.protocol: must be SOAP or REST, not "rest"'],
  [
    'an attribute that is none',
    { username: '{SAN}' },
    '.username: must be text with {CN} or another attribute of the subject, {hash}, {random}',
  ],
  [
    'a brace that is not closed',
    { username: '{CN' },
    '.username: must be text with {CN} or another attribute of the subject, {hash}, {random}',
  ],
  [
    'a hash as password',
    { password: '{hash}' },
    '.password: must be text with {CN} or another attribute of the subject, {random}',
  ],
  ['nothing to trust', { trustAnchors: 'none' }, '.trustAnchors: holds no certificate in PEM'],
  ['a time-out of nothing', { timeout: '0s' }, '.timeout: must be longer than zero and at most 10m'],
])('%s is refused', (_, ejbca, fault) => {
  expect(faults(ejbca)).toEqual([fault]);
});

test('a CAIssuer does not reach out', () => {
  const object = { metadata: { name: 'x', namespace: 'team' }, spec: { backend: { ejbca: GOOD } } };
  expect(validateObject(CAIssuerKind, object as never)).not.toEqual([]);
});

test.each(['issuer', 'rest'])('the example %s is one the API accepts', (name) => {
  const example = join(import.meta.dirname, `../../examples/ejbca/${name}.yaml`);
  const issuer = parse(readFileSync(example, 'utf8')) as ClusterCAIssuer;
  expect(validateObject(ClusterCAIssuerKind, issuer)).toEqual([]);
});
