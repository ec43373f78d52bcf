import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ConfigError, parseConfig } from './config.ts';

const mistakes = (text: string, podNamespace?: string): Record<string, string> => {
  try {
    parseConfig(text, podNamespace);
  } catch (error) {
    if (error instanceof ConfigError) return Object.fromEntries(error.errors.map((each) => [each.path, each.message]));
    throw error;
  }
  return {};
};

test('without a file everything has a default but the namespace, which the ServiceAccount tells', () => {
  expect(parseConfig('', 'pki')).toEqual({
    externalURLs: ['https://countersign.pki.svc'],
    distributionURL: 'http://countersign.pki.svc:8080',
    namespace: 'pki',
    watchNamespaces: undefined,
    clusterDomain: 'cluster.local',
    serviceName: 'countersign',
    listen: { address: undefined, acme: 8443, distribution: 8080, peers: 8444 },
    trustProxy: [],
    tlsSecretName: undefined,
    rotateAfterMs: 2160 * 3_600_000,
    leaseName: 'countersign-leader',
    tenantBackends: [],
    deniedNetworks: [],
    logLevel: 'info',
  });
  expect(mistakes('')).toEqual({ namespace: 'is required outside a cluster: the namespace of the operator' });
});

test('JSON is read as YAML is, and the result is frozen to its leaves', () => {
  const config = parseConfig('{"namespace": "pki", "listen": {"acme": 443}}', undefined);
  expect(config.listen.acme).toBe(443);
  expect([config, config.listen, config.externalURLs].every(Object.isFrozen)).toBe(true);
});

test('each member reaches the configuration', () => {
  const text = readFileSync('examples/serve/config.yaml', 'utf8');
  expect(parseConfig(text, undefined)).toEqual({
    externalURLs: ['https://acme.corp.example', 'https://countersign.countersign-system.svc'],
    distributionURL: 'http://pki.corp.example',
    namespace: 'countersign-system',
    watchNamespaces: ['payments', 'shop'],
    clusterDomain: 'corp.internal',
    serviceName: 'countersign',
    listen: { address: '::', acme: 8443, distribution: 8080, peers: 8444 },
    trustProxy: ['10.0.0.7'],
    tlsSecretName: 'acme-corp-example-tls',
    rotateAfterMs: 720 * 3_600_000,
    leaseName: 'countersign-leader',
    tenantBackends: ['webhook'],
    deniedNetworks: ['192.168.10.0/24'],
    logLevel: 'info',
  });
});

test('every mistake is told at once, each at its path', () => {
  expect(
    mistakes(`
      externalURL: [https://x.example]
      distributionURL: https://x.example
      listen: {acme: 70000, peers: eight}
      logging: {level: verbose}
      tenantBackends: [ejbca]
    `),
  ).toEqual({
    externalURL: 'unknown field, did you mean externalURLs?',
    distributionURL: expect.stringContaining('must be an origin') as string,
    'listen.acme': 'must be a whole number of 1 to 65535, not 70000',
    'listen.peers': 'must be a whole number of 1 to 65535, not "eight"',
    'tenantBackends[0]': expect.stringContaining('must be acme or webhook') as string,
    'logging.level': expect.stringContaining('must be debug, info, warn or error') as string,
  });
});

test('rules across members are told at once too', () => {
  expect(
    mistakes(`
      namespace: pki
      externalURLs: [https://a.example, "https://A.example:443", https://a.example]
      listen: {address: 10.0.0.300, acme: 8080, peers: 8080}
      trustProxy: [10.0.0.0/33]
      sealingKeys: {rotateAfter: 1h}
    `),
  ).toEqual({
    'externalURLs[1]': 'must be written https://a.example',
    'externalURLs[2]': 'repeats https://a.example',
    'listen.address': 'must be an IP address',
    'listen.distribution': 'is 8080, as listen.acme is: ports must differ',
    'listen.peers': 'is 8080, as listen.acme is: ports must differ',
    'trustProxy[0]': 'must be a network such as 10.0.0.0/8',
    'sealingKeys.rotateAfter': 'must be 24h or more',
  });
});

test('text that is no YAML, a list and a flood of aliases are mistakes of the whole', () => {
  expect(Object.keys(mistakes('a: [', 'pki'))).toEqual(['']);
  expect(mistakes('- a', 'pki')['']).toContain('must be a mapping');
  const bomb = `a: &a [${'x,'.repeat(9)}]\nb: &b [${'*a,'.repeat(40)}]\nc: [${'*b,'.repeat(99)}]`;
  expect(Object.keys(mistakes(bomb, 'pki'))).toEqual(['']);
});
