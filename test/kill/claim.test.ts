// A CertificateClaim survives the death of the program before, and after, every call it makes: when it is new, and when it changes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import type { Kill } from './meter.ts';
import { expectOneClaim, expectPair, readWorld } from './oracle.ts';
import { ISSUER, type Program, startProgram } from './program.ts';
import { forEveryCall, LANES, type Outcome, SERIES, SERIES_TIMEOUT, type SeriesKind, UNSEEN_SERIES } from './series.ts';

let dns: DnsServer;

beforeAll(async () => {
  dns = await startDnsServer();
});

afterAll(async () => {
  await dns.stop();
});

/** The claim under test at one program. */
interface Subject {
  name: string;
  /** Serials that were in the Secret before it is counted. */
  released: string[];
  /** Records whose key died with the process. */
  lost: number;
}

/**
 * What a dead process left: the Secrets of claims have a certificate and its key, always; what is on record and was never in a Secret
 * is lost.
 */
function autopsy(subject: Subject, data: string): void {
  const { secrets, records } = readWorld(data);
  const held = secrets
    .filter(({ metadata }) => metadata.namespace === 'default')
    .map((secret) => expectPair(secret).certificate.raw.toString('base64'));
  const own = records.filter(({ spec }) => spec.requester.claim === subject.name);
  subject.lost = own.filter(
    ({ status }) => !held.includes(status.certificate) && !subject.released.includes(status.serial),
  ).length;
}

/** The program's only claim: the one before goes. */
function claim(name: string, names: readonly string[]): object[] {
  return [
    {
      apiVersion: 'countersign.dev/v1alpha1',
      kind: 'CertificateClaim',
      metadata: { name, namespace: 'default' },
      spec: { secretName: `${name}-tls`, issuerRef: { kind: 'ClusterCAIssuer', name: ISSUER }, dnsNames: names },
    },
  ];
}

/** Waits until the claim says that it has a certificate for its spec as it is now. */
async function served(program: Program, name: string, generation: number): Promise<void> {
  const isServed = async (): Promise<true | undefined> => {
    const found = readWorld(program.data).claims.find(({ metadata }) => metadata.name === name);
    const ready = found?.status?.conditions?.find(({ type }) => type === 'Ready');
    return (ready?.status === 'True' && ready.observedGeneration === generation) || undefined;
  };
  await Promise.race([eventually(`the claim ${name} is served`, isServed), program.fault]);
  await program.settle();
}

interface Lane {
  program: Program;
  subject: Subject;
}

async function created({ program, subject }: Lane, ...kills: Kill[]): Promise<void> {
  const names = [freshName('a'), freshName('b')];
  await program.arm(...kills);
  program.manifest('claim.yaml', claim(subject.name, names));
  await served(program, subject.name, 1);
  expect(expectOneClaim(readWorld(program.data), subject.name, { names, released: [] })).toEqual({
    superseded: subject.lost,
    revision: 1 + subject.lost,
  });
}

/** A process that finds a record whose key died with the one before dies too. */
async function mended(lane: Lane, kill: Kill): Promise<void> {
  await created(lane, { when: 'after', among: { call: 'cluster.create IssuedCertificate' }, at: 1 }, kill);
}

async function changed({ program, subject }: Lane, kill: Kill): Promise<void> {
  const [a, b] = [freshName('a'), freshName('b')];
  await program.arm();
  program.manifest('claim.yaml', claim(subject.name, [a]));
  await served(program, subject.name, 1);
  const first = readWorld(program.data).claims.find(({ metadata }) => metadata.name === subject.name);
  const released = [first?.status?.serial ?? 'none'];
  subject.released = released;
  await program.arm(kill);
  program.manifest('claim.yaml', claim(subject.name, [a, b]));
  await served(program, subject.name, 2);
  expect(expectOneClaim(readWorld(program.data), subject.name, { names: [a, b], released })).toEqual({
    superseded: subject.lost,
    revision: 2 + subject.lost,
  });
}

/** Claims one after the other at one program. */
async function startLane({ experiment, deathsBefore }: Case, lost: string[]) {
  const subject: Subject = { name: '', released: [], lost: 0 };
  const program = await startProgram({
    http01Port: 80,
    nameserver: dns.address,
    autopsy: (data) => autopsy(subject, data),
  });
  return {
    program,
    experiment: async (kill: Kill): Promise<Outcome> => {
      Object.assign(subject, { name: `c-${kill.at}`, released: [], lost: 0 });
      await experiment({ program, subject }, kill);
      if (subject.lost > 0) lost.push(subject.name);
      return { death: program.deaths()[deathsBefore] };
    },
  };
}

interface Case {
  what: string;
  experiment: (lane: Lane, kill: Kill) => Promise<void>;
  /** How often the program dies before it is killed at the k-th call. */
  deathsBefore: number;
  series: readonly SeriesKind[];
  /** Calls at which it must have died. */
  calls: readonly string[];
}

const RECORD = 'cluster.create IssuedCertificate';
const STATUS = 'cluster.replaceStatus CertificateClaim';
const CASES: Case[] = [
  {
    what: 'a new claim',
    experiment: created,
    deathsBefore: 0,
    series: SERIES,
    calls: ['cluster.apply CertificateClaim', RECORD, 'cluster.create Secret', STATUS],
  },
  {
    what: 'a changed claim',
    experiment: changed,
    deathsBefore: 0,
    series: UNSEEN_SERIES,
    calls: ['cluster.apply CertificateClaim', RECORD, 'cluster.replace Secret', STATUS],
  },
  {
    what: 'a claim whose key was lost already',
    experiment: mended,
    deathsBefore: 1,
    series: UNSEEN_SERIES,
    calls: ['cluster.replace IssuedCertificate', RECORD, 'cluster.create Secret', STATUS],
  },
];

describe.each(CASES)('$what', (subject) => {
  test.each(subject.series)(
    'killed $when each call ($among) has one live certificate',
    SERIES_TIMEOUT,
    async (kill) => {
      const lost: string[] = [];
      const lanes = await Promise.all(Array.from({ length: LANES }, () => startLane(subject, lost)));
      const { deaths, faults } = await forEveryCall(
        kill,
        lanes.map((lane) => lane.experiment),
      );
      for (const { program } of lanes) await program.stop();
      expect(faults).toEqual([]);
      expect(deaths).toEqual(expect.arrayContaining([...subject.calls]));
      // Death between record and Secret takes the key along: that happened, and was mended.
      expect(lost.length).toBeGreaterThan(0);
    },
  );
});
