// An ACME order, and a revocation, survive the death of the program before, and after, every call it makes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectOneOrder, expectSuperseded, lastStep, readWorld } from './oracle.ts';
import { type Program, startProgram } from './program.ts';
import { forEveryCall, LANES, type Outcome, SERIES, SERIES_TIMEOUT, type SeriesKind } from './series.ts';

let responders: { dns: DnsServer; http01: Http01Responder };

beforeAll(async () => {
  responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
});

afterAll(async () => {
  await responders.dns.stop();
  await responders.http01.stop();
});

type Experiment = (program: Program, kill: Kill) => Promise<void>;

/** Clients one after the other at one program. */
async function startLane(experiment: Experiment) {
  const program = await startProgram({ http01Port: responders.http01.port, nameserver: responders.dns.address });
  return {
    program,
    experiment: async (kill: Kill): Promise<Outcome> => {
      await experiment(program, kill);
      return { death: program.deaths()[0] };
    },
  };
}

async function run(kill: SeriesKind, experiment: Experiment): Promise<readonly string[]> {
  const lanes = await Promise.all(Array.from({ length: LANES }, () => startLane(experiment)));
  const { deaths, faults } = await forEveryCall(
    kill,
    lanes.map((lane) => lane.experiment),
  );
  for (const { program } of lanes) await program.stop();
  expect(faults).toEqual([]);
  return deaths;
}

async function ordered(program: Program, kill: Kill): Promise<void> {
  const names = [freshName('a'), freshName('b')];
  await program.arm(kill);
  const client = await createClient(program, responders);
  const obtained = await client.obtain(names);
  await program.settle();
  // From the process that came after, where one died.
  expect(await client.download(obtained)).toEqual({ status: 'valid', pem: obtained.pem });
  client.close();
  expect(expectOneOrder(readWorld(program.data), obtained).spec.revocation).toBeUndefined();
}

async function revoked(program: Program, kill: Kill): Promise<void> {
  const client = await createClient(program, responders);
  const obtained = await client.obtain([freshName()]);
  await program.arm(kill);
  await client.revoke(obtained);
  await program.settle();
  client.close();
  const world = readWorld(program.data);
  expectSuperseded(world, expectOneOrder(world, obtained), lastStep(obtained.accountUrl));
}

const creates = ['Account', 'Authorization', 'IssuedCertificate'].map((kind) => `cluster.create ${kind}`);
const lines = ['validation', 'decision', 'issuance'].map((event) => `audit.record ${event}`);

test.each(SERIES)(
  'killed $when each call ($among) of an order, the same client gets its certificate',
  SERIES_TIMEOUT,
  async (kill) => {
    const deaths = await run(kill, ordered);
    expect(deaths).toEqual(
      expect.arrayContaining([...creates, ...lines, 'validators http-01.validate', 'backend.sign']),
    );
  },
);

test.each(SERIES)(
  'killed $when each call ($among) of a revocation, it is revoked for the same client',
  SERIES_TIMEOUT,
  async (kill) => {
    const deaths = await run(kill, revoked);
    expect(deaths).toEqual(expect.arrayContaining(['cluster.replace IssuedCertificate', 'audit.record revocation']));
  },
);
