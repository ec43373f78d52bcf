// Other orders than the plain one, against our server alone: CPU of each beside that of a plain order of the same run.
import type { Http01Responder } from '../support/http01-responder.ts';
import { createLoad, type LoadOptions } from './load.ts';
import { cpuMs, startCountersign, type Surroundings } from './peers.ts';

export interface VariantCost {
  variant: string;
  /** CPU, milliseconds an order. */
  ms: number;
  /** Over a plain order. */
  ratio: number;
}

const NAMES = 100;

interface Variant {
  variant: string;
  /** One order where this many are made of the plain one. */
  per?: number;
  options: Partial<LoadOptions>;
}

const VARIANTS: readonly Variant[] = [
  { variant: 'plain order', options: {} },
  { variant: 'authorization reused', options: { names: (client) => [`reused-${client}.bench.test`] } },
  { variant: 'RS256 account of 2048 bits', options: { algorithm: 'RS256' } },
  {
    variant: `order of ${NAMES} names`,
    per: 50,
    options: { names: (_client, n) => Array.from({ length: NAMES }, (_, i) => `n${n}-${i}.bench.test`) },
  },
  { variant: 'failing order', options: { failing: true } },
];

/** In a process of its own that is warmed up with plain orders first. */
export async function variantCosts(
  surroundings: Surroundings,
  { http01, certificates, clients }: { http01: Http01Responder; certificates: number; clients: number },
): Promise<VariantCost[]> {
  const peer = await startCountersign(surroundings, 'memory');
  const loadOf = (options: Partial<LoadOptions>) =>
    createLoad({ directory: peer.directory, ca: peer.ca, clients, certificates, http01, ...options });
  try {
    const warmUp = await loadOf({});
    await warmUp.run(certificates);
    warmUp.close();
    const spent: { variant: string; ms: number }[] = [];
    for (const { variant, per = 1, options } of VARIANTS) {
      const load = await loadOf(options);
      const orders = Math.max(clients, Math.ceil(certificates / per));
      await load.run(Math.max(clients, Math.ceil(orders / 4)));
      const before = cpuMs(peer.pid);
      await load.run(orders);
      spent.push({ variant, ms: (cpuMs(peer.pid) - before) / orders });
      load.close();
    }
    const plain = spent[0]?.ms ?? Number.NaN;
    return spent.map(({ variant, ms }) => ({ variant, ms, ratio: ms / plain }));
  } finally {
    await peer.stop();
  }
}
