// npm start: runs `countersign dev` with the manifests beside this file, gets a first certificate from it with acme-client, an
// independent ACME library, and stays up. Flags are passed on to `countersign dev`.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import acme from 'acme-client';

const NAME = 'quickstart.localhost';
const here = import.meta.dirname;
const project = join(here, '..', '..');
/** As one word for a shell. */
const word = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
const say = (text: string) => process.stdout.write(`${text}\n`);

interface Ready {
  directory: string;
  /** PEM file a client must trust to reach the directory. */
  ca: string;
  /** PEM file of the root of issued certificates. */
  issuerCA: string;
}

const passed = process.argv.slice(2);
const flag = (name: string, fallback: string): string => {
  const at = passed.lastIndexOf(`--${name}`);
  return at >= 0
    ? (passed[at + 1] ?? fallback)
    : (passed.findLast((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback);
};
const http01Port = Number(flag('http01-port', '5080'));
const data = flag('data', 'countersign-data');
const out = resolve(data, 'quickstart');

const server = startServer();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => server.kill('SIGTERM'));
let failed = false;
server.on('exit', (code) => process.exit(failed ? 1 : (code ?? 1)));

try {
  const ready = await readyLine(server);
  say(`\nGetting a certificate for ${NAME} …`);
  const files = await obtain(ready);
  describe(ready, files);
} catch (error) {
  process.stderr.write(`quickstart: ${error instanceof Error ? error.message : String(error)}\n`);
  failed = true;
  server.kill('SIGTERM');
}

function startServer(): ChildProcess {
  const defaults = passed.some((arg) => arg === '--manifests' || arg.startsWith('--manifests='))
    ? []
    : ['--manifests', join(here, 'manifests')];
  return spawn(process.execPath, [join(project, 'src', 'main.ts'), 'dev', ...defaults, ...passed], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** `ready directory=… ca=… issuer-ca=…` on the server's standard output. */
function readyLine({ stdout }: ChildProcess): Promise<Ready> {
  if (!stdout) throw new Error('the server has no standard output');
  return new Promise((found) => {
    createInterface({ input: stdout }).on('line', (line) => {
      const match = /^ready directory=(\S+) ca=(.+) issuer-ca=(.+)$/.exec(line);
      if (match) found({ directory: match[1] ?? '', ca: match[2] ?? '', issuerCA: match[3] ?? '' });
    });
  });
}

interface Files {
  certificate: string;
  key: string;
}

async function obtain({ directory, ca }: Ready): Promise<Files> {
  // acme-client talks through axios, which talks through node:https.
  acme.axios.defaults.httpsAgent = new (await import('node:https')).Agent({ ca: readFileSync(ca) });
  const client = new acme.Client({ directoryUrl: directory, accountKey: await acme.crypto.createPrivateEcdsaKey() });
  const [key, csr] = await acme.crypto.createCsr(
    { commonName: NAME, altNames: [NAME] },
    await acme.crypto.createPrivateEcdsaKey(),
  );
  const answers = new Map<string, string>();
  const responder = await answerChallenges(answers);
  try {
    const certificate = await client.auto({
      csr,
      termsOfServiceAgreed: true,
      skipChallengeVerification: true,
      challengePriority: ['http-01'],
      challengeCreateFn: async (_authorization, challenge, keyAuthorization) =>
        void answers.set(challenge.token, keyAuthorization),
      challengeRemoveFn: async (_authorization, challenge) => void answers.delete(challenge.token),
    });
    mkdirSync(out, { recursive: true, mode: 0o700 });
    const files = { certificate: join(out, 'fullchain.pem'), key: join(out, 'privkey.pem') };
    writeFileSync(files.certificate, certificate);
    writeFileSync(files.key, key, { mode: 0o600 });
    return files;
  } finally {
    responder.close();
    responder.closeAllConnections();
  }
}

/** RFC 8555 section 8.3, on the port where `countersign dev` looks. */
async function answerChallenges(answers: ReadonlyMap<string, string>): Promise<Server> {
  const responder = createServer((request, response) => {
    const answer = answers.get((request.url ?? '').replace('/.well-known/acme-challenge/', ''));
    response.writeHead(answer === undefined ? 404 : 200).end(answer ?? '');
  });
  await new Promise<void>((listening, failed) => {
    responder.once('error', (error) =>
      failed(new Error(`port ${http01Port} is needed to answer the challenge: ${error.message}`)),
    );
    responder.listen(http01Port, '127.0.0.1', listening);
  });
  return responder;
}

function describe({ directory, ca, issuerCA }: Ready, { certificate, key }: Files): void {
  const certbot = join(out, 'certbot');
  say(`
A real certificate from a real ACME server:
  certificate   ${certificate}
  private key   ${key}
  look at it    openssl x509 -in ${word(certificate)} -noout -subject -issuer -dates -ext subjectAltName
  verify it     openssl verify -CAfile ${word(issuerCA)} ${word(certificate)}

The server stays up:
  directory     ${directory}
  trust for it  ${ca}
  issued by     ${issuerCA}
  what it did   npm run -s countersign -- get icert -A -o wide${word(data) === 'countersign-data' ? '' : ` --data ${word(data)}`}

Try your own client, in another terminal:
  REQUESTS_CA_BUNDLE=${word(ca)} certbot certonly --standalone --http-01-address 127.0.0.1 --http-01-port ${http01Port} --server ${directory} -d certbot.localhost --agree-tos --register-unsafely-without-email --non-interactive --config-dir ${word(certbot)} --work-dir ${word(join(certbot, 'work'))} --logs-dir ${word(join(certbot, 'logs'))}
  LEGO_CA_CERTIFICATES=${word(ca)} lego --server ${directory} --http --http.port 127.0.0.1:${http01Port} --domains lego.localhost --email you@example.com --accept-tos --path ${word(join(out, 'lego'))} run

Ctrl-C stops it; what it knows is kept.`);
}
