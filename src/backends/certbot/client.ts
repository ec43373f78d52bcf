// Our own client of the ACME server that certbot is sent to: it registers the account, once, looks whether the server is well, and revokes.
import type { CertbotBackendSpec } from '../../api/certbot-backend.ts';
import type { BackendDeps } from '../../ports.ts';
import { type AcmeServer, createAcmeServer } from '../acme/server.ts';
import { readValue } from '../https/mutual-tls.ts';
import { withAccountKey } from './account-secret.ts';
import { type Configuration, readConfiguration } from './configuration.ts';

export interface Opened {
  server: AcmeServer;
  configuration: Configuration;
}

export interface Client {
  /** Throws RemoteFault for a configuration that is not there, or must not be. */
  opened(): Promise<Opened>;
  /** The next call reads the configuration again. */
  refresh(): void;
}

const TIMEOUT_MS = 30_000;
const SOCKETS = 4;

export function createClient(deps: BackendDeps, spec: CertbotBackendSpec): Client {
  const { caBundle, caBundleRef, account } = spec;
  const secrets = withAccountKey(deps.secrets, account.keySecretRef.name);
  const tls = { ...(caBundle === undefined ? {} : { caBundle }), ...(caBundleRef ? { caBundleRef } : {}) };
  const options = { timeoutMs: TIMEOUT_MS, concurrency: SOCKETS };
  let stale = true;
  let known: { text: string; opened: Opened } | undefined;
  return {
    async opened() {
      if (known && !stale) return known.opened;
      const text = await configurationText(deps, spec);
      if (known?.text !== text) {
        const configuration = readConfiguration(text);
        const server = createAcmeServer(
          { ...deps, secrets },
          { directory: configuration.server, account, ...tls },
          options,
        );
        known = { text, opened: { server, configuration } };
      }
      stale = false;
      return known.opened;
    },
    refresh() {
      stale = true;
    },
  };
}

async function configurationText(deps: BackendDeps, { config, configRef }: CertbotBackendSpec): Promise<string> {
  if (configRef) return (await readValue(deps, { kind: 'ConfigMap', ...configRef })).toString('utf8');
  return config ?? '';
}
