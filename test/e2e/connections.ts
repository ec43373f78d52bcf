// Connections of Pods as they were, held to the NetworkPolicies that the cluster has for them: what a network that heeds them would drop.
import { BlockList, isIPv4 } from 'node:net';
import type { Cluster } from './cluster.ts';

/** One of a Pod. Where it was seen in the Pod, address and port are a Service's if it dialled one; on the node those behind it. */
export interface Connection {
  protocol: 'TCP' | 'UDP';
  /** `in`: the Pod listens at the port. `out`: the port is that of `peer`. */
  direction: 'in' | 'out';
  peer: string;
  port: number;
}

type Labels = Readonly<Record<string, string>>;

interface Selector {
  matchLabels?: Labels;
  matchExpressions?: unknown;
}

interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
}

interface Rule {
  from?: Peer[];
  to?: Peer[];
  ports?: { protocol?: string; port?: number | string; endPort?: number }[];
}

export interface NetworkPolicy {
  metadata: { name: string };
  spec: { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] };
}

export interface Pod {
  metadata: { name: string; namespace: string; labels?: Labels };
  spec: { hostNetwork?: boolean; containers: { ports?: { name?: string; containerPort: number }[] }[] };
  status: { podIP?: string };
}

export interface Surroundings {
  policies: readonly NetworkPolicy[];
  pods: readonly Pod[];
  /** Labels of namespaces, by name. */
  namespaces: ReadonlyMap<string, Labels>;
  /** Where a Service's address and port lead, both as `address:port`. */
  services: ReadonlyMap<string, readonly string[]>;
}

/** In a shell of the Pod: a line for each connection or listener that was not there before. Ends with the Pod. */
export const WATCH = `while :; do
  for p in tcp tcp6 udp udp6; do sed "s/^/$p /" /proc/net/$p; done
  sleep 0.1
done | mawk -W interactive '$2 ~ /:$/ && !seen[$1 $3 $4 $5]++ { print $1, $3, $4, $5 }'`;

const LISTENS = '0A';

/** What WATCH printed. */
export function connectionsOf(log: string): Connection[] {
  const sockets = log
    .split('\n')
    .map((line) => /^(tcp|udp)6? ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) (\w\w)/.exec(line))
    .filter((match) => match !== null)
    .map(([, protocol = '', , local = '', address = '', remote = '', state = '']) => ({
      protocol: protocol === 'tcp' ? ('TCP' as const) : ('UDP' as const),
      local: Number.parseInt(local, 16),
      peer: addressOf(address),
      remote: Number.parseInt(remote, 16),
      state,
    }));
  const listened = new Set(
    sockets.flatMap(({ protocol, state, local }) => (protocol === 'TCP' && state === LISTENS ? local : [])),
  );
  const found = sockets
    .filter(({ remote, peer }) => remote !== 0 && !peer.startsWith('127.') && peer !== '::1')
    .map(
      ({ protocol, local, peer, remote }): Connection =>
        protocol === 'TCP' && listened.has(local)
          ? { protocol, direction: 'in', peer, port: local }
          : { protocol, direction: 'out', peer, port: remote },
    );
  return [...new Map(found.map((each) => [JSON.stringify(each), each])).values()];
}

/** A Pod that prints all connections of its node as they begin; those between Pods that one bridge joins it may not see. */
export function nodeWatch(name: string, image: string): object {
  const container = {
    name: 'main',
    image,
    command: ['conntrack', '--event', '--event-mask', 'NEW', '--buffer-size', '8388608'],
    securityContext: { capabilities: { add: ['NET_ADMIN'] } },
  };
  const spec = { hostNetwork: true, terminationGracePeriodSeconds: 1, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec };
}

/** Those of the Pod at this address, of what the Pod of `nodeWatch` printed. */
export function connectionsAt(address: string, log: string): Connection[] {
  const ends = /^\s*\[NEW\] (tcp|udp) .*? src=(\S+) .*? src=(\S+) dst=\S+ sport=(\d+)/;
  const found = log
    .split('\n')
    .map((line) => ends.exec(line))
    .filter((match) => match !== null)
    .flatMap(([, protocol = '', from = '', to = '', port = '']): Connection[] => {
      const facts = { protocol: protocol === 'tcp' ? ('TCP' as const) : ('UDP' as const), port: Number(port) };
      if (from === address) return [{ ...facts, direction: 'out', peer: to }];
      return to === address ? [{ ...facts, direction: 'in', peer: from }] : [];
    });
  return [...new Map(found.map((each) => [JSON.stringify(each), each])).values()];
}

