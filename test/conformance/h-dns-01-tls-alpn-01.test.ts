// Checklist section H, dns-01 and tls-alpn-01: lines 99 to 103.
import { expect } from 'vitest';
import { authorize, complete, dnsValue, newOrder } from '../support/acme-flow.ts';
import { freshName } from '../support/names.ts';
import { type AlpnVariant, reverseName } from '../support/tls-alpn-responder.ts';
import { conformance } from './line.ts';
import { pendingChallenge, swapCase, verdict } from './pending.ts';

const line = conformance(import.meta.filename);

line(99, 'dns-01: the right TXT record', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  t.dns.set(`_acme-challenge.${name}`, 'TXT', [dnsValue(challenge.token, acme.account.key)]);
  expect(await verdict(acme, challenge)).toBe('valid');
  expect(t.dns.queries(`_acme-challenge.${name}`, 'TXT')).toBeGreaterThan(0);
});

line(99, 'dns-01: any matching record suffices, and many others do not disturb', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  const others = Array.from({ length: 40 }, (_, index) => `other record number ${index}`);
  t.dns.set(`_acme-challenge.${name}`, 'TXT', [...others, dnsValue(challenge.token, acme.account.key), 'x']);
  expect(await verdict(acme, challenge)).toBe('valid');
});

line(99, 'dns-01: the strings of one record are joined', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  const value = dnsValue(challenge.token, acme.account.key);
  t.dns.set(`_acme-challenge.${name}`, 'TXT', [[value.slice(0, 10), value.slice(10, 11), value.slice(11)]]);
  expect(await verdict(acme, challenge)).toBe('valid');
});

line(99, 'dns-01: a CNAME is followed', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  const [hop, target] = [freshName('hop'), freshName('target')];
  t.dns.alias(`_acme-challenge.${name}`, hop);
  t.dns.alias(hop, target);
  t.dns.set(target, 'TXT', [dnsValue(challenge.token, acme.account.key)]);
  expect(await verdict(acme, challenge)).toBe('valid');
});

line(99, 'dns-01: a wildcard uses its base name', async (t) => {
  const acme = await t.shared();
  const base = freshName();
  const { challenge } = await pendingChallenge(acme, 'dns-01', `*.${base}`);
  t.dns.set(`_acme-challenge.${base}`, 'TXT', [dnsValue(challenge.token, acme.account.key)]);
  expect(await verdict(acme, challenge)).toBe('valid');
  expect(t.dns.queries(`_acme-challenge.*.${base}`)).toBe(0);
});

const dns01Refused: Record<string, (value: string, name: string, answer: string) => (string | readonly string[])[]> = {
  'a value with a blank after it': (value) => [`${value} `],
  'a value in quotes': (value) => [`"${value}"`],
  'a value in another case': (value) => [swapCase(value)],
  'the key authorization itself': (_value, _name, answer) => [answer],
  'a value in two records': (value) => [value.slice(0, 20), value.slice(20)],
  'an empty record': () => [''],
};
for (const [name, recordsOf] of Object.entries(dns01Refused)) {
  line(99, `dns-01 refuses ${name}`, async (t) => {
    const acme = await t.shared();
    const { name: domain, challenge, answer } = await pendingChallenge(acme, 'dns-01');
    t.dns.set(
      `_acme-challenge.${domain}`,
      'TXT',
      recordsOf(dnsValue(challenge.token, acme.account.key), domain, answer),
    );
    expect(await verdict(acme, challenge)).toBe('refused');
  });
}

line(99, 'dns-01 does not look at the name itself', async (t) => {
  const acme = await t.shared();
  const { name, challenge } = await pendingChallenge(acme, 'dns-01');
  t.dns.set(name, 'TXT', [dnsValue(challenge.token, acme.account.key)]);
  expect(await verdict(acme, challenge)).toBe('refused');
});

