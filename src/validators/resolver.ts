// The only DNS in the program: asks the configured name servers itself, so that ids and ports are random, time is bound, and
// "there is none" is never confused with "could not find out".
import { getServers } from 'node:dns';
import { renderAddress } from '../domain/address.ts';
import { reverseName } from '../domain/reverse-name.ts';
import type { CaaRecord, Clock, DnsAnswer, Random, Resolver } from '../ports.ts';
import { withDeadline } from './deadline.ts';
import { type Exchange, exchange, type Nameserver, parseNameserver } from './dns-client.ts';
import { type DnsQuestion, type DnsRecord, renderQuery, TYPE } from './dns-message.ts';

/** CNAMEs followed from one name, in one answer or over several. */
const MAX_ALIASES = 8;
const NO_ERROR = 0;
const NAME_ERROR = 3;
/** Other response codes, RFC 1035 section 4.1.1; what is not here is named by its number. */
const RCODE_NAMES: Readonly<Record<number, string>> = { 1: 'FORMERR', 2: 'SERVFAIL', 4: 'NOTIMP', 5: 'REFUSED' };

export interface ResolverDeps {
  clock: Clock;
  random: Random;
  /** `address`, `address:port` or `[address]:port`, asked in this order; the system's when absent. TypeError for anything else. */
  nameservers?: readonly string[];
  /** Milliseconds one server has for an answer. */
  tryMs?: number;
  /** Milliseconds for a look-up in all, over every server and alias. */
  totalMs?: number;
}

export function createResolver({ clock, random, nameservers, tryMs = 1_500, totalMs = 5_000 }: ResolverDeps): Resolver {
  const servers = (nameservers ?? getServers()).map(parseNameserver);
  if (servers.length === 0) throw new TypeError('no name servers');
  const ask = createQuestioner({ clock, random, servers, tryMs: Math.min(tryMs, totalMs / (servers.length + 1)) });
  const lookUp = async <T>(query: Query<T>, signal: AbortSignal): Promise<DnsAnswer<T>> => {
    signal.throwIfAborted();
    return follow(ask, query, { signal, until: clock.monotonic() + totalMs });
  };
  return {
    addresses: async (name, signal) =>
      merge(
        await Promise.all([
          lookUp({ name, type: TYPE.A, read: readAddress }, signal),
          lookUp({ name, type: TYPE.AAAA, read: readAddress }, signal),
        ]),
      ),
    txt: (name, signal) => lookUp({ name, type: TYPE.TXT, read: readText }, signal),
    canonical: (name, signal) => {
      signal.throwIfAborted();
      return followAliases(ask, name.toLowerCase(), { signal, until: clock.monotonic() + totalMs });
    },
    caa: (name, signal) => lookUp({ name, type: TYPE.CAA, read: readCaa }, signal),
    pointers: async (address, signal) => {
      const name = reverseName(address);
      if (name === undefined) return failed('not an address');
      return lookUp({ name, type: TYPE.PTR, read: ({ target }) => target }, signal);
    },
  };
}

interface Query<T> {
  name: string;
  type: number;
  /** The value of a record of this type; undefined where it breaks the rules of its type. */
  read: (record: DnsRecord) => T | undefined;
}

interface Bounds {
  signal: AbortSignal;
  /** Monotonic time after which nothing more is asked. */
  until: number;
}

type Ask = (question: DnsQuestion, bounds: Bounds) => Promise<Exchange>;

const failed = (reason: string) => ({ state: 'failed', reason }) as const;

/** Asks one server after the other, those that were silent once more. Starts with the one that answered last. */
function createQuestioner(deps: { clock: Clock; random: Random; servers: readonly Nameserver[]; tryMs: number }): Ask {
  const { clock, random, servers, tryMs } = deps;
  let preferred = 0;
  const askOne = async (server: Nameserver, question: DnsQuestion, { signal, until }: Bounds): Promise<Exchange> => {
    const query = renderQuery(random.bytes(2), question);
    if (!query) return failed('not a name the DNS can hold');
    const ms = Math.min(tryMs, until - clock.monotonic());
    if (ms <= 0) return SILENT;
    const work = (bound: AbortSignal) => exchange(server, query, question, bound);
    return judgeCode((await withDeadline({ clock, ms, signal }, work)) ?? SILENT);
  };
  return async (question, bounds) => {
    const order = servers.map((_, i) => (preferred + i) % servers.length);
    const spoken = new Set<number>();
    let last: Exchange = SILENT;
    for (const index of [...order, ...order]) {
      const server = servers[index];
      if (!server || spoken.has(index)) continue;
      const reply = await askOne(server, question, bounds);
      if (reply.state === 'answered') {
        preferred = index;
        return reply;
      }
      if (reply !== SILENT) spoken.add(index);
      last = reply;
    }
    return last;
  };
}

