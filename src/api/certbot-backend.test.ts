import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readConfiguration } from '../backends/certbot/configuration.ts';
import { type ClusterCAIssuer, ClusterCAIssuerKind } from './ca-issuer.ts';
import { CAIssuerKind } from './issuer.ts';
import { validateObject } from './validate.ts';

const example = parse(
  readFileSync(join(import.meta.dirname, '../../examples/certbot/issuer.yaml'), 'utf8'),
) as ClusterCAIssuer;
const GOOD = example.spec.backend.certbot as Record<string, unknown>;

const faults = (more: object) => {
  const certbot = JSON.parse(JSON.stringify({ ...GOOD, ...more })) as object;
  const object = { metadata: { name: 'x' }, spec: { backend: { certbot } } };
  return validateObject(ClusterCAIssuerKind, object as never).map(
    ({ path, message }) => `${path.replace('spec.backend.certbot', '')}: ${message}`,
  );
};

test('the example is one the API accepts, with a configuration that may be', () => {
  expect(validateObject(ClusterCAIssuerKind, example)).toEqual([]);
  expect(readConfiguration(String(GOOD['config'])).server).toBe('https://ca.example/acme/directory');
});

test.each<[string, object, string]>([
  ['no configuration', { config: undefined }, ': has exactly one of config, configRef'],
  ['two of them', { configRef: { name: 'a', key: 'b' } }, ': has exactly one of config, configRef'],
  [
    'two bundles',
    { caBundle: GOOD['trustAnchors'], caBundleRef: { name: 'a', key: 'b' } },
    ': caBundle and caBundleRef do not go together',
  ],
  ['nothing to trust', { trustAnchors: 'none' }, '.trustAnchors: holds no certificate in PEM'],
  ['no time', { deadline: '4s' }, '.deadline: must be at least 5s and at most 1h'],
  ['a word for an image', { image: 'a --b' }, '.image: must be the reference of an image, without spaces'],
  [
    'a plugin that would be an argument',
    { dns01: { plugin: '-x', credentialsSecretRef: { name: 'a', key: 'b' } } },
    '.dns01.plugin: must be lower-case letters, digits and hyphens',
  ],
  [
    'a quantity that is none',
    { resources: { limits: { memory: 'much' } } },
    '.resources.limits.memory: must be a quantity such as 100m or 128Mi',
  ],
])('%s is refused', (_, more, fault) => {
  expect(faults(more)).toEqual([fault]);
});

test('a CAIssuer does not run certbot', () => {
  const object = { metadata: { name: 'x', namespace: 'team' }, spec: { backend: { certbot: GOOD } } };
  expect(validateObject(CAIssuerKind, object as never)).not.toEqual([]);
});
