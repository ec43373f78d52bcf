// What a policy asks for besides: that names are validated, or that the namespace is known.
import { expect, test } from 'vitest';
import { allowing, decide, told } from './fixtures.ts';

const NAME = 'www.example.com';
const unproven = new Set([`dns:${NAME}`]);
const known = { account: 'acct-1', namespace: 'team-a' };
const trusting = allowing('trusting', ['*.example.com'], { proof: 'Namespace' });
const asking = allowing('asking', ['*.example.com'], { priority: 10 });

test('a name that nobody validated needs a policy that is content with the namespace, whichever comes first', () => {
  expect(told(decide([asking], { unproven, requester: known }))).toContain('has not been validated');
  expect(decide([asking, trusting], { unproven, requester: known })).toMatchObject({
    verdict: 'allow',
    policy: 'trusting',
  });
  expect(decide([asking, trusting], { requester: known })).toMatchObject({ verdict: 'allow', policy: 'asking' });
});

test('such a policy gives nothing to a requester without a namespace', () => {
  expect(told(decide([trusting], { unproven, requester: { account: 'acct-1' } }))).toContain('has not been validated');
  expect(decide([trusting], { requester: { account: 'acct-1' } })).toMatchObject({ verdict: 'allow' });
});

test('every name counts, and one that is proven is no reason', () => {
  const names = [NAME, 'api.example.com'];
  const detail = told(decide([asking], { names, unproven, requester: known }));
  expect(detail).toContain(NAME);
  expect(detail).not.toContain('api.example.com');
});
