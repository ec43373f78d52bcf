// The first start survives death before, and after, every call it makes: keys and CAs are made once and the next start goes on.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DnsServer, startDnsServer } from '../support/dns-server.ts';
import { type Http01Responder, startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectOneOrder, expectPair, readWorld } from './oracle.ts';
import { startProgram } from './program.ts';
import { forEveryCall, LANES, type Outcome, SERIES_TIMEOUT, UNSEEN_SERIES } from './series.ts';

const MADE_AT_START = ['countersign-sealing-keys', 'countersign-serving-ca', 'main-ca'];

let responders: { dns: DnsServer; http01: Http01Responder };

beforeAll(async () => {
  responders = { dns: await startDnsServer(), http01: await startHttp01Responder() };
});

afterAll(async () => {
  await responders.dns.stop();
  await responders.http01.stop();
});

/** Secrets of the operator by name, as text. */
function keysOf(data: string): Map<string, string> {
  const own = readWorld(data).secrets.filter(({ metadata }) => metadata.namespace === 'countersign-system');
  return new Map(own.map((secret) => [secret.metadata.name, JSON.stringify(secret)]));
}

async function experiment(kill: Kill): Promise<Outcome> {
  let left = new Map<string, string>();
  const program = await startProgram({
    http01Port: responders.http01.port,
    nameserver: responders.dns.address,
    kill,
    autopsy: (data) => {
      left = keysOf(data);
    },
  });
  try {
    await program.settle();
    const [death] = program.deaths();
    const kept = keysOf(program.data);
    expect([...kept.keys()].sort()).toEqual(MADE_AT_START);
    // What was made before death is what is used after.
    for (const [name, secret] of left) expect(kept.get(name), name).toBe(secret);
    for (const name of ['countersign-serving-ca', 'main-ca']) {
      const { certificate } = expectPair(
        readWorld(program.data).secrets.find(({ metadata }) => metadata.name === name),
      );
      if (name === 'countersign-serving-ca')
        expect(new X509Certificate(program.ca).raw.equals(certificate.raw)).toBe(true);
    }
    const client = await createClient(program, responders);
    const obtained = await client.obtain([freshName()]);
    client.close();
    expectOneOrder(readWorld(program.data), obtained);
    return { death };
  } finally {
    await program.stop();
  }
}

test.each(UNSEEN_SERIES)(
  'killed $when each call ($among) of its first start, the program starts',
  SERIES_TIMEOUT,
  async (kill) => {
    const { deaths, faults } = await forEveryCall(
      kill,
      Array.from({ length: LANES }, () => experiment),
    );
    expect(faults).toEqual([]);
    for (const call of [
      'cluster.create Secret',
      'secrets.create countersign-serving-ca',
      'secrets.create main-ca',
      'cluster.apply ClusterCAIssuer',
      'cluster.replaceStatus ClusterCAIssuer',
    ])
      expect(deaths).toContain(call);
  },
);
