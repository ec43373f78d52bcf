// Runs inside a network namespace: what ACME servers meet of the world outside. Every name is at this address, and port 80 answers
// every http-01 token for the account key that the name's first label stands for, so that nothing has to be told per order.
// Arguments: address, then the thumbprints by number; `c3-17.bench.test` is a name of account 3.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';

const [address = '', ...thumbprints] = process.argv.slice(2);
const DNS_PORT = 53;
const HEADER = 12;
const TYPE_A = 1;
/** Pointer to the name of the question, type A, class IN, TTL 60, four octets. */
const RECORD = Buffer.from([0xc0, HEADER, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);

/** The answer to a query of one question (RFC 1035 section 4.1): the address, or no data. */
function answerOf(query: Buffer): Buffer {
  let end = HEADER;
  while ((query[end] ?? 0) > 0) end += (query[end] ?? 0) + 1;
  const found = query.readUInt16BE(end + 1) === TYPE_A;
  const reply = Buffer.concat([query.subarray(0, end + 5), found ? RECORD : Buffer.alloc(0)]);
  reply.writeUInt16BE(0x8180, 2);
  for (const [at, count] of [1, found ? 1 : 0, 0, 0].entries()) reply.writeUInt16BE(count, 4 + 2 * at);
  return reply;
}

const dns = createSocket('udp4');
dns.on('message', (query, { port, address: to }) => {
  if (query.length > HEADER + 5) dns.send(answerOf(query), port, to);
});
dns.bind(DNS_PORT, address);

const http = createServer((request, response) => {
  const token = request.url?.split('/').pop() ?? '';
  const account = /^c(\d+)-/.exec(request.headers.host ?? '')?.[1] ?? '';
  response.end(`${token}.${thumbprints[Number(account)] ?? ''}`);
});
http.listen(80, address);

await Promise.all([once(dns, 'listening'), once(http, 'listening')]);
process.stdout.write('listening\n');
