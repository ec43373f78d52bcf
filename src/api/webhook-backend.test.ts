import { expect, test } from 'vitest';
import { buildCaCertificate, createKeyPair, pemOf } from '../../test/support/certificate-builder.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from './ca-issuer.ts';
import { validateObject } from './validate.ts';

const PEM = pemOf('CERTIFICATE', buildCaCertificate('root', createKeyPair()));
const GOOD = {
  url: 'https://signer.test/sign',
  trustAnchors: PEM,
  authentication: { hmac: { secretRef: { name: 'key', key: 'key' } } },
};

function faults(webhook: object, more: object = {}): string[] {
  const backend = { webhook: { ...GOOD, ...webhook }, ...more };
  const object = { metadata: { name: 'x' }, spec: { backend } } as unknown as ClusterCAIssuer;
  return validateObject(ClusterCAIssuerKind, object).map(({ path, message }) => `${path}: ${message}`);
}

test('a webhook with all that belongs to it is taken', () => {
  expect(faults({})).toEqual([]);
  expect(faults({ authentication: { clientCertificateRef: { name: 'client' } }, caBundle: PEM + PEM })).toEqual([]);
});

const at = (field: string, message: string) => `spec.backend.webhook.${field}: ${message}`;
const broken = PEM.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');

test.each<[string, object, string]>([
  [
    'plain HTTP',
    { url: 'http://signer.test/sign' },
    at('url', 'must be an https URL without user, query and fragment'),
  ],
  [
    'a password in the URL',
    { url: 'https://u:p@signer.test/' },
    at('url', 'must be an https URL without user, query and fragment'),
  ],
  ['a query', { url: 'https://signer.test/?a=b' }, at('url', 'must be an https URL without user, query and fragment')],
  ['no URL', { url: 'https://' }, at('url', 'must be an https URL without user, query and fragment')],
  ['no certificate to trust', { trustAnchors: 'none' }, at('trustAnchors', 'holds no certificate in PEM')],
  ['no authentication', { authentication: {} }, at('authentication', 'has exactly one of clientCertificateRef, hmac')],
  [
    'two kinds of it',
    { authentication: { ...GOOD.authentication, clientCertificateRef: { name: 'client' } } },
    at('authentication', 'has exactly one of clientCertificateRef, hmac'),
  ],
  [
    'two CA bundles',
    { caBundle: PEM, caBundleRef: { name: 'a', key: 'b' } },
    'spec.backend.webhook: caBundle and caBundleRef do not go together',
  ],
  ['a time-out of hours', { timeout: '2h' }, at('timeout', 'must be longer than zero and at most 10m')],
])('%s is refused', (_, webhook, fault) => {
  expect(faults(webhook)).toEqual([fault]);
});

test('a certificate that cannot be read is refused', () => {
  expect(faults({ trustAnchors: broken })).toEqual([
    expect.stringContaining(at('trustAnchors', 'holds a certificate that cannot be read')),
  ]);
});

test('an issuer has exactly one backend', () => {
  expect(faults({}, { ca: { secretRef: { name: 'ca' } } })).toEqual([
    'spec.backend: has exactly one of acme, ca, certbot, ejbca, webhook',
  ]);
});
