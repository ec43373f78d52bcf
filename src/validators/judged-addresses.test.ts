import { expect, test } from 'vitest';
import { createDenyList } from '../domain/deny-list.ts';
import { Unavailable } from '../domain/unavailable.ts';
import type { DnsAnswer, Resolver } from '../ports.ts';
import { createJudgedAddresses } from './judged-addresses.ts';

const { signal } = new AbortController();

function judged(answer: DnsAnswer<string>) {
  const asked: string[] = [];
  const resolver = {
    addresses: async (host: string) => {
      asked.push(host);
      return answer;
    },
  } as unknown as Resolver;
  return { asked, of: createJudgedAddresses({ denyList: createDenyList(['10.96.0.1']), resolver }) };
}

test('a name has the addresses that it had when it was judged', async () => {
  const records = ['10.1.2.3', '2001:db8::1'];
  const { of, asked } = judged({ state: 'found', records });
  expect(await of('signer.corp.example', signal)).toEqual(records);
  expect(asked).toEqual(['signer.corp.example']);
});

test.each([
  ['127.0.0.1', 'a loopback address'],
  ['169.254.169.254', 'a link-local address'],
  ['10.96.0.1', "an address of the cluster's API server or of this server"],
  ['::ffff:127.0.0.1', 'a loopback address'],
])('a name that is at %s besides elsewhere is not dialled, nor is the address itself', async (address, reason) => {
  const { of, asked } = judged({ state: 'found', records: ['10.1.2.3', address] });
  await expect(of('signer.corp.example', signal)).rejects.toThrow(`signer.corp.example is at ${reason}`);
  await expect(of(address, signal)).rejects.toThrow(reason);
  expect(asked).toEqual(['signer.corp.example']);
});

test('a name without a known address is for another time', async () => {
  await expect(judged({ state: 'absent' }).of('signer.corp.example', signal)).rejects.toThrow(Unavailable);
  await expect(judged({ state: 'failed', reason: 'SERVFAIL' }).of('x.example', signal)).rejects.toThrow(Unavailable);
});