const SILENT = failed('time-out');

function judgeCode(reply: Exchange): Exchange {
  if (reply.state === 'failed' || reply.rcode === NO_ERROR || reply.rcode === NAME_ERROR) return reply;
  return failed(RCODE_NAMES[reply.rcode] ?? `response code ${reply.rcode}`);
}

/** Asks until the records are found or known not to be there, following aliases within one answer and from answer to answer. */
async function follow<T>(ask: Ask, query: Query<T>, bounds: Bounds): Promise<DnsAnswer<T>> {
  const seen = new Set<string>();
  for (let name = query.name.toLowerCase(); ; ) {
    const reply = await ask({ name, type: query.type }, bounds);
    if (reply.state === 'failed') return reply;
    const end = aliasEnd(reply.records, name, seen);
    if (end === undefined) return failed('aliases without end');
    if (reply.rcode === NAME_ERROR) return { state: 'absent' };
    const records = reply.records.filter((record) => record.type === query.type && record.name === end);
    if (records.length > 0) return readAll(records, query.read);
    if (end === name) return { state: 'absent' };
    name = end;
  }
}

/** As follow, for the name alone. TXT is asked for because that is what aliases are followed for. */
async function followAliases(ask: Ask, start: string, bounds: Bounds): Promise<DnsAnswer<string>> {
  const seen = new Set<string>();
  for (let name = start; ; ) {
    const reply = await ask({ name, type: TYPE.TXT }, bounds);
    if (reply.state === 'failed') return reply;
    const end = aliasEnd(reply.records, name, seen);
    if (end === undefined) return failed('aliases without end');
    if (end === name) return { state: 'found', records: [end] };
    name = end;
  }
}

/** Where the aliases in these records lead; the same name if it is none. Undefined for a loop or too many. */
function aliasEnd(records: readonly DnsRecord[], start: string, seen: Set<string>): string | undefined {
  for (let name = start; ; ) {
    const alias = records.find((record) => record.type === TYPE.CNAME && record.name === name);
    if (alias?.target === undefined) return name;
    seen.add(name);
    name = alias.target;
    if (seen.has(name) || seen.size > MAX_ALIASES) return undefined;
  }
}

function readAll<T>(records: readonly DnsRecord[], read: Query<T>['read']): DnsAnswer<T> {
  const values = records.map(read);
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length ? failed('malformed record') : { state: 'found', records: known };
}

/** Found if either family is there, which is what a host with one broken family lives on; absent only if both are known not to be. */
function merge(answers: readonly DnsAnswer<string>[]): DnsAnswer<string> {
  const records = answers.flatMap((answer) => (answer.state === 'found' ? answer.records : []));
  const failure = answers.find((answer) => answer.state === 'failed');
  if (records.length > 0) return { state: 'found', records, ...(failure ? { incomplete: true } : {}) };
  return failure ?? { state: 'absent' };
}

function readAddress({ type, data }: DnsRecord): string | undefined {
  return data.length === (type === TYPE.A ? 4 : 16) ? renderAddress(data) : undefined;
}

/** Character-strings joined, a character a byte (RFC 1035 section 3.3.14). */
function readText({ data }: DnsRecord): string | undefined {
  let text = '';
  for (let at = 0; at < data.length; ) {
    const next = at + 1 + (data[at] ?? 0);
    if (next > data.length) return undefined;
    text += data.toString('latin1', at + 1, next);
    at = next;
  }
  return text;
}

/** RFC 8659 section 4.1. */
function readCaa({ data }: DnsRecord): CaaRecord | undefined {
  const [flags = 0, length = 0] = data;
  const tag = data.toString('latin1', 2, 2 + length);
  if (length === 0 || data.length < 2 + length || !/^[a-z0-9]+$/i.test(tag)) return undefined;
  return { critical: (flags & 0x80) !== 0, tag: tag.toLowerCase(), value: data.toString('latin1', 2 + length) };
}
