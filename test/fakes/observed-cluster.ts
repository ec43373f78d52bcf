// A cluster that notes what is written through it, and that can fail or die at a chosen call.
import type { Kind, KubeObject } from '../../src/api/kind.ts';
import type { Cluster } from '../../src/ports.ts';

export type Phase = 'before' | 'after';

export interface Call {
  verb: 'get' | 'list' | 'create' | 'replace' | 'replaceStatus' | 'delete' | 'apply';
  kind: string;
  name: string;
}

export interface ObservedCluster extends Cluster {
  calls: Call[];
  /** `verb kind` of each write that succeeded, in order. */
  writes: string[];
  /** Called before and after each call; what it throws, the caller gets. */
  intercept: (call: Call, phase: Phase, index: number) => void;
}

const READS = new Set<Call['verb']>(['get', 'list']);

export function observeCluster(cluster: Cluster): ObservedCluster {
  async function observed<T>(call: Call, run: () => Promise<T>): Promise<T> {
    const index = self.calls.push(call) - 1;
    self.intercept(call, 'before', index);
    const result = await run();
    if (!READS.has(call.verb)) self.writes.push(`${call.verb} ${call.kind}`);
    self.intercept(call, 'after', index);
    return result;
  }
  const about = (verb: Call['verb'], { kind }: Kind, { name }: { name: string }): Call => ({ verb, kind, name });
  const of = <T extends KubeObject>(kind: Kind<T>) => kind as unknown as Kind;

  const self: ObservedCluster = {
    calls: [],
    writes: [],
    intercept: () => undefined,
    get: (kind, ref) => observed(about('get', of(kind), ref), () => cluster.get(kind, ref)),
    list: (kind, options) => observed(about('list', of(kind), { name: '' }), () => cluster.list(kind, options)),
    watch: (kind, options) => cluster.watch(kind, options),
    create: (kind, object) => observed(about('create', of(kind), object.metadata), () => cluster.create(kind, object)),
    replace: (kind, object) =>
      observed(about('replace', of(kind), object.metadata), () => cluster.replace(kind, object)),
    replaceStatus: (kind, object) =>
      observed(about('replaceStatus', of(kind), object.metadata), () => cluster.replaceStatus(kind, object)),
    delete: (kind, ref, precondition) =>
      observed(about('delete', kind, ref), () => cluster.delete(kind, ref, precondition)),
    apply: (kind, object, options) =>
      observed(about('apply', of(kind), object.metadata), () => cluster.apply(kind, object, options)),
  };
  return self;
}
