// What the API server and the rules in TypeScript make of an object.
import { apiVersion, type Kind, type KubeObject } from '../../src/api/kind.ts';
import { validateObject } from '../../src/api/validate.ts';
import type { ApiClient, ApiReply } from '../support/api-client.ts';

export interface Verdict {
  accepted: boolean;
  why: string;
}

/** Objects of one kind asked about at once: the server has two cores at best. */
const AT_ONCE = 8;

/** Path of the objects of a kind, those of the namespace `default` where there are namespaces. */
export function collectionPath(kind: Kind): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  return `${root}${kind.namespaced ? '/namespaces/default' : ''}/${kind.plural}`;
}

export function wholeObject(kind: Kind, body: object, metadata: object = {}): KubeObject {
  const place = { name: 'x', ...(kind.namespaced ? { namespace: 'default' } : {}) };
  return { apiVersion: apiVersion(kind), kind: kind.kind, metadata: { ...place, ...metadata }, ...body } as KubeObject;
}

export function judgeHere(kind: Kind, object: KubeObject, old?: KubeObject): Verdict {
  const errors = validateObject(kind, object, old);
  return { accepted: errors.length === 0, why: errors.map(({ path, message }) => `${path}: ${message}`).join('; ') };
}

/** Unknown fields are errors, as they are to kubectl. Nothing is stored. */
export async function judgeThere(
  api: ApiClient,
  method: 'POST' | 'PUT',
  path: string,
  object: KubeObject,
): Promise<Verdict> {
  const reply = await api.request<{ message?: string }>(method, `${path}?dryRun=All&fieldValidation=Strict`, object);
  return { accepted: isAccepted(reply), why: reply.body.message ?? '' };
}

function isAccepted({ status, body }: ApiReply): boolean {
  if (status === 200 || status === 201) return true;
  // Invalid, and what no decoder takes for an object of the kind.
  if (status === 422 || status === 400 || status === 404) return false;
  throw new Error(`no verdict: ${status} ${JSON.stringify(body)}`);
}

/** Results in the order of the items. */
export async function mapAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
