// Checklist section H, http-01: lines 96 to 98.
import { expect } from 'vitest';
import { complete, readyOrder } from '../support/acme-flow.ts';
import { type Http01Answer, startHttp01Responder } from '../support/http01-responder.ts';
import { createSigningKey, keyAuthorization } from '../support/jws.ts';
import { namesOf, readCertificate } from './certificates.ts';
import { expectProblem } from './expectations.ts';
import { conformance } from './line.ts';
import { pendingChallenge, swapCase, verdict } from './pending.ts';

const line = conformance(import.meta.filename);

line(96, 'http-01 is a GET of the exact path with the name as Host', async (t) => {
  const acme = await t.shared();
  const { name, challenge, answer } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, { body: answer });
  expect(await verdict(acme, challenge)).toBe('valid');
  const requests = t.http01.requestsFor(challenge.token);
  expect(requests.length).toBeGreaterThan(0);
  for (const { method, url, host } of requests) {
    expect([method, url]).toEqual(['GET', `/.well-known/acme-challenge/${challenge.token}`]);
    expect([name, `${name}:${t.http01.port}`]).toContain(host);
  }
});

line(96, 'http-01 asks for the answer as it is, not compressed', async (t) => {
  const acme = await t.shared();
  const { challenge, answer } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, { body: answer });
  expect(await verdict(acme, challenge)).toBe('valid');
  for (const { headers } of t.http01.requestsFor(challenge.token))
    expect(headers['accept-encoding'] ?? 'identity').toBe('identity');
});

for (const [name, tail] of Object.entries({ 'a line feed': '\n', 'a line end': '\r\n', 'blanks and tabs': ' \t ' })) {
  line(96, `http-01 ignores whitespace after the answer: ${name}`, async (t) => {
    const acme = await t.shared();
    const { challenge, answer } = await pendingChallenge(acme, 'http-01');
    t.http01.set(challenge.token, { body: answer + tail });
    expect(await verdict(acme, challenge)).toBe('valid');
  });
}

const http01Refused: Record<string, (answer: string) => Http01Answer> = {
  'whitespace before it': (answer) => ({ body: ` ${answer}` }),
  'a byte order mark before it': (answer) => ({ body: `\ufeff${answer}` }),
  'text after it': (answer) => ({ body: `${answer} x` }),
  'another case': (answer) => ({ body: swapCase(answer) }),
  'the token alone': (answer) => ({ body: answer.split('.')[0] ?? '' }),
  'the thumbprint of another key': (answer) => ({
    body: keyAuthorization(answer.split('.')[0] ?? '', createSigningKey()),
  }),
  nothing: () => ({ body: '' }),
  'status 404': (answer) => ({ status: 404, body: answer }),
  'status 206': (answer) => ({ status: 206, body: answer }),
  'a page that contains it': (answer) => ({ body: `<html>${answer}</html>` }),
  'more than 1 KiB': (answer) => ({ body: answer + '\n'.repeat(70_000) }),
};
for (const [name, answerOf] of Object.entries(http01Refused)) {
  line(96, `http-01 refuses ${name}`, async (t) => {
    const acme = await t.shared();
    const { challenge, answer } = await pendingChallenge(acme, 'http-01');
    t.http01.set(challenge.token, answerOf(answer));
    expect(await verdict(acme, challenge)).toBe('refused');
  });
}

line(96, 'http-01 never repeats what it fetched', async (t) => {
  const acme = await t.shared();
  const { challenge } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, { body: 'SECRET-OF-THE-INSIDE' });
  expect(await verdict(acme, challenge)).toBe('refused');
  expect((await acme.get(challenge.url)).text).not.toContain('SECRET-OF-THE-INSIDE');
});

const redirect = (location: string): Http01Answer => ({ status: 302, headers: { location }, body: '' });

line(97, 'redirects are refused where the issuer does not allow them', async (t) => {
  const acme = await t.shared();
  const { challenge, answer } = await pendingChallenge(acme, 'http-01');
  t.http01.setPath(`/moved/${challenge.token}`, { body: answer });
  t.http01.set(challenge.token, redirect(`/moved/${challenge.token}`));
  expect(await verdict(acme, challenge)).toBe('refused');
});

line(97, 'redirects are followed where the issuer allows them, absolute or relative', async (t) => {
  const acme = await t.shared('redirects');
  for (const origin of ['', `http://NAME:${t.http01.port}`]) {
    const { name, challenge, answer } = await pendingChallenge(acme, 'http-01');
    const to = `${origin.replace('NAME', name)}/moved/${challenge.token}`;
    t.http01.setPath(`/moved/${challenge.token}`, { body: answer });
    t.http01.set(challenge.token, redirect(to));
    expect(await verdict(acme, challenge), to).toBe('valid');
  }
});

