// What a runner tells the suites about the cluster that it made: a file, named by an environment variable.
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

export const SESSION = 'COUNTERSIGN_E2E_SESSION';

export interface Session {
  kind: 'local' | 'kind';
  /** Of a cluster administrator. */
  kubeconfig: string;
  /** Folder of the run: measures, scratch files. */
  folder: string;
  /** A command that takes the file of an OCI archive as its last argument, and gives its image to the nodes. */
  load: readonly string[];
  /** Audit log of the API server, where it can be read. */
  auditLog?: string;
}

export function writeSession(file: string, session: Session): void {
  writeFileSync(file, JSON.stringify(session));
}

export function readSession(): Session {
  const file = process.env[SESSION];
  if (file === undefined) throw new Error('suites are run by `npm run e2e`');
  return JSON.parse(readFileSync(file, 'utf8')) as Session;
}
