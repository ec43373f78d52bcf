// A signer for the webhook backend (docs/write-your-own-backend.md): signs with openssl what Countersign has approved. Run it where
// setup.sh put its files. Whoever has a client certificate of client-ca.crt may ask.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { json } from 'node:stream/consumers';

type Order = {
  id: string;
  csr: string;
  notBefore: string;
  notAfter: string;
  usages: ('server auth' | 'client auth')[];
};
const USAGES = { 'server auth': 'serverAuth', 'client auth': 'clientAuth' };
const read = (file: string) => readFileSync(file, 'utf8');
const time = (text: string) => text.replace(/[-:T]|\.\d+/g, '');

function sign({ id, csr, notBefore, notAfter, usages }: Order): string {
  const file = `signed-${/^ic-[a-z2-7]{52}$/.exec(id)?.[0]}.pem`;
  if (existsSync(file)) return read(file);
  const dates = ['-startdate', time(notBefore), '-enddate', time(notAfter)];
  const args = ['ca', '-batch', '-notext', '-config', 'openssl.cnf', '-in', `${file}.csr`, ...dates];
  const env = { ...process.env, USAGES: usages.map((usage) => USAGES[usage]).join(',') };
  writeFileSync(`${file}.csr`, csr);
  writeFileSync(file, execFileSync('openssl', args, { env, encoding: 'utf8' }) + read('ca.crt'));
  return read(file);
}

const tls = { cert: read('server.crt'), key: read('server.key'), ca: read('client-ca.crt'), requestCert: true };
createServer(tls, (request, response) => {
  const send = (status: number, body: object) =>
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  const signed = `signed-${request.url?.slice('/sign/'.length)}.pem`;
  if (request.method === 'POST' && request.url === '/sign')
    json(request)
      .then((order) => send(200, { certificate: sign(order as Order) }))
      .catch(() => send(500, {}));
  else if (request.url === '/sign') send(200, { chain: read('ca.crt') });
  else if (/^signed-ic-[a-z2-7]{52}\.pem$/.test(signed) && existsSync(signed))
    send(200, { certificates: [read(signed)] });
  else send(404, {});
}).listen(Number(process.env.PORT ?? 8444), () => console.log('ready'));
