// Where the double of EJBCA is that scripts/build-tools.ts builds with Maven, and a Java to run it. Tests never build it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { cacheFolder } from './kubernetes-programs.ts';

/** The program as a jar beside its libraries, or why there is none. */
export function ejbcaProgram(): { java: string; jar: string } | { missing: string } {
  const jar = join(dirname(cacheFolder()), 'ejbca-double', 'ejbca-double.jar');
  if (!existsSync(jar)) return { missing: 'the double of EJBCA is missing (node scripts/build-tools.ts ejbca-double)' };
  const home = process.env['JAVA_HOME'];
  const java = home === undefined ? 'java' : join(home, 'bin', 'java');
  if (spawnSync(java, ['-version']).status === 0) return { java, jar };
  return { missing: 'Java is missing (apt-get install openjdk-17-jre-headless)' };
}
