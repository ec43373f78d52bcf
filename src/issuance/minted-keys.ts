// MAC keys for the external account bindings of namespaces: derived from the keys that all replicas share, so that any of them verifies
// what one of them wrote into a Secret.
import type { Namespace } from '../api/core.ts';
import type { Issuer } from '../api/issuer.ts';

export interface KeySource {
  /** base64url text of 256 bits; undefined where there is no key of that id. */
  derive(purpose: string, parts: readonly string[], key: number): string | undefined;
  currentKey(): number;
  /** Ids of all keys there are. */
  keys(): readonly number[];
}

export interface MintedKeyOf {
  issuer: Pick<Issuer, 'metadata'>;
  /** Its uid counts: a namespace made anew has other keys. */
  namespace: Pick<Namespace, 'metadata'> | undefined;
  /** As periodsOf has it. */
  period: string;
}

const PURPOSE = 'external-account-key';

const partsOf = ({ issuer, namespace, period }: MintedKeyOf): readonly string[] => [
  issuer.metadata.uid,
  namespace?.metadata.uid ?? '',
  period,
];

/** The key in the encoding that clients take: base64url without padding. */
export function mintKey(source: KeySource, of: MintedKeyOf): string {
  const key = source.derive(PURPOSE, partsOf(of), source.currentKey());
  if (key === undefined) throw new Error('the current key of the keyring is not there');
  return key;
}

/** Every key that may have been minted for this: one for each key that all replicas share. The work does not tell whether there is a namespace. */
export function mintedKeys(source: KeySource, of: MintedKeyOf): Buffer[] {
  const keys = source.keys().flatMap((id) => source.derive(PURPOSE, partsOf(of), id) ?? []);
  return keys.map((text) => Buffer.from(text, 'base64url'));
}
