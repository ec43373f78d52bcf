import { expect, test } from 'vitest';
import type { Issuer } from '../api/issuer.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { issuerConditions } from './issuer-conditions.ts';

const condition = (type: string, status: 'True' | 'False' | 'Unknown') => ({ type, status, reason: 'x', message: '' });
const issuer = (name: string, backend: object, conditions: object[], namespace?: string): Issuer =>
  ({
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: { backend },
    status: { conditions },
  }) as unknown as Issuer;

const shown = async (metrics: ReturnType<typeof createMetrics>) =>
  (await metrics.render()).body.split('\n').filter((line) => line.startsWith('countersign_issuer_condition{'));

test('conditions of issuers are told with the backend, and no longer once an issuer is gone', async () => {
  let issuers = [
    issuer('corporate', { ejbca: {} }, [condition('Ready', 'True'), condition('BackendReachable', 'False')]),
    issuer('own', { ca: {} }, [condition('Ready', 'Unknown')], 'team'),
    issuer('fresh', { acme: {} }, []),
  ];
  const metrics = createMetrics();
  metrics.issuerConditions(() => issuerConditions(issuers));
  const line = (labels: string, value: number) => `countersign_issuer_condition{${labels}} ${value}`;
  expect(await shown(metrics)).toEqual([
    line('issuer="corporate",issuer_namespace="",backend="ejbca",type="Ready"', 1),
    line('issuer="corporate",issuer_namespace="",backend="ejbca",type="BackendReachable"', 0),
    line('issuer="own",issuer_namespace="team",backend="ca",type="Ready"', 0),
  ]);
  issuers = issuers.slice(1);
  expect(await shown(metrics)).toHaveLength(1);
  metrics.close();
});
