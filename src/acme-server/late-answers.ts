// Certificates that came too late for cert-manager. Told 503 it comes again after 5, 10, 20 s … half an hour, whatever Retry-After says; but any
// change of its Order makes it look at once. So the Order is marked as soon as its record is finished.
import type { CertManagerOrder } from '../api/foreign.ts';
import { type CertificateRecord, isReserved } from '../api/issued-certificate.ts';
import { isClusterError } from '../domain/cluster-error.ts';
import { recordName } from '../issuance/records.ts';
import type { Cache, Log, ObjectRef, OptionalCache } from '../ports.ts';
import { ORDER_URL_INDEX } from './cert-manager-orders.ts';

export interface LateAnswers {
  /** cert-manager was told to come back for this order. `url`: of the order. */
  expect(order: { id: string; url: string }): void;
}

export interface LateAnswersDeps {
  issued: Pick<Cache<CertificateRecord>, 'get' | 'onChange'>;
  /** With ORDER_URL_INDEX. */
  orders: Pick<OptionalCache<CertManagerOrder>, 'byIndex'>;
  /** Changes the Order, the same way for the same record. */
  mark: (order: ObjectRef, record: string) => Promise<void>;
  /** The operator's. */
  namespace: string;
  log: Log;
}

/** What is forgotten beyond it comes as late as without all this. */
const MAX_EXPECTED = 4096;
/** Whoever may write the status of Orders may give many of them one URL. */
const MAX_ORDERS = 4;

export function createLateAnswers({ issued, orders, mark, namespace, log }: LateAnswersDeps): LateAnswers {
  /** URL of the order, by name of its record. */
  const expected = new Map<string, string>();
  let isForbidden = false;

  async function tell(record: string, url: string): Promise<void> {
    try {
      for (const { metadata } of orders.byIndex(ORDER_URL_INDEX, url).slice(0, MAX_ORDERS))
        await mark({ namespace: metadata.namespace ?? '', name: metadata.name }, record);
    } catch (error) {
      // It comes by itself, only later.
      if (!isForbidden) log.warn({ error, record }, 'cert-manager could not be told of a certificate');
      isForbidden = isClusterError(error, 'Forbidden');
    }
  }

  function look(record: CertificateRecord | undefined): void {
    const url = record && !isReserved(record) ? expected.get(record.metadata.name) : undefined;
    if (!record || url === undefined) return;
    expected.delete(record.metadata.name);
    void tell(record.metadata.name, url);
  }

  issued.onChange((record, type) => {
    if (expected.size > 0 && type !== 'DELETED') look(record);
  });

  return {
    expect: ({ id, url }) => {
      const name = recordName('ACME', id);
      expected.delete(name);
      expected.set(name, url);
      const [oldest] = expected.keys();
      if (expected.size > MAX_EXPECTED && oldest !== undefined) expected.delete(oldest);
      // It may have been finished since.
      look(issued.get({ namespace, name }));
    },
  };
}
