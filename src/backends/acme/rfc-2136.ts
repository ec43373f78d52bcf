// TXT records written by dynamic update, signed with a key of a Secret.
import type { Rfc2136Spec } from '../../api/acme-backend.ts';
import { readValue } from '../https/mutual-tls.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { DnsUpdate } from '../../ports.ts';
import type { RecordKeeper, SolverDeps, TextRecord } from './dns-01.ts';

export function createRfc2136(deps: SolverDeps, { nameserver, tsig }: Rfc2136Spec): RecordKeeper {
  const { keyName: name, algorithm = 'hmac-sha256', secretRef } = tsig;

  async function updateOf({ name: owner, text }: TextRecord): Promise<DnsUpdate> {
    return { nameserver, key: { name, algorithm, secret: await secret() }, name: owner, text };
  }

  async function secret(): Promise<Buffer> {
    return secretOf(await readValue(deps, secretRef));
  }

  return {
    check: async () => void (await secret()),
    nameservers: [nameserver],
    add: async (record, signal) => deps.proof.dnsUpdater.add(await updateOf(record), signal),
    remove: async (record, signal) => deps.proof.dnsUpdater.remove(await updateOf(record), signal),
  };
}

function secretOf(value: Buffer): Buffer {
  const text = value.toString('latin1').trim();
  const secret = Buffer.from(text, 'base64');
  if (secret.length > 0 && secret.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')) return secret;
  throw new RemoteFault('SecretUnusable', 'the TSIG key is no base64 text');
}
