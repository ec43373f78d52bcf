import { expect, test } from 'vitest';
import { createFakeStore } from '../../test/fakes/world.ts';
import { SecretKind } from '../api/core.ts';
import { countWrites } from './counted-cluster.ts';
import { createMetrics } from './metrics.ts';

async function lines(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  const { contentType, body } = await metrics.render();
  expect(contentType).toMatch(/^text\/plain/);
  return body.split('\n');
}

test('counters and histograms come out under our names', async () => {
  const metrics = createMetrics();
  metrics.issued.inc({ issuer: 'corporate', door: 'ACME' });
  metrics.issued.inc({ issuer: 'corporate', door: 'ACME' }, 2);
  metrics.refused.inc({ issuer: 'corporate', issuer_namespace: 'team-a', door: 'ACME', reason: 'badCSR' });
  metrics.requestSeconds.observe({ route: 'newOrder' }, 0.02);
  const text = await lines(metrics);
  expect(text).toContain('countersign_certificates_issued_total{issuer="corporate",issuer_namespace="",door="ACME"} 3');
  expect(text).toContain(
    'countersign_requests_refused_total{issuer="corporate",issuer_namespace="team-a",door="ACME",reason="badCSR"} 1',
  );
  expect(text).toContain('countersign_http_request_duration_seconds_count{route="newOrder"} 1');
  expect(text).toContain('countersign_http_request_duration_seconds_bucket{le="0.025",route="newOrder"} 1');
  expect(
    text.filter((line) => line !== '' && !line.startsWith('#')).every((line) => line.startsWith('countersign_')),
  ).toBe(true);
  metrics.close();
});

test('a label too many or too few does not fail the caller', async () => {
  const metrics = createMetrics();
  metrics.nonces.inc({ outcome: 'accepted', extra: 'x' });
  metrics.validations.inc({ challenge: 'http-01' });
  metrics.issued.inc();
  const text = await lines(metrics);
  expect(text).toContain('countersign_nonces_redeemed_total{outcome="accepted"} 1');
  expect(text).toContain('countersign_validations_total{challenge="http-01",outcome=""} 1');
  metrics.close();
});

test('two sets of metrics share nothing', async () => {
  const [a, b] = [createMetrics(), createMetrics()];
  a.nonces.inc({ outcome: 'accepted' });
  expect((await lines(b)).some((line) => line.startsWith('countersign_nonces_redeemed_total{'))).toBe(false);
  a.close();
  b.close();
});

test('a gauge is read when asked; the event loop shows how late it runs', async () => {
  const metrics = createMetrics();
  let depth = 1;
  metrics.gauge('queueDepth', { name: 'certificate-claim' }, () => depth);
  metrics.gauge('queueDepth', { name: 'ca-issuer' }, () => 3);
  metrics.gauge('reflectorAge', { kind: 'Secret' }, () => 0.5);
  depth = 7;
  const text = await lines(metrics);
  expect(text).toContain('countersign_workqueue_depth{name="certificate-claim"} 7');
  expect(text).toContain('countersign_workqueue_depth{name="ca-issuer"} 3');
  expect(text).toContain('countersign_reflector_last_contact_age_seconds{kind="Secret"} 0.5');
  expect(text.filter((line) => line.startsWith('countersign_event_loop_lag_seconds{'))).toHaveLength(3);
  metrics.close();
});

test('writes to the cluster are counted by kind, verb and outcome; reads are not', async () => {
  const counts: string[] = [];
  const cluster = countWrites(createFakeStore().cluster, {
    inc: (labels) => void counts.push(`${labels?.verb} ${labels?.kind} ${labels?.outcome}`),
  });
  const secret = { metadata: { namespace: 'default', name: 'a' }, type: 'Opaque' };
  const made = await cluster.create(SecretKind, secret);
  await expect(cluster.create(SecretKind, secret)).rejects.toThrow();
  await cluster.replace(SecretKind, { ...made, data: { x: 'eA==' } });
  await expect(cluster.replace(SecretKind, made)).rejects.toThrow();
  await cluster.apply(SecretKind, secret, { fieldManager: 'test' });
  expect(await cluster.get(SecretKind, made.metadata)).toBeDefined();
  expect((await cluster.list(SecretKind)).items).toHaveLength(1);
  expect(await cluster.delete(SecretKind, made.metadata)).toBe(true);
  expect(counts).toEqual([
    'create Secret ok',
    'create Secret AlreadyExists',
    'replace Secret ok',
    'replace Secret Conflict',
    'apply Secret ok',
    'delete Secret ok',
  ]);
});
