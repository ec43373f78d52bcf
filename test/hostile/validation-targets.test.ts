// Hostile inputs 54 and 55: names and addresses that lead where validation must never go, judged by the deny-list of `serve`.
import { expect } from 'vitest';
import { createDenyList } from '../../src/domain/deny-list.ts';
import { provision } from '../support/acme-flow.ts';
import { freshName } from '../support/names.ts';
import type { Arena } from './arena.ts';
import { fails, OUTCOME, type Pending, pending } from './challenge.ts';
import { inAHurry } from './hurry.ts';
import { hostile } from './input.ts';

/** The API server, a Pod of our own and the nodes. */
const OWN = ['10.96.0.1', '10.1.2.3/32', '172.18.0.0/16'];
const input = hostile({
  harness: (responders) => ({
    overrides: inAHurry(createDenyList(OWN), responders),
    policy: {
      selector: {},
      allowed: { dnsNames: { values: ['**.test'], wildcards: true }, ipAddresses: { cidrs: ['0.0.0.0/0', '::/0'] } },
    },
  }),
});

/** Refused by the deny-list; nobody was dialled, and no name was looked up twice. */
async function neverDialled(a: Arena, one: Pending): Promise<void> {
  provision(a, one.challenge, one.identifier, one.acme.account.key);
  await fails(one, 'rejectedIdentifier', /which validation never contacts/);
  expect(a.http01.requestsFor(one.challenge.token)).toEqual([]);
  expect(a.tlsAlpn.serverNames).not.toContain(one.identifier.value);
  if (one.identifier.type !== 'dns') return;
  for (const family of ['A', 'AAAA'] as const)
    expect(a.dns.queries(one.identifier.value, family)).toBeLessThanOrEqual(1);
}

const targets: Record<string, { A?: string[]; AAAA?: string[] }> = {
  loopback: { A: ['127.0.0.1'] },
  'another loopback address': { A: ['127.99.1.2'] },
  'loopback beside a good address': { A: ['192.0.2.1', '127.0.0.1'] },
  'loopback of the other family': { A: ['192.0.2.1'], AAAA: ['::1'] },
  'the metadata service': { A: ['169.254.169.254'] },
  'another metadata service': { A: ['168.63.129.16'] },
  'the metadata service over IPv6': { A: [], AAAA: ['fd00:ec2::254'] },
  'the API server': { A: ['10.96.0.1'] },
  'a Pod of our own': { A: ['10.1.2.3'] },
  'a node': { A: ['172.18.0.2'] },
  'the unspecified address': { A: ['0.0.0.0'] },
  'this network': { A: ['0.1.2.3'] },
  multicast: { A: ['224.0.0.1'] },
  broadcast: { A: ['255.255.255.255'] },
  '::1': { A: [], AAAA: ['::1'] },
  '::': { A: [], AAAA: ['::'] },
  'link-local IPv6': { A: [], AAAA: ['fe80::1'] },
  'multicast IPv6': { A: [], AAAA: ['ff02::1'] },
  'mapped loopback': { A: [], AAAA: ['::ffff:127.0.0.1'] },
  'the mapped metadata service': { A: [], AAAA: ['::ffff:169.254.169.254'] },
  'the mapped API server': { A: [], AAAA: ['::ffff:10.96.0.1'] },
  'compatible loopback': { A: [], AAAA: ['::7f00:1'] },
  'loopback behind NAT64': { A: [], AAAA: ['64:ff9b::7f00:1'] },
  'the API server behind NAT64': { A: [], AAAA: ['64:ff9b::a60:1'] },
  'the metadata service behind local NAT64': { A: [], AAAA: ['64:ff9b:1::a9fe:a9fe'] },
  'loopback behind 6to4': { A: [], AAAA: ['2002:7f00:1::'] },
  Teredo: { A: [], AAAA: ['2001:0:7f00:1::'] },
};
for (const [what, records] of Object.entries(targets)) {
  for (const type of ['http-01', 'tls-alpn-01']) {
    input(
      54,
      `${type} of a name at ${what}`,
      async (a) => {
        const one = await pending(a, type);
        for (const family of ['A', 'AAAA'] as const) a.dns.set(one.identifier.value, family, records[family] ?? []);
        await neverDialled(a, one);
      },
      OUTCOME,
    );
  }
}

input(
  54,
  'http-01 of a name that is an alias of one at loopback',
  async (a) => {
    const one = await pending(a, 'http-01');
    const target = freshName('localhost');
    a.dns.alias(one.identifier.value, target);
    a.dns.set(target, 'A', ['127.0.0.1']);
    await neverDialled(a, one);
  },
  OUTCOME,
);

for (const address of [
  '127.0.0.1',
  '::1',
  '0.0.0.0',
  '::',
  '169.254.169.254',
  'fe80::1',
  '10.96.0.1',
  '64:ff9b::7f00:1',
  '224.0.0.1',
]) {
  for (const type of ['http-01', 'tls-alpn-01']) {
    input(
      54,
      `${type} of the address ${address}, which policy allows`,
      async (a) => neverDialled(a, await pending(a, type, { name: `ip:${address}` })),
      OUTCOME,
    );
  }
}

input(
  55,
  'a name that is elsewhere at first and at loopback from then on: each attempt looks up and judges anew',
  async (a) => {
    const one = await pending(a, 'http-01');
    const { value } = one.identifier;
    provision(a, one.challenge, one.identifier, one.acme.account.key);
    // Documentation addresses (RFC 5737) answer nobody, so the first attempt ends in time.
    a.dns.set(value, 'A', ['192.0.2.1']);
    const first = new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (a.dns.queries(value, 'A') === 0) return;
        clearInterval(timer);
        a.dns.set(value, 'A', ['127.0.0.1']);
        resolve();
      }, 5);
    });
    await fails(one, 'rejectedIdentifier', /loopback.*\(after 2 attempts\)/);
    await first;
    expect(a.dns.queries(value, 'A')).toBe(2);
    expect(a.http01.requestsFor(one.challenge.token)).toEqual([]);
  },
  OUTCOME,
);

input.finish();
