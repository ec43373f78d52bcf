import { expect, test } from 'vitest';
import { serviceOfName } from './service-name.ts';

const of = (name: string) => {
  const found = serviceOfName(name, 'cluster.local');
  return found && `${found.namespace}/${found.service}${found.below ? ' below' : ''}`;
};

test('names of Services, with and without the domain of the cluster, and one label below', () => {
  expect(of('web.shop.svc')).toBe('shop/web');
  expect(of('web.shop.svc.cluster.local')).toBe('shop/web');
  expect(of('pod-0.web.shop.svc')).toBe('shop/web below');
  expect(of('pod-0.web.shop.svc.cluster.local')).toBe('shop/web below');
});

test.each([
  'web.shop',
  'shop.svc',
  'svc',
  '.shop.svc',
  'a.b.web.shop.svc',
  'web.shop.svc.other.local',
  'web.shop.svc.cluster.local.evil.example',
  'web.shop.svc.example.com',
  'websvc',
  'web.shop.xsvc',
])('%s is no Service’s', (name) => {
  expect(of(name)).toBeUndefined();
});
