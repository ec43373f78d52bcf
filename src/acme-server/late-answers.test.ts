import { expect, test } from 'vitest';
import { createCapturingLog } from '../../test/fakes/log.ts';
import type { CertManagerOrder } from '../api/foreign.ts';
import type { CertificateRecord } from '../api/issued-certificate.ts';
import { ClusterError } from '../domain/cluster-error.ts';
import { recordName } from '../issuance/records.ts';
import type { ObjectRef } from '../ports.ts';
import { createLateAnswers } from './late-answers.ts';

const [NAMESPACE, URL] = ['countersign-system', 'https://acme.test/acme/main/order/sealed'];

const orderIn = (namespace: string) => ({ metadata: { namespace, name: 'order' } }) as CertManagerOrder;
const recordOf = (id: string, status?: object) =>
  ({ metadata: { namespace: NAMESPACE, name: recordName('ACME', id) }, status }) as unknown as CertificateRecord;

function scene({ orders = [orderIn('payments')], fault }: { orders?: CertManagerOrder[]; fault?: Error } = {}) {
  const records = new Map<string, CertificateRecord>();
  const log = createCapturingLog();
  const marked: [ObjectRef, string][] = [];
  let changed: (record: CertificateRecord) => void = () => undefined;
  const answers = createLateAnswers({
    issued: {
      get: ({ name }) => records.get(name),
      onChange: (listener) => {
        changed = (record) => listener(record, 'MODIFIED');
        return () => undefined;
      },
    },
    orders: { byIndex: (_index, url) => (url === URL ? orders : []) },
    mark: async (order, record) => {
      marked.push([order, record]);
      if (fault) throw fault;
    },
    namespace: NAMESPACE,
    log,
  });
  const put = (record: CertificateRecord) => {
    records.set(record.metadata.name, record);
    changed(record);
  };
  return { answers, put, marked, log };
}

const ref = { namespace: 'payments', name: 'order' };

test.each([{ certificate: {} }, { refusal: {} }])('an Order is marked once, when its record says %j', (status) => {
  const { answers, put, marked } = scene();
  put(recordOf('a'));
  answers.expect({ id: 'a', url: URL });
  answers.expect({ id: 'a', url: URL });
  put(recordOf('a'));
  put(recordOf('b', status));
  expect(marked).toEqual([]);
  put(recordOf('a', status));
  put(recordOf('a', status));
  expect(marked).toEqual([[ref, recordName('ACME', 'a')]]);
});

test('what was finished in the meantime is told at once', () => {
  const { answers, put, marked } = scene();
  put(recordOf('a', { certificate: {} }));
  answers.expect({ id: 'a', url: URL });
  expect(marked).toHaveLength(1);
});

test('orders that cert-manager was not told to come back for are left alone', () => {
  const { put, marked } = scene();
  put(recordOf('a', { certificate: {} }));
  expect(marked).toEqual([]);
});

test('many Orders with the URL of one are not all marked', async () => {
  const { answers, put, marked } = scene({ orders: Array.from({ length: 1000 }, (_, i) => orderIn(`team-${i}`)) });
  answers.expect({ id: 'a', url: URL });
  put(recordOf('a', { certificate: {} }));
  await expect.poll(() => marked.length).toBe(4);
});

test('where it may not be done, that is said once', async () => {
  const { answers, put, log } = scene({ fault: new ClusterError('Forbidden', 'no') });
  for (const id of ['a', 'b', 'c']) {
    answers.expect({ id, url: URL });
    put(recordOf(id, { certificate: {} }));
    await Promise.resolve();
    await Promise.resolve();
  }
  expect(log.lines.map(({ level }) => level)).toEqual(['warn']);
});
