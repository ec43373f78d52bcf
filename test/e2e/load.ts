// A client that never stops: a Pod that has one certificate after another issued by ACME, each request on a connection of its own, and
// prints what came of each order.
import { directoryOf } from './certbot.ts';
import type { Cluster } from './cluster.ts';
import { eventually } from '../support/eventually.ts';

const PROGRAM = `
import http.server, os, sys, threading, time
import josepy
from acme import challenges, client, crypto_util, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography import x509

NAME, DIRECTORY = sys.argv[1:]
answers = {}

class Responder(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = answers.get(self.path)
        self.send_response(200 if answer else 404)
        self.end_headers()
        self.wfile.write(answer or b"")
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("", 80), Responder)
threading.Thread(target=server.serve_forever, daemon=True).start()

def say(*words):
    print(f"{time.time():.3f}", *words, flush=True)

key = josepy.JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))

def connect():
    net = client.ClientNetwork(key, alg=josepy.RS256, user_agent="load", timeout=60)
    net.session.headers["Connection"] = "close"
    directory = messages.Directory.from_json(net.get(DIRECTORY).json())
    acme = client.ClientV2(directory, net)
    try:
        acme.new_account(messages.NewRegistration.from_data(terms_of_service_agreed=True))
    except acme_errors.ConflictError as known:
        net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())
    return acme

from acme import errors as acme_errors

def issue(acme):
    secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    order = acme.new_order(crypto_util.make_csr(secret, [NAME]))
    for authorization in order.authorizations:
        if authorization.body.status == messages.STATUS_VALID:
            continue
        for each in authorization.body.challenges:
            if isinstance(each.chall, challenges.HTTP01):
                response, validation = each.response_and_validation(key)
                answers[each.chall.path] = validation.encode()
                acme.answer_challenge(each, response)
    done = acme.poll_and_finalize(order)
    return x509.load_pem_x509_certificate(done.fullchain_pem.encode()).serial_number

acme = None
while True:
    try:
        acme = acme or connect()
        say("issued", f"{issue(acme):032x}")
    except Exception as error:
        say("failed", repr(error).replace("\\n", " "))
        acme = None
    time.sleep(0.5)
`;

export interface Load {
  /** Serial numbers, hexadecimal, of the certificates so far. */
  issued(): Promise<string[]>;
  /** Why orders failed so far. */
  failed(): Promise<string[]>;
}

/** Begins, and resolves once there is a first certificate. The ConfigMap `trust` is in the namespace; the issuer allows names of Services. */
export async function startLoad(
  cluster: Cluster,
  { issuer, namespace }: { issuer: string; namespace: string },
): Promise<Load> {
  const image = await cluster.image('debian');
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'load' },
    spec: { selector: { app: 'load' }, ports: [{ port: 80 }], publishNotReadyAddresses: true },
  };
  const program = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'load' }, data: { 'load.py': PROGRAM } };
  await cluster.apply([service, program], namespace);
  const name = `load.${namespace}.svc.cluster.local`;
  await cluster.start('load', namespace, {
    image,
    command: ['python3', '/load/load.py', name, directoryOf(issuer)],
    mounts: { '/load': { configMap: 'load' }, '/trust': { configMap: 'trust' } },
    env: { REQUESTS_CA_BUNDLE: '/trust/ca.crt' },
    port: 80,
  });
  const lines = async (word: string) => {
    const log = await cluster.logs('pod/load', namespace);
    return [...log.matchAll(new RegExp(`^[\\d.]+ ${word} (.*)$`, 'gm'))].map(([, rest = '']) => rest);
  };
  const load = { issued: () => lines('issued'), failed: () => lines('failed') };
  await further(load, 1);
  return load;
}

/** Resolves once there are that many more certificates than now. */
export async function further(load: Load, count: number): Promise<void> {
  const before = (await load.issued()).length;
  await eventually(
    `${count} more certificates are issued`,
    async () => ((await load.issued()).length >= before + count ? true : undefined),
    180,
  );
}
