// A process that campaigns for a Lease and, while it leads, creates Secrets as fast as it may, behind the fence. For tests that stop
// it with SIGSTOP. Arguments: URL of the API server, file of its CA, token, namespace, identity.
import { readFileSync } from 'node:fs';
import { SecretKind } from '../../src/api/core.ts';
import { createKubernetesCluster } from '../../src/cluster/kubernetes.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { fenceCluster } from '../../src/runtime/fenced-cluster.ts';
import { createLeaderElection } from '../../src/runtime/leader-election.ts';
import { createRandom } from '../../src/runtime/random.ts';

const [url = '', caFile = '', token = '', namespace = '', identity = ''] = process.argv.slice(2);
const [clock, random] = [createClock(), createRandom()];
const silent = () => undefined;
const access = { tls: { ca: readFileSync(caFile, 'utf8') }, headers: { authorization: `Bearer ${token}` } };
const config = { server: new URL(url), namespace: undefined, access: async () => access };
const cluster = createKubernetesCluster({ config, clock, random });
const election = createLeaderElection({
  cluster,
  clock,
  random,
  log: { debug: silent, info: silent, warn: silent, error: silent },
  namespace,
  name: 'zombie',
  identity,
  timings: { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 400 },
});
const fenced = fenceCluster(cluster, election);

// Sleeps alone do not keep a process alive.
setInterval(silent, 60_000);
await election.run(async (signal) => {
  console.log('leads');
  for (let n = 0; !signal.aborted; n++) {
    const name = `${identity}-${process.pid}-${Math.trunc(clock.monotonic())}-${n}`;
    await fenced.create(SecretKind, { metadata: { namespace, name }, data: {} }).catch((error: Error) => {
      console.log(`refused: ${error.message}`);
    });
  }
  console.log('ended');
}, new AbortController().signal);
