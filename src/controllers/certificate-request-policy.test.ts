import { expect, test } from 'vitest';
import { startWorld, type World } from '../../test/fakes/world.ts';
import { CertificateRequestPolicyKind } from '../api/certificate-request-policy.ts';
import { EventKind } from '../api/core.ts';
import { findCondition } from '../domain/conditions.ts';

const aPolicy = (value: string) => ({
  metadata: { name: 'team' },
  spec: { selector: {}, allowed: { dnsNames: { values: [value] } } },
});

async function ready(world: World) {
  const policy = await world.store.cluster.get(CertificateRequestPolicyKind, { name: 'team' });
  const { status, reason, message, observedGeneration } = findCondition(policy?.status?.conditions, 'Ready') ?? {};
  return { status, reason, message, observedGeneration };
}

test('a broken policy says why and that it is skipped; a mended one is in force; nothing more is written', async () => {
  const world = await startWorld(undefined, {
    policyFault: ({ spec }) =>
      spec.allowed.dnsNames?.values[0] === 'bad.example' ? 'rule 1 does not compile: unexpected )' : undefined,
  });
  await world.store.cluster.create(CertificateRequestPolicyKind, aPolicy('bad.example'));
  await world.quiet();
  expect(await ready(world)).toEqual({
    status: 'False',
    reason: 'Broken',
    message: 'the policy is skipped: rule 1 does not compile: unexpected )',
    observedGeneration: 1,
  });
  expect(world.writes()).toEqual(['replaceStatus CertificateRequestPolicy', 'create Event']);
  expect((await world.store.cluster.list(EventKind)).items.map(({ type, reason }) => [type, reason])).toEqual([
    ['Warning', 'Broken'],
  ]);
  const policy = await world.store.cluster.get(CertificateRequestPolicyKind, { name: 'team' });
  if (!policy) throw new Error('no policy');
  await world.store.cluster.replace(CertificateRequestPolicyKind, { ...policy, spec: aPolicy('good.example').spec });
  await world.quiet();
  expect(await ready(world)).toEqual({
    status: 'True',
    reason: 'Valid',
    message: 'the policy is in force',
    observedGeneration: 2,
  });
  expect(world.writes()).toEqual(['replaceStatus CertificateRequestPolicy']);
  await world.pass(3 * 86_400_000, 6);
  expect(world.writes()).toEqual([]);
  await world.stop();
});
