// Asks the API server what the asker may do (SelfSubjectAccessReview). Apart from the Cluster port, because a review is no object: it
// has no name and is not stored.
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { ClusterError } from '../domain/cluster-error.ts';
import type { ApiConfig } from './kubernetes-access.ts';

/** As in the API: verb, group, resource, subresource, namespace, name. */
export type AccessQuestion = Readonly<Record<string, string>>;

const PATH = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const PATIENCE_MS = 20_000;

/** Rejects with Unavailable where the API server does not answer as it should. */
export function createAccessReview(config: ApiConfig): (question: AccessQuestion) => Promise<boolean> {
  return async (question) => {
    const body = JSON.stringify({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: question },
    });
    const answer = await post(config, body);
    const { status } = JSON.parse(answer) as { status?: { allowed?: boolean } };
    if (status === undefined) throw new ClusterError('Unavailable', 'the API server did not review an access');
    return status.allowed === true;
  };
}

async function post(config: ApiConfig, body: string): Promise<string> {
  const { tls, headers } = await config.access(false);
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new ClusterError('Unavailable', error.message));
    const outgoing = request(new URL(PATH, config.server), {
      ...tls,
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json', Accept: 'application/json' },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    outgoing.once('error', fail);
    outgoing.once('response', (response) => {
      if (response.statusCode === 201) text(response).then(resolve, fail);
      else outgoing.destroy(new Error(`the API server answered ${response.statusCode} to an access review`));
    });
    outgoing.end(body);
  });
}
