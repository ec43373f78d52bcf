// The certificate of a server that runs for months.
import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { createFakeClock } from '../../test/fakes/clock.ts';
import { createFakeRandom } from '../../test/fakes/random.ts';
import { eventually } from '../../test/support/eventually.ts';
import type { SecretReader } from '../ports.ts';
import { SECURE_CONTEXT } from './listener.ts';
import { keepServing, type ServingCertificate, servingCertificate } from './serving-certificate.ts';

const DAY = 86_400_000;
const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };

/** Secrets in memory; `fail` makes reads fail. */
function memorySecrets() {
  const all = new Map<string, Readonly<Record<string, Buffer>>>();
  const state = { fail: false };
  const secrets: SecretReader = {
    read: async (name) => {
      if (state.fail) throw new Error('no answer');
      return all.get(name);
    },
    create: async (name, _type, data) => {
      if (all.has(name)) return false;
      all.set(name, data);
      return true;
    },
  };
  return { secrets, state };
}

async function served(server: Server, ca: string): Promise<X509Certificate> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', ca, checkServerIdentity: () => undefined });
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const shown = socket.getPeerX509Certificate();
  socket.destroy();
  if (!shown) throw new Error('no certificate');
  return shown;
}

test('a running server shows a fresh certificate of the same CA before the old one is over', async () => {
  // So that both certificates are valid by the real clock, which TLS goes by.
  const clock = createFakeClock(new Date(Date.now() - 70 * DAY));
  const { secrets } = memorySecrets();
  const deps = { secrets, clock, random: createFakeRandom() };
  const first = await servingCertificate(deps, names);
  const server = createServer({ ...SECURE_CONTEXT, cert: first.cert, key: first.key });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = new AbortController();
  const kept = keepServing(deps, names, {
    made: first,
    use: ({ cert, key }) => server.setSecureContext({ ...SECURE_CONTEXT, cert, key }),
    report: () => undefined,
    signal: stop.signal,
  });
  const { serialNumber } = new X509Certificate(first.cert);
  for (let day = 0; day < 59; day++) await clock.advance(DAY);
  expect((await served(server, first.ca)).serialNumber).toBe(serialNumber);
  for (let day = 0; day < 2; day++) await clock.advance(DAY);
  const fresh = await eventually('a fresh certificate is shown', async () => {
    const shown = await served(server, first.ca);
    return shown.serialNumber === serialNumber ? undefined : shown;
  });
  expect(fresh.validToDate.getTime()).toBeGreaterThan(new X509Certificate(first.cert).validToDate.getTime() + 59 * DAY);
  stop.abort();
  await kept;
  server.close();
});

test('what goes wrong is told and tried again', async () => {
  const clock = createFakeClock();
  const { secrets, state } = memorySecrets();
  const deps = { secrets, clock, random: createFakeRandom() };
  const first = await servingCertificate(deps, names);
  const [made, told]: [ServingCertificate[], string[]] = [[], []];
  const stop = new AbortController();
  const kept = keepServing(deps, names, {
    made: first,
    use: (one) => void made.push(one),
    report: (text) => void told.push(text),
    signal: stop.signal,
  });
  state.fail = true;
  for (let day = 0; day < 61; day++) await clock.advance(DAY);
  await eventually('the failure is told', async () => (told.length > 0 ? true : undefined));
  expect(made).toEqual([]);
  state.fail = false;
  await clock.advance(DAY);
  await eventually('a certificate is made', async () => (made.length > 0 ? true : undefined));
  expect(told[0]).toContain('could not be renewed');
  stop.abort();
  await kept;
});
