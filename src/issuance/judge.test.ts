// Rules about every address of a name, where the DNS tells some of them only.
import { expect, test } from 'vitest';
import { allowing, anIssuer, type SpecParts } from '../../test/policy/fixtures.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import type { ClusterCAIssuer } from '../api/ca-issuer.ts';
import { parsePublicKey } from '../domain/public-key.ts';
import { compileExpression } from '../expressions/cel.ts';
import type { Cache, DnsAnswer, Resolver } from '../ports.ts';
import { createKeyPair } from '../../test/support/certificate-builder.ts';
import { createJudge } from './judge.ts';

const signal = AbortSignal.timeout(60_000);
const inside: DnsAnswer<string> = { state: 'found', records: ['10.20.0.1'] };
const half: DnsAnswer<string> = { ...inside, incomplete: true };
const SERVERS: SpecParts = { constraints: { servers: { cidrs: ['10.20.0.0/16'] } } };
const publicKey = parsePublicKey(createKeyPair().publicKey.export({ format: 'der', type: 'spki' }));

function judgeWith(parts: SpecParts, answer: DnsAnswer<string>, issuer: ClusterCAIssuer = anIssuer()) {
  const policies = [allowing('team', ['**.test'], parts)];
  const judge = createJudge({
    policies: { list: () => policies, onChange: () => () => undefined } as unknown as Cache<never>,
    livePolicies: async () => policies,
    compile: compileExpression,
    resolverOf: () => ({ addresses: async () => answer }) as unknown as Resolver,
    random: createFakeRandom(),
    audit: { record: () => undefined },
    decisions: { inc: () => undefined },
  });
  const names = { dnsNames: ['a.test'], ipAddresses: [], uris: [], emailAddresses: [] };
  return {
    finalize: () =>
      judge.atFinalize({
        issuer,
        id: 'order',
        judged: { door: 'ACME', requester: {}, names, subject: [], publicKey, usages: ['server auth'] },
        keyInUse: () => false,
        signal,
      }),
    validation: (addresses: readonly string[], incomplete: boolean) => {
      const identifier = { type: 'dns', value: 'a.test' } as const;
      return judge.atValidation({ issuer, requester: {}, identifier, addresses, incomplete, signal });
    },
  };
}

test('where a policy is about every address, a family that did not answer is asked for again, not taken for empty', async () => {
  expect(await judgeWith(SERVERS, inside).finalize()).toMatchObject({ allowed: true });
  await expect(judgeWith(SERVERS, half).finalize()).rejects.toMatchObject({ type: 'serverInternal', status: 503 });
});

test('so it is where the issuer denies networks', async () => {
  const issuer = anIssuer({ deny: { cidrs: ['192.0.2.0/24'] } });
  expect(await judgeWith({}, inside, issuer).finalize()).toMatchObject({ allowed: true });
  await expect(judgeWith({}, half, issuer).finalize()).rejects.toMatchObject({ status: 503 });
});

test('where nobody asks where the name lives, one family is enough', async () => {
  expect(await judgeWith({}, half).finalize()).toMatchObject({ allowed: true });
  expect(await judgeWith({}, half).validation(['10.20.0.1'], true)).toBeUndefined();
});

test('validation is tried again for the missing family, unless what is known is refused already', async () => {
  const { validation } = judgeWith(SERVERS, half);
  expect(await validation(['10.20.0.1'], false)).toBeUndefined();
  expect(await validation(['10.20.0.1'], true)).toMatchObject({ type: 'dns' });
  expect(await validation(['192.0.2.1'], true)).toMatchObject({ type: 'rejectedIdentifier' });
});