/** As /proc/net writes it: words in the byte order of the machine, which is taken to be little-endian. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let word = 0; word < bytes.length; word += 4) bytes.subarray(word, word + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.subarray(0, 12).equals(Buffer.from('00000000000000000000ffff', 'hex'))) return bytes.subarray(12).join('.');
  return (bytes.toString('hex').match(/..../g) ?? [])
    .join(':')
    .replace(/^(0000:)+/, '::')
    .replaceAll(/:0+(?=[0-9a-f])/g, ':');
}

/** Name of the policy that lets it pass; undefined where none does, `no policy` where none is for this direction. */
export function allowedBy(pod: Pod, connection: Connection, around: Surroundings): string | undefined {
  const type = connection.direction === 'in' ? 'Ingress' : 'Egress';
  const applying = around.policies.filter(
    ({ spec }) => spec.policyTypes.includes(type) && matches(spec.podSelector, pod.metadata.labels),
  );
  if (applying.length === 0) return 'no policy';
  // A policy sees a connection behind a Service as one to the Pod that answers.
  const ends =
    connection.direction === 'in'
      ? [`${connection.peer}:${connection.port}`]
      : (around.services.get(`${connection.peer}:${connection.port}`) ?? [`${connection.peer}:${connection.port}`]);
  const isLetBy = ({ spec }: NetworkPolicy) =>
    ends.every((end) => {
      const [, peer = '', port = ''] = /^(.*):(\d+)$/.exec(end) ?? [];
      const rules = (type === 'Ingress' ? spec.ingress : spec.egress) ?? [];
      return rules.some(
        (rule) =>
          isPort(rule, { ...connection, port: Number(port) }, pod) &&
          isPeer(rule.from ?? rule.to, peer, { pod, around }),
      );
    });
  return applying.find(isLetBy)?.metadata.name;
}

function isPort({ ports }: Rule, { protocol, port }: Connection, pod: Pod): boolean {
  if (ports === undefined) return true;
  const named = new Map(
    pod.spec.containers.flatMap((each) => (each.ports ?? []).map((p) => [p.name ?? '', p.containerPort])),
  );
  return ports.some((each) => {
    if ((each.protocol ?? 'TCP') !== protocol) return false;
    const first = typeof each.port === 'string' ? named.get(each.port) : each.port;
    return each.port === undefined || (first !== undefined && port >= first && port <= (each.endPort ?? first));
  });
}

function isPeer(
  peers: Peer[] | undefined,
  address: string,
  { pod, around }: { pod: Pod; around: Surroundings },
): boolean {
  if (peers === undefined) return true;
  const other = around.pods.find(({ status, spec }) => status.podIP === address && !spec.hostNetwork);
  return peers.some(({ ipBlock, podSelector, namespaceSelector }) => {
    if (ipBlock) return within(address, ipBlock.cidr) && !ipBlock.except?.some((cidr) => within(address, cidr));
    if (!other) return false;
    const { namespace, labels } = other.metadata;
    const isThere = namespaceSelector
      ? matches(namespaceSelector, around.namespaces.get(namespace))
      : namespace === pod.metadata.namespace;
    return isThere && matches(podSelector ?? {}, labels);
  });
}

function within(address: string, cidr: string): boolean {
  const [network = '', bits] = cidr.split('/');
  const list = new BlockList();
  list.addSubnet(network, Number(bits), isIPv4(network) ? 'ipv4' : 'ipv6');
  return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

function matches(selector: Selector, labels: Labels = {}): boolean {
  if (selector.matchExpressions !== undefined) throw new Error('matchExpressions are not known here');
  return Object.entries(selector.matchLabels ?? {}).every(([name, value]) => labels[name] === value);
}

interface ServiceObject {
  metadata: { name: string; namespace: string };
  spec: { clusterIPs?: string[]; ports?: { name?: string; port: number }[] };
}

interface EndpointSlice {
  metadata: { namespace: string; labels: Labels };
  endpoints: { addresses: string[] }[] | null;
  ports: { name?: string; port: number }[] | null;
}

/** The cluster as it is; policies are those of one namespace. */
export async function surroundings(cluster: Cluster, namespace: string): Promise<Surroundings> {
  const list = async <T>(...args: string[]) =>
    (JSON.parse(await cluster.kubectl('get', ...args, '--output', 'json')) as { items: T[] }).items;
  const slices = await list<EndpointSlice>('endpointslices', '--all-namespaces');
  const services = new Map<string, string[]>();
  for (const { metadata, spec } of await list<ServiceObject>('services', '--all-namespaces')) {
    const own = slices.filter(
      (slice) =>
        slice.metadata.namespace === metadata.namespace &&
        slice.metadata.labels['kubernetes.io/service-name'] === metadata.name,
    );
    for (const { name = '', port } of spec.ports ?? []) {
      const ends = own.flatMap(({ endpoints, ports }) =>
        (endpoints ?? []).flatMap(({ addresses }) =>
          (ports ?? []).filter((each) => (each.name ?? '') === name).map((each) => `${addresses[0]}:${each.port}`),
        ),
      );
      for (const address of spec.clusterIPs ?? []) services.set(`${address}:${port}`, ends);
    }
  }
  const namespaces = await list<{ metadata: { name: string; labels: Labels } }>('namespaces');
  return {
    policies: await list<NetworkPolicy>('networkpolicies', '--namespace', namespace),
    pods: await list<Pod>('pods', '--all-namespaces'),
    namespaces: new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.labels])),
    services,
  };
}
