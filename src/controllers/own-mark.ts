// Objects that the operator keeps in namespaces of others for an issuer: ours only by a MAC over what it is for, its place and the issuer.
import type { KubeObject } from '../api/kind.ts';
import type { Marks } from './claim-secret.ts';
import { SecretAnnotation } from './claim-secret.ts';

/** uid of the issuer for which the object is kept. */
export const KEPT_FOR = 'countersign.dev/kept-for';

type Place = Pick<KubeObject['metadata'], 'name'> & { namespace?: string };

const partsOf = ({ namespace = '', name }: Place, issuerUID: string): readonly string[] => [namespace, name, issuerUID];

/** Annotations that say so. */
export function ownMark(
  marks: Pick<Marks, 'mac'>,
  purpose: string,
  place: Place,
  issuerUID: string,
): Record<string, string> {
  return {
    [SecretAnnotation.marker]: marks.mac(purpose, partsOf(place, issuerUID)),
    [KEPT_FOR]: issuerUID,
  };
}

/** uid of the issuer for which the operator keeps the object; undefined where it does not. */
export function keptFor(
  marks: Pick<Marks, 'verifyMac'>,
  purpose: string,
  { metadata }: { metadata: KubeObject['metadata'] },
): string | undefined {
  const { [SecretAnnotation.marker]: marker, [KEPT_FOR]: issuerUID } = metadata.annotations ?? {};
  if (marker === undefined || issuerUID === undefined) return undefined;
  return marks.verifyMac(purpose, partsOf(metadata, issuerUID), marker) ? issuerUID : undefined;
}
