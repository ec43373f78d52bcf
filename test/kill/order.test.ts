// An ACME order survives the death of the program before, and after, every call it makes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectOneOrder, readWorld } from './oracle.ts';
import { startProgram } from './program.ts';
import { forEveryCall, LANES, type Outcome, SERIES, SERIES_TIMEOUT } from './series.ts';

let responders: { dns: DnsServer; http01: Http01Responder };

beforeAll(async () => {
  responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
});

afterAll(async () => {
  await responders.dns.stop();
  await responders.http01.stop();
});

/** Orders of new clients, one after the other, at one program. */
async function startLane() {
  const program = await startProgram({ http01Port: responders.http01.port, nameserver: responders.dns.address });
  return {
    program,
    experiment: async (kill: Kill): Promise<Outcome> => {
      const names = [freshName('a'), freshName('b')];
      await program.arm(kill);
      const client = await createClient(program, responders);
      const obtained = await client.obtain(names);
      await program.settle();
      // From the process that came after, where one died.
      expect(await client.download(obtained)).toEqual({ status: 'valid', pem: obtained.pem });
      client.close();
      expectOneOrder(readWorld(program.data), obtained);
      return { death: program.deaths()[0] };
    },
  };
}

test.each(SERIES)(
  'killed $when each call ($among), the same client gets its certificate',
  SERIES_TIMEOUT,
  async (kill) => {
    const lanes = await Promise.all(Array.from({ length: LANES }, startLane));
    const { deaths, faults } = await forEveryCall(
      kill,
      lanes.map((lane) => lane.experiment),
    );
    for (const { program } of lanes) await program.stop();
    expect(faults).toEqual([]);
    const creates = ['Account', 'Authorization', 'IssuedCertificate'].map((kind) => `cluster.create ${kind}`);
    const lines = ['validation', 'decision', 'issuance'].map((event) => `audit.record ${event}`);
    expect(deaths).toEqual(
      expect.arrayContaining([...creates, ...lines, 'validators http-01.validate', 'backend.sign']),
    );
  },
);
