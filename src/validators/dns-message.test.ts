import fc from '../../test/support/property.ts';
import { expect, test } from 'vitest';
import { answerTo, packet } from '../../test/support/validation.ts';
import { MAX_RECORDS, parseReply, renderQuery, TYPE } from './dns-message.ts';

const ID = Buffer.from([0x12, 0x34]);
const question = { name: 'a.example.test', type: TYPE.A };
const query = renderQuery(ID, question) ?? Buffer.alloc(0);
const asked = packet.decode(query);
const A = { name: 'a.example.test', type: 'A', data: '192.0.2.1' };

test('a query reads as another implementation expects it', () => {
  expect(asked).toMatchObject({
    id: 0x1234,
    type: 'query',
    flag_rd: true,
    questions: [{ name: 'a.example.test', type: 'A', class: 'IN' }],
  });
  expect(packet.decode(renderQuery(ID, { name: '_x.b', type: TYPE.CAA }) ?? Buffer.alloc(0)).questions).toMatchObject([
    { name: '_x.b', type: 'CAA' },
  ]);
});

test.each([
  '',
  '.',
  'a..b',
  '.a',
  'a.',
  `${'a'.repeat(64)}.b`,
  `${'a.'.repeat(126)}aa`,
  'a b',
  'ü.b',
  'a\\046b',
  'a\0b',
])('no query is made for %j', (name) => {
  expect(renderQuery(ID, { name, type: TYPE.A })).toBeUndefined();
});

test('records of the wanted type and CNAMEs are read, all others stepped over', () => {
  const reply = answerTo(asked, [
    { name: 'A.Example.TEST', type: 'CNAME', data: 'B.example.test' },
    { name: 'b.example.test', type: 'A', data: '192.0.2.1' },
    { name: 'b.example.test', type: 'AAAA', data: '2001:db8::1' },
    { name: 'b.example.test', type: 'TXT', data: ['x'] },
    { name: 'b.example.test', type: 'A', class: 'CH', data: '192.0.2.9' },
  ]);
  const parsed = parseReply(reply, query, question);
  expect(parsed).toMatchObject({ kind: 'answer', rcode: 0, truncated: false });
  expect(
    parsed.kind === 'answer' &&
      parsed.records.map(({ name, type, target, data }) => [name, type, target ?? data.join('.')]),
  ).toEqual([
    ['a.example.test', TYPE.CNAME, 'b.example.test'],
    ['b.example.test', TYPE.A, '192.0.2.1'],
  ]);
});

test('names in replies are read as another implementation wrote them', () => {
  const label = fc.string({ unit: fc.constantFrom(...'abcxyz019-_'.split('')), minLength: 1, maxLength: 20 });
  const name = fc.array(label, { minLength: 1, maxLength: 8 }).map((labels) => labels.join('.'));
  fc.assert(
    fc.property(name, name, (owner, target) => {
      const parsed = parseReply(answerTo(asked, [{ name: owner, type: 'CNAME', data: target }]), query, question);
      expect(parsed).toMatchObject({ records: [{ name: owner, target }] });
    }),
  );
});

test('a dot or blank inside a label cannot pass for one between labels', () => {
  const reply = answerTo(asked, [{ name: 'x.test', type: 'CNAME', data: 'evilXtest.com' }]);
  for (const [byte, text] of [
    ['.', '\\046'],
    [' ', '\\032'],
    ['\0', '\\000'],
    ['\\', '\\092'],
    ['\xff', '\\255'],
  ] as const) {
    const changed = Buffer.from(reply);
    changed[changed.indexOf('evilX') + 4] = byte.charCodeAt(0);
    expect(parseReply(changed, query, question)).toMatchObject({ records: [{ target: `evil${text}test.com` }] });
  }
});

const other = (change: Partial<typeof asked>) => answerTo({ ...asked, ...change }, [A]);
const STRAY: readonly [string, Buffer][] = [
  ['another id', other({ id: 0x1235 })],
  ['another name', other({ questions: [{ name: 'b.example.test', type: 'A' }] })],
  ['another type', other({ questions: [{ name: 'a.example.test', type: 'AAAA' }] })],
  ['another class', other({ questions: [{ name: 'a.example.test', type: 'A', class: 'CH' }] })],
  ['no question', other({ questions: [] })],
  ['two questions', other({ questions: [...(asked.questions ?? []), { name: 'b.test', type: 'A' }] })],
  ['the query itself', query],
  ['another opcode', answerTo(asked, [A], 0x1180)],
  ['an empty datagram', Buffer.alloc(0)],
  ['half a header', query.subarray(0, 6)],
];

