// The kinds of Kubernetes itself that this program touches, reduced to the fields it uses.
import type { Kind, KubeObject } from './kind.ts';

export interface Secret extends KubeObject {
  type?: string;
  /** Base64 values by key. */
  data?: Record<string, string>;
  /** Write-only convenience: the store turns it into `data`. */
  stringData?: Record<string, string>;
  immutable?: boolean;
}

export interface ConfigMap extends KubeObject {
  /** Text by key. */
  data?: Record<string, string>;
}

export type Namespace = KubeObject;

export interface Event extends KubeObject {
  type: 'Normal' | 'Warning';
  reason: string;
  /** One sentence for people. */
  note: string;
  regarding: { apiVersion: string; kind: string; name: string; namespace?: string; uid: string };
  /** MicroTime, as `renderMicroTime` gives it. */
  eventTime: string;
  reportingController: string;
  reportingInstance: string;
  action: string;
  /** Where it happened more than once: how often so far, at least twice. */
  series?: { count: number; lastObservedTime: string };
}

/** Who does the work that only one may do (coordination.k8s.io). */
export interface Lease extends KubeObject {
  spec?: {
    /** Absent or empty: free for all. */
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    /** MicroTime, as are all times here. */
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** An instant as the API server wants it in Events and Leases: with exactly six digits after the second. */
export function renderMicroTime(instant: Date): string {
  return `${instant.toISOString().slice(0, -1)}000Z`;
}

const core = { group: '', version: 'v1', shortNames: [], statusSubresource: false, schema: undefined, rules: () => [] };

export const SecretKind: Kind<Secret> = {
  ...core,
  kind: 'Secret',
  plural: 'secrets',
  singular: 'secret',
  namespaced: true,
  columns: [
    { name: 'Type', jsonPath: '.type', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description: 'A Kubernetes Secret.',
};

export const ConfigMapKind: Kind<ConfigMap> = {
  ...core,
  kind: 'ConfigMap',
  plural: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  namespaced: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  description: 'A Kubernetes ConfigMap.',
};

export const NamespaceKind: Kind = {
  ...core,
  kind: 'Namespace',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  namespaced: false,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  description: 'A Kubernetes Namespace.',
};

export const EventKind: Kind<Event> = {
  ...core,
  group: 'events.k8s.io',
  kind: 'Event',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  namespaced: true,
  columns: [
    { name: 'Type', jsonPath: '.type', type: 'string' },
    { name: 'Reason', jsonPath: '.reason', type: 'string' },
    { name: 'Object', jsonPath: '.regarding.name', type: 'string' },
    { name: 'Message', jsonPath: '.note', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description: 'A Kubernetes Event.',
};

export const LeaseKind: Kind<Lease> = {
  ...core,
  group: 'coordination.k8s.io',
  kind: 'Lease',
  plural: 'leases',
  singular: 'lease',
  namespaced: true,
  columns: [
    { name: 'Holder', jsonPath: '.spec.holderIdentity', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  description: 'A Kubernetes Lease.',
};

export interface EndpointSlice extends KubeObject {
  addressType: 'IPv4' | 'IPv6' | 'FQDN';
  /** Ready or not. */
  endpoints?: { addresses: string[] }[] | null;
}

export const EndpointSliceKind: Kind<EndpointSlice> = {
  ...core,
  group: 'discovery.k8s.io',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  singular: 'endpointslice',
  namespaced: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  description: 'Addresses of the endpoints of a Service.',
};