line(100, 'dns-01 is not offered for an address', async (t) => {
  const acme = await t.client();
  for (const name of ['ip:127.0.0.1', 'ip:::1']) {
    const { object } = await newOrder(acme, [name]);
    const { challenges } = (await acme.get(object.authorizations[0] ?? '')).json;
    expect(challenges.map(({ type }) => type).sort()).toEqual(['http-01', 'tls-alpn-01']);
  }
});

line(100, 'http-01 and tls-alpn-01 are not offered for a wildcard', async (t) => {
  const acme = await t.shared();
  const { object } = await newOrder(acme, [`*.${freshName()}`]);
  const { challenges } = (await acme.get(object.authorizations[0] ?? '')).json;
  const types = challenges.map(({ type }) => type);
  expect(types).toContain('dns-01');
  expect(types).not.toContain('http-01');
  expect(types).not.toContain('tls-alpn-01');
});

line(101, 'tls-alpn-01 with the right certificate', async (t) => {
  const acme = await t.shared();
  const { name, challenge, answer } = await pendingChallenge(acme, 'tls-alpn-01');
  t.tlsAlpn.set(name, { name, keyAuthorization: answer });
  expect(await verdict(acme, challenge)).toBe('valid');
  expect(t.tlsAlpn.serverNames).toContain(name);
});

const variants: readonly AlpnVariant[] = [
  'not-critical',
  'wrong-digest',
  'no-extension',
  'wrong-oid',
  'extra-name',
  'wrong-name',
  'other-name-type',
  'name-only-in-subject',
  'tls-1.1',
  'wrong-protocol',
  'no-protocol',
];
for (const variant of variants) {
  line(101, `tls-alpn-01 refuses ${variant}`, async (t) => {
    const acme = await t.shared();
    const { name, challenge, answer } = await pendingChallenge(acme, 'tls-alpn-01');
    t.tlsAlpn.set(name, { name, keyAuthorization: answer, variant });
    expect(await verdict(acme, challenge)).toBe('refused');
    expect(t.tlsAlpn.serverNames, 'the responder was asked').toContain(name);
  });
}

line(102, 'tls-alpn-01 of an address: the reverse name as SNI, the address in the SAN', async (t) => {
  const acme = await t.client();
  const { challenge, answer } = await pendingChallenge(acme, 'tls-alpn-01', 'ip:127.0.0.1');
  t.tlsAlpn.set(reverseName('127.0.0.1'), { name: 'ip:127.0.0.1', keyAuthorization: answer });
  expect(await verdict(acme, challenge)).toBe('valid');
  expect(t.tlsAlpn.serverNames).toContain('1.0.0.127.in-addr.arpa');
});

line(102, 'tls-alpn-01 of an address refuses the reverse name in the SAN, and another address', async (t) => {
  const acme = await t.client();
  for (const name of [reverseName('127.0.0.1'), 'ip:127.0.0.2', '127.0.0.1']) {
    const { challenge, answer } = await pendingChallenge(acme, 'tls-alpn-01', 'ip:127.0.0.1');
    t.tlsAlpn.set(reverseName('127.0.0.1'), { name, keyAuthorization: answer });
    expect(await verdict(acme, challenge), name).toBe('refused');
  }
});

line(103, 'dns-account-01 and dns-persist-01 are absent', async (t) => {
  const acme = await t.shared();
  for (const name of [freshName(), `*.${freshName()}`]) {
    const { object } = await newOrder(acme, [name]);
    const { challenges } = (await acme.get(object.authorizations[0] ?? '')).json;
    for (const { type } of challenges) expect(['http-01', 'dns-01', 'tls-alpn-01']).toContain(type);
  }
});

line(99, 'a certificate can be had by dns-01 alone and by tls-alpn-01 alone', async (t) => {
  const acme = await t.client();
  for (const type of ['dns-01', 'tls-alpn-01']) {
    const order = await newOrder(acme, [freshName()]);
    await authorize(acme, t, order.object.authorizations[0] ?? '', type);
    await complete(acme, order);
  }
});
