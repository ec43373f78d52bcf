// Hosts that Ingresses and HTTPRoutes have: which namespace has one, and whether any other has it too.
import type { HTTPRoute, Ingress, ParentRef } from '../api/foreign.ts';
import type { KubeObject } from '../api/kind.ts';

/** Index by host, `*.x` for a wildcard; and by what its first label stands under. */
export const HOST_INDEX = 'host';
export const PARENT_INDEX = 'parent';

const parentOf = (host: string): string => host.slice(host.indexOf('.') + 1);
const folded = (hosts: readonly (string | undefined)[]): string[] => [
  ...new Set(hosts.flatMap((host) => (host ? [host.toLowerCase()] : []))),
];

const ruleHosts = ({ spec }: Ingress): string[] => folded((spec?.rules ?? []).map(({ host }) => host));
export const ingressHosts = (ingress: Ingress): string[] =>
  folded([...ruleHosts(ingress), ...(ingress.spec?.tls ?? []).flatMap(({ hosts }) => hosts ?? [])]);
export const routeHosts = ({ spec }: HTTPRoute): string[] => folded([...(spec?.hostnames ?? [])]);
export const parents =
  <T>(hosts: (object: T) => string[]) =>
  (object: T): string[] => [...new Set(hosts(object).map(parentOf))];

/** What is kept of an Ingress. */
export function ingressEssence({ apiVersion, kind, metadata, spec }: Ingress): Ingress {
  const { ingressClassName, rules, tls } = spec ?? {};
  return {
    apiVersion,
    kind,
    metadata: bare(metadata),
    spec: {
      ...(ingressClassName === undefined ? {} : { ingressClassName }),
      rules: (rules ?? []).map(({ host }) => (host === undefined ? {} : { host })),
      tls: (tls ?? []).map(({ hosts }) => ({ hosts: [...(hosts ?? [])] })),
    },
  };
}

/** What is kept of an HTTPRoute. */
export function routeEssence({ apiVersion, kind, metadata, spec, status }: HTTPRoute): HTTPRoute {
  return {
    apiVersion,
    kind,
    metadata: bare(metadata),
    spec: { hostnames: [...(spec?.hostnames ?? [])] },
    status: {
      parents: (status?.parents ?? []).map(({ parentRef, conditions }) => ({
        parentRef,
        conditions: (conditions ?? []).filter(({ type }) => type === 'Accepted'),
      })),
    },
  };
}

function bare({ labels: _labels, annotations: _annotations, ...metadata }: KubeObject['metadata']) {
  return metadata;
}

export function ingressGives(ingress: Ingress, classes: readonly string[], host: string): boolean {
  return classes.includes(ingress.spec?.ingressClassName ?? '') && ruleHosts(ingress).includes(host);
}

/** Only what the controller of the Gateway has accepted as the route is now. */
export function routeGives(route: HTTPRoute, gateways: readonly string[], host: string): boolean {
  const { namespace = '', generation } = route.metadata;
  if (!routeHosts(route).includes(host)) return false;
  return (route.status?.parents ?? []).some(
    ({ parentRef, conditions }) =>
      isGateway(parentRef) &&
      gateways.includes(`${parentRef.namespace ?? namespace}/${parentRef.name}`) &&
      (conditions ?? []).some(
        ({ type, status, observedGeneration = generation }) =>
          type === 'Accepted' && status === 'True' && observedGeneration >= generation,
      ),
  );
}

function isGateway({ group = 'gateway.networking.k8s.io', kind = 'Gateway' }: ParentRef): boolean {
  return group === 'gateway.networking.k8s.io' && kind === 'Gateway';
}

interface ByIndex {
  byIndex(index: string, value: string): readonly KubeObject[];
}

/** Whether an object outside the namespace has the host, or one that meets it: a wildcard above it, or any host below a wildcard. */
export function isHeldElsewhere(caches: readonly ByIndex[], namespace: string, host: string): boolean {
  const isWildcard = host.startsWith('*.');
  const parent = parentOf(host);
  const found = caches.flatMap((cache) => [
    ...cache.byIndex(HOST_INDEX, host),
    ...(isWildcard ? cache.byIndex(PARENT_INDEX, parent) : cache.byIndex(HOST_INDEX, `*.${parent}`)),
  ]);
  return found.some(({ metadata }) => metadata.namespace !== namespace);
}
