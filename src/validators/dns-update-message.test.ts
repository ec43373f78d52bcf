import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import fc from '../../test/support/property.ts';
import { packet } from '../../test/support/validation.ts';
import type { DnsUpdate } from '../ports.ts';
import { parseUpdateReply, renderUpdate, type SignedMessage, type UpdateMessage } from './dns-update-message.ts';

const now = new Date('2026-05-01T12:00:00Z');
const key: DnsUpdate['key'] = { name: 'Key.Test', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 7) };
const update: UpdateMessage = {
  zone: 'example.test',
  name: '_acme-challenge.a.example.test',
  text: 'x'.repeat(43),
  wanted: true,
};
const ID = Buffer.from([0x12, 0x34]);

function sent(more: Partial<UpdateMessage> = {}): SignedMessage {
  const message = renderUpdate(ID, { ...update, ...more }, { key, now });
  if (!message) throw new Error('it was not made');
  return message;
}

/** What a server would answer with, signed as our own message is: by the same key, over the request's MAC. */
function answerTo({ mac, message }: SignedMessage, { rcode = 0, at = now, signer = key } = {}): Buffer {
  const header = Buffer.alloc(12);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(0xa800 | rcode, 2);
  // Signed messages end alike: the MAC of ours over what a server would sign is made by our own writer of requests, with the request's
  // MAC before it, which RFC 8945 section 4.3.1 wants of answers.
  return signAnswer(header, { mac, at, signer });
}

function signAnswer(header: Buffer, { mac, at, signer }: { mac: Buffer; at: Date; signer: typeof key }): Buffer {
  const name = wire(signer.name.toLowerCase());
  const algorithm = wire(signer.algorithm);
  const time = Buffer.alloc(6);
  time.writeUIntBE(at.getTime() / 1000, 0, 6);
  const variables = Buffer.concat([name, shorts(255, 0, 0), algorithm, time, shorts(300, 0, 0)]);
  const own = createHmac('sha256', signer.secret)
    .update(Buffer.concat([shorts(mac.length), mac, header, variables]))
    .digest();
  const data = Buffer.concat([algorithm, time, shorts(300, own.length), own, header.subarray(0, 2), shorts(0, 0)]);
  const signed = Buffer.concat([header, name, shorts(250, 255, 0, 0, data.length), data]);
  signed.writeUInt16BE(1, 10);
  return signed;
}

const shorts = (...values: number[]): Buffer =>
  Buffer.concat(values.map((value) => Buffer.of(value >> 8, value & 0xff)));
const wire = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);

test('an update reads as another implementation expects it', () => {
  const read = packet.decode(sent().message);
  expect(read).toMatchObject({
    id: 0x1234,
    opcode: 'UPDATE',
    questions: [{ name: 'example.test', type: 'SOA', class: 'IN' }],
  });
  expect(read.authorities).toMatchObject([
    { name: update.name, type: 'TXT', class: 'IN', ttl: 60, data: [Buffer.from(update.text)] },
  ]);
  expect(read.additionals).toHaveLength(1);
});

test('a record is taken away by its data, and no other with it', () => {
  const { message } = sent({ wanted: false });
  // Class NONE (RFC 2136 section 2.5.4), TTL 0.
  const at = message.indexOf(wire(update.name)) + wire(update.name).length;
  expect([...message.subarray(at, at + 8)]).toEqual([0, 16, 0, 254, 0, 0, 0, 0]);
});

test.each([[{ zone: '' }], [{ zone: 'a..b' }], [{ name: 'a b.test' }], [{ name: 'x'.repeat(64) }]])(
  'no update is made for %j',
  (more) => {
    expect(renderUpdate(ID, { ...update, ...more }, { key, now })).toBeUndefined();
  },
);

test('a good answer is believed, whatever it says', () => {
  const request = sent();
  for (const rcode of [0, 5, 9])
    expect(parseUpdateReply(answerTo(request, { rcode }), request, { key, now })).toEqual({ kind: 'answer', rcode });
});

test.each<[string, (request: SignedMessage) => Buffer, string]>([
  ['of another request', (request) => answerTo({ ...request, mac: Buffer.alloc(32) }), 'whose signature is wrong'],
  [
    'of another secret',
    (request) => answerTo(request, { signer: { ...key, secret: Buffer.alloc(32, 8) } }),
    'whose signature is wrong',
  ],
  [
    'of another name',
    (request) => answerTo(request, { signer: { ...key, name: 'other.test' } }),
    'signed by another key',
  ],
  ['of another time', (request) => answerTo(request, { at: new Date(now.getTime() + 301_000) }), 'BADTIME'],
  ['of nobody', (request) => answerTo(request).subarray(0, 12).fill(0, 10, 12), 'without signature'],
])('an answer %s is not believed', (_, make, reason) => {
  const request = sent();
  expect(parseUpdateReply(make(request), request, { key, now })).toMatchObject({
    kind: 'unsigned',
    reason: expect.stringContaining(reason),
  });
});

test('no other bytes are believed, and none is too odd to be read', () => {
  const request = sent();
  const good = answerTo(request);
  const oneBitOff = fc.integer({ min: 2, max: good.length * 8 - 1 }).map((bit) => {
    const bytes = Buffer.from(good);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return bytes;
  });
  const odd = fc.oneof(
    oneBitOff,
    fc.uint8Array({ maxLength: 600 }).map((tail) => Buffer.concat([good.subarray(0, 12), tail])),
    fc.integer({ min: 0, max: good.length - 1 }).map((length) => good.subarray(0, length)),
  );
  fc.assert(
    fc.property(odd, (bytes) => {
      const reply = parseUpdateReply(Buffer.from(bytes), request, { key, now });
      // What frames the signature is not signed; what it says is.
      if (reply.kind !== 'answer') return;
      expect(reply.rcode).toBe(0);
      expect(Buffer.from(bytes.subarray(0, 12))).toEqual(good.subarray(0, 12));
    }),
  );
});
