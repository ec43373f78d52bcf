// The CAs behind an issuer: their certificates with those above, as EJBCA shows them, which must lead to the trust anchors.
import { type CertificateFacts, parseCertificate } from '../../domain/certificate.ts';
import { linkChain } from '../../domain/chain.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import type { EjbcaProtocol } from './protocol.ts';

export interface Authorities {
  /** Asks for all of them; the chain of the first, the CA first, as far up as is known; empty where EJBCA shows none. Throws RemoteFault, and as the service does. */
  load(signal: AbortSignal): Promise<readonly Buffer[]>;
  /** The chain of a leaf through these CAs, leaf first. Asks for those that are not known yet. */
  chainOf(leaf: CertificateFacts, signal: AbortSignal): Promise<readonly Buffer[]>;
  /** When the first of them expires, as far as is known. */
  notAfter(): Date | undefined;
}

export function createAuthorities(
  protocol: Pick<EjbcaProtocol, 'getLastCAChain'>,
  { names, anchors }: { names: readonly string[]; anchors: readonly Buffer[] },
): Authorities {
  const trusted = anchors.map(parseCertificate);
  const known = new Map<string, readonly CertificateFacts[]>();

  async function loadOne(name: string, signal: AbortSignal): Promise<readonly CertificateFacts[]> {
    const shown = await protocol.getLastCAChain(name, signal);
    if (!shown) return [];
    const [first, ...others] = shown.map(readCertificate);
    if (!first) throw new RemoteFault('BadAnswer', `EJBCA shows no certificate of the CA ${name}`);
    const chain = linkChain(first, [...others, ...trusted]);
    if (!chain.some(({ fingerprint }) => trusted.some((anchor) => anchor.fingerprint === fingerprint)))
      throw new RemoteFault('CANotTrusted', `the CA ${name} leads to none of the trust anchors of the issuer`);
    known.set(name, chain);
    return chain;
  }

  async function load(signal: AbortSignal): Promise<readonly Buffer[]> {
    const chains: (readonly CertificateFacts[])[] = [];
    for (const name of names) chains.push(await loadOne(name, signal));
    return (chains[0] ?? []).map(({ der }) => der);
  }

  return {
    load,
    async chainOf(leaf, signal) {
      const linked = () => linkChain(leaf, [...[...known.values()].flat(), ...trusted]);
      // A CA with a new key is one that is not known.
      if (linked().length === 1) await load(signal);
      return linked().map(({ der }) => der);
    },
    notAfter() {
      const ends = [...known.values()].flatMap(([ca]) => (ca ? [ca.notAfter.getTime()] : []));
      return ends.length === 0 ? undefined : new Date(Math.min(...ends));
    },
  };
}

function readCertificate(der: Buffer): CertificateFacts {
  try {
    return parseCertificate(der);
  } catch (error) {
    throw new RemoteFault('BadAnswer', 'EJBCA shows a CA certificate that cannot be read', { cause: error });
  }
}