line(97, 'redirects beyond the number allowed are refused', async (t) => {
  const acme = await t.shared('redirects');
  const { challenge, answer } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, redirect(`/hop1/${challenge.token}`));
  for (let hop = 1; hop < 12; hop++)
    t.http01.setPath(`/hop${hop}/${challenge.token}`, redirect(`/hop${hop + 1}/${challenge.token}`));
  t.http01.setPath(`/hop12/${challenge.token}`, { body: answer });
  expect(await verdict(acme, challenge)).toBe('refused');
});

line(97, 'redirects in a circle are refused', async (t) => {
  const acme = await t.shared('redirects');
  const { challenge } = await pendingChallenge(acme, 'http-01');
  t.http01.set(challenge.token, redirect(`/.well-known/acme-challenge/${challenge.token}`));
  expect(await verdict(acme, challenge)).toBe('refused');
});

line(97, 'redirects to another port are refused, and that port is not asked', async (t) => {
  const acme = await t.shared('redirects');
  const elsewhere = await startHttp01Responder();
  const { name, challenge, answer } = await pendingChallenge(acme, 'http-01');
  elsewhere.set(challenge.token, { body: answer });
  t.http01.set(
    challenge.token,
    redirect(`http://${name}:${elsewhere.port}/.well-known/acme-challenge/${challenge.token}`),
  );
  const outcome = await verdict(acme, challenge);
  const asked = elsewhere.requestsFor(challenge.token).length;
  await elsewhere.stop();
  expect(outcome).toBe('refused');
  expect(asked).toBe(0);
});

for (const target of ['file:///etc/passwd', 'ftp://NAME/x', 'gopher://NAME/x', 'http://user:pass@NAME/x', 'http://']) {
  line(97, `redirects to ${target} are refused`, async (t) => {
    const acme = await t.shared('redirects');
    const { name, challenge } = await pendingChallenge(acme, 'http-01');
    t.http01.set(challenge.token, redirect(target.replace('NAME', name)));
    expect(await verdict(acme, challenge)).toBe('refused');
  });
}

line(98, 'http-01 of an IPv4 address', async (t) => {
  const acme = await t.shared();
  const order = await readyOrder(acme, t, ['ip:127.0.0.1']);
  expect(namesOf(await readCertificate(acme, await complete(acme, order)))).toEqual(['ip:127.0.0.1']);
  const { challenges } = (await acme.get(order.object.authorizations[0] ?? '')).json;
  const token = challenges.find(({ type }) => type === 'http-01')?.token ?? '';
  for (const { host } of t.http01.requestsFor(token))
    expect(['127.0.0.1', `127.0.0.1:${t.http01.port}`]).toContain(host);
  expect(t.http01.requestsFor(token).length).toBeGreaterThan(0);
});

line(98, 'http-01 of an IPv6 address has brackets in Host', async (t) => {
  const acme = await t.shared();
  const { challenge, answer } = await pendingChallenge(acme, 'http-01', 'ip:::1');
  t.http01.set(challenge.token, { body: answer });
  expect(await verdict(acme, challenge)).toBe('valid');
  const hosts = t.http01.requestsFor(challenge.token).map(({ host }) => host);
  expect(hosts.length).toBeGreaterThan(0);
  for (const host of hosts) expect(['[::1]', `[::1]:${t.http01.port}`]).toContain(host);
});

for (const value of ['0:0:0:0:0:0:0:1', '::0001', '0::1']) {
  line(98, `an address is in canonical text or refused: ${value}`, async (t) => {
    const acme = await t.shared();
    const reply = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'ip', value }] });
    if (reply.status === 201) expect(reply.json.identifiers).toEqual([{ type: 'ip', value: '::1' }]);
    else expectProblem(reply, 'malformed/400');
  });
}

for (const value of [
  '127.1',
  '0x7f.0.0.1',
  '127.0.0.01',
  '127.0.0.1/32',
  '127.0.0.1:80',
  '::1%lo',
  '[::1]',
  '::ffff:127.0.0.1',
  'localhost',
  '*.127.0.0.1',
  '',
  '127.0.0.1.',
]) {
  line(98, `what is no address is refused: ${JSON.stringify(value)}`, async (t) => {
    const acme = await t.shared();
    const reply = await acme.post(acme.directory.newOrder, { identifiers: [{ type: 'ip', value }] });
    expectProblem(reply, 'malformed/400', 'rejectedIdentifier/400', 'rejectedIdentifier/403');
  });
}
