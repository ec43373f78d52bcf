// The Pod in which certbot runs: as the Pod Security Standard "restricted" wants it, with no rights at the API server and nothing to write
// to but what ends with it.
import type { CertbotRun } from '../../ports.ts';
import { PLAN_VARIABLE, RUN_PROGRAM } from './program.ts';

export const CONTAINER = 'certbot';
/** Each secret of the run is a file in it, named by its place in their order. */
export const SECRETS_FOLDER = '/secrets';

/** Any that is not root's: images of certbot have none of their own. */
const USER = 65_532;
const POD_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: 'RuntimeDefault' },
};
const CONTAINER_SECURITY = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};
const FOLDER = '/work';
const SIZE = '64Mi';

/** `plan` as renderPlan gives it. */
export function podSpecOf(
  { pod }: Pick<CertbotRun, 'pod'>,
  plan: string,
  secrets: readonly { name: string; key: string }[],
): Record<string, unknown> {
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 5,
    securityContext: POD_SECURITY,
    ...(pod.imagePullSecrets.length === 0 ? {} : { imagePullSecrets: pod.imagePullSecrets.map((name) => ({ name })) }),
    ...(Object.keys(pod.nodeSelector).length === 0 ? {} : { nodeSelector: pod.nodeSelector }),
    containers: [
      {
        name: CONTAINER,
        image: pod.image,
        command: ['python3', '-c', RUN_PROGRAM],
        workingDir: FOLDER,
        env: [{ name: PLAN_VARIABLE, value: plan }],
        resources: pod.resources,
        securityContext: CONTAINER_SECURITY,
        volumeMounts: [
          { name: 'work', mountPath: FOLDER },
          { name: 'tmp', mountPath: '/tmp' },
          // A configuration that the image has is none that was judged.
          { name: 'none', mountPath: '/etc/letsencrypt', readOnly: true },
          { name: 'secrets', mountPath: SECRETS_FOLDER, readOnly: true },
        ],
      },
    ],
    volumes: [
      ...['work', 'tmp', 'none'].map((name) => ({ name, emptyDir: { sizeLimit: SIZE } })),
      {
        name: 'secrets',
        projected: {
          defaultMode: 0o440,
          sources: secrets.map(({ name, key }, i) => ({ secret: { name, items: [{ key, path: String(i) }] } })),
        },
      },
    ],
  };
}
