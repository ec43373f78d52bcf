// The least a Node server can spend on a certificate: the same requests and JWS verifications as ours, one CSR, one signature,
// over bare node:https and synchronous node:crypto. Imports nothing from src. Prints its microseconds per verify and sign.
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';

const [, , port = '0', certFile = '', keyFile = ''] = process.argv;
const ROUNDS = 3000;

const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const tbs = Buffer.alloc(420, 7);
const accounts = new Map<string, KeyObject>();

interface FlattenedJws {
  protected: string;
  payload: string;
  signature: string;
}

/** DER of r and s side by side: node:crypto takes those as they are too, but at half as much again per verification. */
function ecdsaDer(bytes: Buffer): Buffer {
  const integers = [bytes.subarray(0, 32), bytes.subarray(32)].map((half) => {
    const from = half.findIndex((byte) => byte !== 0);
    const magnitude = half.subarray(from < 0 ? 31 : from);
    const content = (magnitude[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude;
    return Buffer.concat([Buffer.of(2, content.length), content]);
  });
  const content = Buffer.concat(integers);
  return Buffer.concat([Buffer.of(0x30, content.length), content]);
}

/** One verification with a key that is imported once an account, as any server would. */
function verified(body: Buffer): Buffer {
  const jws = JSON.parse(body.toString()) as FlattenedJws;
  const header = JSON.parse(Buffer.from(jws.protected, 'base64url').toString()) as { kid: string; jwk?: object };
  let key = accounts.get(header.kid);
  if (!key) {
    key = createPublicKey({ key: header.jwk as never, format: 'jwk' });
    accounts.set(header.kid, key);
  }
  const input = Buffer.from(`${jws.protected}.${jws.payload}`);
  const good = verify('sha256', input, key, ecdsaDer(Buffer.from(jws.signature, 'base64url')));
  if (!good) throw new Error('bad signature');
  return Buffer.from(jws.payload, 'base64url');
}

/** Content of one DER element at `at`: where it starts and ends. */
function element(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0;
  if (first < 0x80) return { start: at + 2, end: at + 2 + first };
  const octets = first & 0x7f;
  const start = at + 2 + octets;
  return { start, end: start + der.readUIntBE(at + 2, octets) };
}

/** Imports the key of a CSR, verifies its self-signature, signs a certificate's worth of bytes. */
function certify(csr: Buffer): Buffer {
  const outer = element(csr, 0);
  const info = element(csr, outer.start);
  const version = element(csr, info.start);
  const subject = element(csr, version.end);
  const spki = element(csr, subject.end);
  const algorithm = element(csr, info.end);
  const signature = element(csr, algorithm.end);
  const key = createPublicKey({ key: csr.subarray(subject.end, spki.end), format: 'der', type: 'spki' });
  if (!verify('sha256', csr.subarray(outer.start, info.end), key, csr.subarray(signature.start + 1, signature.end)))
    throw new Error('bad CSR');
  return sign('sha256', tbs, ca.privateKey);
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  if (request.method === 'POST') {
    const payload = verified(body);
    if (request.url === '/finalize')
      certify(Buffer.from((JSON.parse(payload.toString()) as { csr: string }).csr, 'base64url'));
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
}

function measure(): { verify: number; sign: number } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = Buffer.alloc(300, 1);
  const signature = sign('sha256', data, privateKey);
  const time = (work: () => unknown): number => {
    for (let i = 0; i < ROUNDS / 4; i++) work();
    const before = process.cpuUsage();
    for (let i = 0; i < ROUNDS; i++) work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / ROUNDS;
  };
  return {
    verify: time(() => verify('sha256', data, publicKey, signature)),
    sign: time(() => sign('sha256', data, privateKey)),
  };
}

const server = createServer(
  { cert: readFileSync(certFile), key: readFileSync(keyFile), ALPNProtocols: ['http/1.1'] },
  (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => answer(request, response, Buffer.concat(chunks)));
  },
);
const costs = measure();
server.listen(Number(port), '127.0.0.1', () => process.stdout.write(`ready ${JSON.stringify(costs)}\n`));
