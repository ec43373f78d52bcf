// What an external account binding says of a requester, and for how long.
import { expect, test } from 'vitest';
import type { Authenticated } from './exchange.ts';
import { requesterOf } from './requester.ts';

function bound(...listed: string[]) {
  const keys = listed.map((keyID) => ({ keyID, secretRef: { name: 'eab', key: keyID } }));
  return requesterOf({
    account: { metadata: { name: 'ac' }, spec: { externalAccountBinding: { keyID: 'team-a', jws: '{}' } } },
    issuer: { spec: { acme: listed.length > 0 ? { externalAccountBinding: { mode: 'Optional', keys } } : {} } },
    source: '192.0.2.1',
  } as unknown as Authenticated);
}

test('an account speaks for the key it was bound with while the issuer lists that key, and no longer', () => {
  expect(bound('team-a', 'team-b')).toEqual({ account: 'ac', eabKeyID: 'team-a', source: '192.0.2.1' });
  expect(bound('team-b')).toEqual({ account: 'ac', source: '192.0.2.1' });
  expect(bound()).toEqual({ account: 'ac', source: '192.0.2.1' });
});
