// Dynamic update of a zone (RFC 2136) over TCP, signed (RFC 8945): one TXT record put there or taken away.
import { Unavailable } from '../domain/unavailable.ts';
import type { Clock, DnsUpdate, DnsUpdater, Random } from '../ports.ts';
import { withDeadline } from './deadline.ts';
import { exchange, exchangeOverTcp, type Nameserver, parseNameserver } from './dns-client.ts';
import { renderQuery, TYPE } from './dns-message.ts';
import { parseUpdateReply, renderUpdate, type UpdateReply } from './dns-update-message.ts';

export interface DnsUpdaterDeps {
  clock: Clock;
  random: Random;
  /** Milliseconds one server has for an update, the search for its zone included; ten seconds when absent. */
  timeoutMs?: number;
}

/** RFC 2136 section 2.2. */
const RCODES: Readonly<Record<number, string>> = {
  1: 'FORMERR',
  2: 'SERVFAIL',
  4: 'NOTIMP',
  5: 'REFUSED: may the key change this name?',
  9: 'NOTAUTH',
  10: 'NOTZONE',
};
const NO_ERROR = 0;

export function createDnsUpdater({ clock, random, timeoutMs = 10_000 }: DnsUpdaterDeps): DnsUpdater {
  const write = async (update: DnsUpdate, wanted: boolean, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    const work = (bound: AbortSignal) => change({ clock, random }, { ...update, wanted }, bound);
    const done = await withDeadline({ clock, ms: timeoutMs, signal }, work);
    if (!done) throw new Unavailable(`the name server ${update.nameserver} did not answer in time`);
  };
  return {
    add: (update, signal) => write(update, true, signal),
    remove: (update, signal) => write(update, false, signal),
  };
}

async function change(
  { clock, random }: DnsUpdaterDeps,
  { nameserver, key, ...update }: DnsUpdate & { wanted: boolean },
  signal: AbortSignal,
): Promise<true> {
  const server = parseNameserver(nameserver);
  const zone = await zoneOf({ server, random, name: update.name }, signal);
  const sent = renderUpdate(random.bytes(2), { ...update, zone }, { key, now: clock.now() });
  if (!sent) throw new Unavailable(`${update.name} or the name of the key is not a name that the DNS can hold`);
  const judge = (message: Buffer): Exclude<UpdateReply, { kind: 'stray' }> | 'stray' => {
    const reply = parseUpdateReply(message, sent, { key, now: clock.now() });
    return reply.kind === 'stray' ? 'stray' : reply;
  };
  const reply = await exchangeOverTcp(server, sent.message, judge, signal);
  if ('state' in reply) throw fault(nameserver, reply.reason);
  if (reply.kind === 'malformed') throw fault(nameserver, 'malformed answer');
  if (reply.kind === 'unsigned') throw fault(nameserver, reply.reason);
  if (reply.rcode !== NO_ERROR) throw fault(nameserver, RCODES[reply.rcode] ?? `response code ${reply.rcode}`);
  return true;
}

function fault(nameserver: string, reason: string): Unavailable {
  return new Unavailable(`the name server ${nameserver} did not take an update: ${reason}`);
}

/** The innermost zone of the server that holds the name: the first above it that has an SOA record. */
async function zoneOf(
  { server, random, name }: { server: Nameserver; random: Random; name: string },
  signal: AbortSignal,
): Promise<string> {
  const labels = name.toLowerCase().split('.');
  for (let i = 0; i < labels.length; i++) {
    const zone = labels.slice(i).join('.');
    const question = { name: zone, type: TYPE.SOA };
    const query = renderQuery(random.bytes(2), question);
    const reply = query && (await exchange(server, query, question, signal));
    if (reply?.state === 'failed') throw new Unavailable(`the zone of ${name} could not be found: ${reply.reason}`);
    if (reply?.records.some((record) => record.type === TYPE.SOA && record.name === zone)) return zone;
  }
  throw new Unavailable(`the name server has no zone for ${name}`);
}
