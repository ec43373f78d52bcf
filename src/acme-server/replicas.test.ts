import { expect, test } from 'vitest';
import type { EndpointSlice } from '../api/core.ts';
import type { Cache } from '../ports.ts';
import { createReplicas, homeOf } from './replicas.ts';

const slice = (namespace: string, service: string, ...addresses: string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: `${service}-${addresses.length}`,
    namespace,
    labels: { 'kubernetes.io/service-name': service },
    uid: 'u',
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '',
  },
  addressType: 'IPv4',
  endpoints: [{ addresses }],
});

test('replicas are what the slices of our Service list, this process apart, and change with them', () => {
  let slices: EndpointSlice[] = [];
  const listeners: (() => void)[] = [];
  const cache = { list: () => slices, onChange: (listener: () => void) => listeners.push(listener) };
  const replicas = createReplicas({
    slices: cache as unknown as Cache<EndpointSlice>,
    namespace: 'pki',
    service: 'countersign',
    own: '10.0.0.1',
  });
  expect(replicas.others()).toEqual([]);
  slices = [
    slice('pki', 'countersign', '10.0.0.1', '10.0.0.2', '::ffff:10.0.0.3'),
    slice('pki', 'countersign', 'FD00::0001', '10.0.0.2', 'not-an-address'),
    slice('pki', 'another', '10.0.0.8'),
    slice('elsewhere', 'countersign', '10.0.0.9'),
    { ...slice('pki', 'countersign'), endpoints: null },
  ];
  for (const listener of listeners) listener();
  expect(replicas.others()).toEqual(['10.0.0.2', '10.0.0.3', 'fd00::1']);
});

test('an address is sixteen bytes and one text, however it is written', () => {
  const mapped = '00000000000000000000ffff0a000001';
  for (const text of ['10.0.0.1', '::ffff:10.0.0.1', '::FFFF:a00:1'])
    expect([homeOf(text).name, homeOf(text).address.toString('hex')]).toEqual(['10.0.0.1', mapped]);
  expect(homeOf('FD00:0::1').name).toBe('fd00::1');
  expect(() => homeOf('countersign')).toThrow('not an address: countersign');
});
