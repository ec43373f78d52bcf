// The informers of @kubernetes/client-node over all IssuedCertificates and Secrets, in a process of their own, for what they cost.
// Argument: a kubeconfig. Prints `holds <records> <secrets>` once both lists are there.
import { CoreV1Api, CustomObjectsApi, KubeConfig, type KubernetesObject, makeInformer } from '@kubernetes/client-node';
import { NAMESPACE } from '../../support/serve.ts';

const config = new KubeConfig();
config.loadFromFile(process.argv[2] ?? '');
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);
const [group, version, plural] = ['countersign.dev', 'v1alpha1', 'issuedcertificates'];

const records = makeInformer<KubernetesObject>(
  config,
  `/apis/${group}/${version}/namespaces/${NAMESPACE}/${plural}`,
  () => custom.listNamespacedCustomObject({ group, version, namespace: NAMESPACE, plural }),
);
const secrets = makeInformer(config, '/api/v1/secrets', () => core.listSecretForAllNamespaces());
for (const informer of [records, secrets])
  informer.on('error', (error: unknown) => {
    throw error instanceof Error ? error : new Error(String(error));
  });
await Promise.all([records.start(), secrets.start()]);
process.stdout.write(`holds ${records.list(NAMESPACE).length} ${secrets.list().length}\n`);
setInterval(() => undefined, 2 ** 30);
