// An issuer on a stage whose CA is elsewhere: a signer process behind the webhook backend.
import { X509Certificate } from 'node:crypto';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import { NAMESPACE } from './serve.ts';
import { GROUP, type RecordObject, secretsOf, type Stage } from './serving-stage.ts';
import type { WebhookPeer } from './webhook-peer.ts';

export const REMOTE = 'remote';

interface IssuerObject {
  metadata: { uid: string };
  status?: { conditions?: { type: string; status: string; message: string }[] };
}

/** Secrets and a ClusterCAIssuer `remote`; does not wait for it to be ready. Resolves with its uid. */
export async function createRemoteIssuer(stage: Stage, peer: WebhookPeer, acme: object = {}): Promise<string> {
  const { api } = stage.plane;
  for (const [name, stringData] of Object.entries(peer.secrets))
    await api.expect('POST', secretsOf(NAMESPACE), { metadata: { name }, stringData });
  const made = await api.expect<IssuerObject>('POST', `${GROUP}/clustercaissuers`, {
    apiVersion: 'countersign.dev/v1alpha1',
    kind: 'ClusterCAIssuer',
    metadata: { name: REMOTE },
    spec: {
      backend: { webhook: peer.spec },
      acme: { validation: { nameservers: [stage.responders.dns.address] }, finalizeTimeout: '2s', ...acme },
    },
  });
  return made.metadata.uid;
}

export async function remoteIssuerReady(stage: Stage): Promise<void> {
  await eventually('the remote issuer is ready', async () => {
    const { status } = await stage.plane.api.expect<IssuerObject>('GET', `${GROUP}/clustercaissuers/${REMOTE}`);
    return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') || undefined;
  });
}

export async function recordsOfNames(stage: Stage, names: readonly string[]): Promise<RecordObject[]> {
  return (await stage.records()).filter(({ spec }) => names.some((name) => spec.names.includes(`dns:${name}`)));
}

/** One record for the names, and of all that was signed for it, its certificate alone is not revoked. */
export async function expectOneRemote(
  stage: Stage,
  peer: WebhookPeer,
  names: readonly string[],
): Promise<RecordObject> {
  const records = await recordsOfNames(stage, names);
  expect(records, `records for ${names.join()}`).toHaveLength(1);
  const [record] = records as [RecordObject];
  const live = async () => {
    const { chains = [], revoked = [] } = (await peer.signed())[record.metadata.name] ?? {};
    return chains
      .map((pem) => new X509Certificate(pem))
      .filter(({ serialNumber }) => !revoked.includes(serialNumber.toLowerCase()))
      .map(({ raw }) => raw.toString('base64'));
  };
  await eventually('all but one are revoked', async () => ((await live()).length <= 1 ? true : undefined));
  expect(await live()).toEqual([record.status?.certificate]);
  return record;
}
