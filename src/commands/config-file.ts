// The configuration as a file of this machine.
import { readFileSync } from 'node:fs';
import { type Config, parseConfig } from '../config.ts';
import { UsageError } from './dev-flags.ts';

const POD_NAMESPACE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
/** Bytes. */
const LIMIT = 1024 * 1024;

/**
 * Defaults alone where `path` is undefined. `namespace` is that of the operator where neither the file nor a Pod tells. Throws
 * UsageError where the file cannot be read, ConfigError for what is wrong in it.
 */
export function readConfig(path: string | undefined, namespace?: string): Config {
  return parseConfig(path === undefined ? '' : textOf(path), podNamespace() ?? namespace);
}

function textOf(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > LIMIT) throw new Error(`it has more than ${LIMIT} bytes`);
    return text;
  } catch (error) {
    throw new UsageError(`the configuration ${path} cannot be read: ${error instanceof Error ? error.message : ''}`);
  }
}

function podNamespace(): string | undefined {
  try {
    return readFileSync(POD_NAMESPACE, 'utf8').trim();
  } catch {
    return undefined;
  }
}