test.each(STRAY)('%s is no answer to the question', (_title, message) => {
  expect(parseReply(message, query, question)).toEqual({ kind: 'stray' });
});

test('an answer in other letter case is one', () => {
  const reply = other({ questions: [{ name: 'A.eXample.TEST', type: 'A' }] });
  expect(parseReply(reply, query, question)).toMatchObject({ kind: 'answer' });
});

/** A reply whose one record has these bytes after the question. */
function withBytes(bytes: readonly number[], count = 1): Buffer {
  const head = Buffer.from(answerTo(asked, []));
  head.writeUInt16BE(count, 6);
  return Buffer.concat([head, Buffer.from(bytes)]);
}

/** The rest of an A record after its name. */
const TAIL = [0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1];
const CNAME_HEAD = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0];
const MALFORMED: readonly [string, Buffer][] = [
  ['a record that is announced and missing', withBytes([])],
  ['a pointer to itself', withBytes([0xc0, query.length, ...TAIL])],
  ['a pointer forward', withBytes([0xc0, 0xff, ...TAIL])],
  ['half a pointer', withBytes([0xc0])],
  ['a reserved label type', withBytes([0x80, 0, ...TAIL])],
  ['a label past the end', withBytes([63, 97, 97])],
  ['half a record header', withBytes([0xc0, 12, 0, 1, 0])],
  ['data past the end', withBytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4])],
  ['a CNAME shorter than its data', withBytes([...CNAME_HEAD, 0, 5, 0xc0, 12, 0, 0, 0])],
  ['a CNAME longer than its data', withBytes([...CNAME_HEAD, 0, 1, 1, 97, 0])],
  ['an empty CNAME at the end', withBytes([...CNAME_HEAD, 0, 0])],
  [
    'a name of more than 255 bytes',
    withBytes([...Array.from({ length: 5 }, () => [60, ...Array<number>(60).fill(97)]).flat(), 0, ...TAIL]),
  ],
  ['more records than are read', withBytes([], MAX_RECORDS + 1)],
];

test.each(MALFORMED)('%s is malformed', (_title, message) => {
  expect(parseReply(message, query, question)).toMatchObject({ kind: 'malformed' });
});

test('a truncated reply has no records, however it ends', () => {
  const reply = withBytes([0xc0]);
  reply.writeUInt16BE(reply.readUInt16BE(2) | 0x0200, 2);
  expect(parseReply(reply, query, question)).toEqual({ kind: 'answer', rcode: 0, truncated: true, records: [] });
});

test('no bytes make the reader throw', () => {
  const reply = answerTo(asked, [
    { name: 'a.example.test', type: 'CNAME', data: 'b.example.test' },
    { name: 'b.example.test', type: 'A', data: '192.0.2.1' },
  ]);
  const change = fc.tuple(fc.nat(reply.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(reply.length), (changes, cut) => {
      const changed = Buffer.from(reply);
      for (const [at, byte] of changes) changed[at] = byte;
      expect(['stray', 'malformed', 'answer']).toContain(parseReply(changed.subarray(0, cut), query, question).kind);
      expect(['stray', 'malformed', 'answer']).toContain(parseReply(changed, query, question).kind);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  [127, 'answer'],
  [128, 'malformed'],
])('a name of %i pointers in a row is %s', (count, kind) => {
  // One record keeps a staircase of pointers in its data, the first to the question's name, each of the others to the one before.
  const data = query.length + 11;
  const pointer = (offset: number) => [0xc0 | (offset >> 8), offset & 0xff];
  const stairs = Array.from({ length: count - 1 }, (_, i) => pointer(i === 0 ? 12 : data + 2 * (i - 1))).flat();
  const keeper = [0, 0, 99, 0, 1, 0, 0, 0, 0, stairs.length >> 8, stairs.length & 0xff, ...stairs];
  const climber = [...pointer(data + stairs.length - 2), ...TAIL];
  expect(parseReply(withBytes([...keeper, ...climber], 2), query, question)).toMatchObject({ kind });
});
