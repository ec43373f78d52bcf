// The embedded store under the Cluster contract, in memory and in a file.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ALL_KINDS } from '../../src/api/index.ts';
import { createEmbeddedCluster } from '../../src/cluster/embedded.ts';
import { sqliteStorage } from '../../src/cluster/sqlite-storage.ts';
import { memoryStorage, type Storage } from '../../src/cluster/storage.ts';
import { createClock } from '../../src/runtime/clock.ts';
import { createRandom } from '../../src/runtime/random.ts';
import { describeCluster } from './cluster.ts';

function embedded(storage: Storage) {
  return createEmbeddedCluster({ storage, clock: createClock(), random: createRandom(), kinds: ALL_KINDS });
}

describeCluster('embedded, in memory', async () => {
  const cluster = embedded(memoryStorage());
  return { cluster, stop: () => cluster.close() };
});

describeCluster('embedded, in SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-store-'));
  const cluster = embedded(sqliteStorage(join(folder, 'store.sqlite')));
  return {
    cluster,
    stop: async () => {
      await cluster.close();
      rmSync(folder, { recursive: true });
    },
  };
});
