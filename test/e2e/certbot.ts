// A Pod with certbot behind a Service of its own: it gets a certificate for the Service's name by http-01, with nothing but the directory
// and the bundle that is mounted.
import { NAMESPACE, RELEASE } from '../support/helm.ts';

export const CERTBOT = {
  ended: 'jsonpath={.status.phase}=Succeeded',
  folder: '/tmp/certbot',
} as const;

export interface CertbotOptions {
  issuer: string;
  service: string;
  namespace: string;
  /** What the certificate is for; the Service's own `<service>.<namespace>.svc.cluster.local` when absent. */
  name?: string;
  /** A shell command after that; `true` when absent. */
  afterwards?: string;
}

export const directoryOf = (issuer: string): string => `https://${RELEASE}.${NAMESPACE}.svc/acme/${issuer}/directory`;

/** In the namespace there is a ConfigMap `trust` with the bundle as `ca.crt`. The Pod is `certbot-<service>`. */
export function certbotPod(image: string, { issuer, service, namespace, ...options }: CertbotOptions): object[] {
  const { name = `${service}.${namespace}.svc.cluster.local`, afterwards = 'true' } = options;
  const folders = ['config', 'work', 'logs'].map((folder) => `--${folder}-dir ${CERTBOT.folder}/${folder}`).join(' ');
  const certbot = [
    `certbot certonly --standalone --non-interactive --agree-tos --register-unsafely-without-email ${folders}`,
    `--server ${directoryOf(issuer)} --domain ${name} --cert-name ${service}`,
  ].join(' ');
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: service },
      // Until certbot has answered, the Pod is not ready.
      spec: {
        selector: { app: `certbot-${service}` },
        ports: [{ name: 'http', port: 80 }],
        publishNotReadyAddresses: true,
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `certbot-${service}`, labels: { app: `certbot-${service}` } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'main',
            image,
            command: ['sh', '-c', `${certbot} || { cat ${CERTBOT.folder}/logs/*; exit 1; }; ${afterwards}`],
            env: [{ name: 'REQUESTS_CA_BUNDLE', value: '/trust/ca.crt' }],
            volumeMounts: [{ name: 'trust', mountPath: '/trust', readOnly: true }],
          },
        ],
        volumes: [{ name: 'trust', configMap: { name: 'trust' } }],
      },
    },
  ];
}
