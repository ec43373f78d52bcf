// Compaction of etcd through its HTTP gateway.

/** Forgets every revision but the last. */
export async function compactEtcd(url: string): Promise<void> {
  const { header } = await post<{ header: { revision: string } }>(`${url}/v3/kv/range`, { key: toBase64('/') });
  await post(`${url}/v3/kv/compaction`, { revision: header.revision, physical: true });
}

async function post<T>(url: string, body: object): Promise<T> {
  const reply = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  const content = await reply.text();
  if (!reply.ok) throw new Error(`${url}: ${reply.status} ${content}`);
  return JSON.parse(content) as T;
}

const toBase64 = (text: string): string => Buffer.from(text).toString('base64');
