// The certbot of this machine, as tests of the backend want it.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'vitest';

/** Where packages of Debian put a plugin. */
const PLUGINS = '/usr/lib/python3/dist-packages';

function missing(plugin: string | undefined): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'certbot')));
  if (!onPath) return 'certbot is missing (apt-get install certbot)';
  if (plugin === undefined || existsSync(join(PLUGINS, `certbot_dns_${plugin}`))) return undefined;
  return `a plugin of certbot is missing (apt-get install python3-certbot-dns-${plugin})`;
}

/** Without it, or without the plugin for dns-01, the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. */
export function describeWithCertbot(title: string, tests: () => void, plugin?: string): void {
  describe(title, () => {
    const lack = missing(plugin);
    if (lack === undefined) tests();
    else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(lack, () => {
        throw new Error(lack);
      });
    } else test.skip(lack, () => {});
  });
}
