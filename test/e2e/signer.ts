// The signer of examples/webhook-signer in the cluster, behind an issuer with the webhook backend: it can be stopped, and held.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { NAMESPACE } from '../support/helm.ts';
import type { Cluster } from './cluster.ts';
import { ROOT } from './pages.ts';

/** What peers of the product need that are no program of ours, in one image. */
export const PEERS = { image: 'peers', packages: ['bind9', 'nodejs', 'openssl'] } as const;

const EXAMPLE = join(ROOT, 'examples/webhook-signer');
const HELD = '/tmp/held';
/** In the place of openssl: it waits as long as that file is there, and with it the signer, which does one thing at a time. */
const GATE = `#!/bin/sh\nwhile [ -e ${HELD} ]; do sleep 0.1; done\nexec /usr/bin/openssl "$@"\n`;

export interface Signer {
  stop(): Promise<void>;
  start(): Promise<void>;
  /** From now on it takes requests and answers none. */
  hold(): Promise<void>;
  release(): Promise<void>;
}

/** The issuer `name` signs there; `spec` adds to it. What it is asked for has a policy of its own. The signer is in `namespace`. */
export async function startSigner(
  cluster: Cluster,
  { name, namespace, spec }: { name: string; namespace: string; spec: object },
): Promise<Signer> {
  const image = await cluster.image(PEERS.image, PEERS.packages);
  const folder = mkdtempSync(join(cluster.folder, 'signer-'));
  const host = `signer.${namespace}.svc`;
  execFileSync(join(EXAMPLE, 'setup.sh'), [folder], { stdio: 'ignore' });
  // The example's certificate is for a signer on the same machine.
  execFileSync(
    'sh',
    [
      '-euc',
      `printf 'subjectAltName=DNS:${host}\\n' >server.ext; openssl x509 -req -in server.csr \
    -CA server-ca.crt -CAkey server-ca.key -CAcreateserial -days 365 -extfile server.ext -out server.crt 2>/dev/null`,
    ],
    {
      cwd: folder,
    },
  );
  const files = readdirSync(folder, { withFileTypes: true }).filter((file) => file.isFile());
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  const data = {
    ...Object.fromEntries(files.map((file) => [file.name, read(file.name)])),
    'signer.mjs': stripTypeScriptTypes(readFileSync(join(EXAMPLE, 'signer.ts'), 'utf8')),
    openssl: GATE,
  };
  const [secret, issuer] = parseAllDocuments(read('manifests/webhook.yaml')).map((each) => each.toJS()) as [
    { metadata: object },
    { spec: { backend: { webhook: object } } },
  ];
  const secretName = `${name}-client`;
  const authentication = { clientCertificateRef: { name: secretName } };
  const webhook = { ...issuer.spec.backend.webhook, url: `https://${host}:8444/sign`, authentication };
  await cluster.apply([
    { ...secret, metadata: { name: secretName, namespace: NAMESPACE } },
    { ...issuer, metadata: { name }, spec: { backend: { webhook }, ...spec } },
  ]);
  await cluster.apply(
    [...deployment(image), { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'signer' }, data }],
    namespace,
  );
  const where = ['--namespace', namespace];
  const scale = async (replicas: number) => {
    await cluster.kubectl('scale', 'deployment/signer', ...where, `--replicas=${replicas}`);
    if (replicas > 0)
      return void (await cluster.kubectl('rollout', 'status', 'deployment/signer', ...where, '--timeout=300s'));
    await cluster.kubectl('wait', 'pod', '--selector=app=signer', ...where, '--for=delete', '--timeout=120s');
  };
  const inside = async (...command: string[]) => void (await cluster.exec('deployment/signer', namespace, command));
  await scale(1);
  await cluster.waitFor(`clustercaissuer/${name}`, 'condition=Ready');
  return {
    stop: () => scale(0),
    start: () => scale(1),
    hold: () => inside('touch', HELD),
    release: () => inside('rm', HELD),
  };
}

function deployment(image: string): object[] {
  const program = 'cp -r /program/. /work && chmod +x openssl && PATH=/work:$PATH exec node signer.mjs';
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'signer' },
      spec: { selector: { app: 'signer' }, ports: [{ port: 8444 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'signer' },
      spec: {
        selector: { matchLabels: { app: 'signer' } },
        template: {
          metadata: { labels: { app: 'signer' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'signer',
                image,
                workingDir: '/work',
                command: ['sh', '-c', program],
                readinessProbe: { tcpSocket: { port: 8444 }, periodSeconds: 1 },
                volumeMounts: [
                  { name: 'program', mountPath: '/program' },
                  { name: 'work', mountPath: '/work' },
                ],
              },
            ],
            volumes: [
              { name: 'program', configMap: { name: 'signer' } },
              { name: 'work', emptyDir: {} },
            ],
          },
        },
      },
    },
  ];
}
