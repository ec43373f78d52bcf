// What this process has just delivered needs no second look when its own writes come back as changes, of the Secret and of the status.
// Whatever else happens to the claim ends its rest, and so does a little time.
import type { CertificateClaim } from '../api/certificate-claim.ts';
import type { KubeObject } from '../api/kind.ts';
import type { Cache, Clock } from '../ports.ts';
import type { Requeue } from '../runtime/controller.ts';

export interface ClaimRest {
  /** A certificate stands in the Secret, which had the version `before`, if it was there, and now has `after`. */
  delivered(uid: string, delivery: Delivery): void;
  /** The status went onto this version of the claim and made the next. */
  reported(claim: CertificateClaim, next: string): void;
  /** Whether there is a next version of the claim, which makes it due when it is seen. */
  isSuperseded(claim: CertificateClaim): boolean;
  /** When the claim is to be renewed, where it is as it was left; undefined where it must be looked at. */
  left(claim: CertificateClaim): Requeue | undefined;
  /** Something else changed. */
  end(uid: string): void;
  /** The claim is gone. */
  forget(uid: string): void;
}

export interface Delivery {
  before: string | undefined;
  after: string;
  renewal: Date;
}

/** The watch takes moments; a resync comes hours later. */
const REST_MS = 30_000;

interface Resting extends Delivery {
  /** As Clock.monotonic. */
  until: number;
  /** Version of the claim. */
  version: string | undefined;
}

/** `secrets`: metadata is enough. */
export function createClaimRest({ clock, secrets }: { clock: Clock; secrets: Cache<KubeObject> }): ClaimRest {
  const all = new Map<string, Resting>();
  /** By uid: the version that the last status went onto. */
  const superseded = new Map<string, string>();
  return {
    delivered: (uid, delivery) =>
      void all.set(uid, { ...delivery, until: clock.monotonic() + REST_MS, version: undefined }),
    reported({ metadata: { uid, resourceVersion } }, next) {
      superseded.set(uid, resourceVersion);
      const resting = all.get(uid);
      if (resting) all.set(uid, { ...resting, version: next });
    },
    isSuperseded: ({ metadata: { uid, resourceVersion } }) => superseded.get(uid) === resourceVersion,
    left({ metadata: { uid, resourceVersion, namespace = '' }, spec }) {
      const resting = all.get(uid);
      if (resting?.version !== resourceVersion) return undefined;
      const ms = resting.renewal.getTime() - clock.now().getTime();
      const seen = secrets.get({ namespace, name: spec.secretName })?.metadata.resourceVersion;
      // As it was before is as good: the change is on its way, and makes the claim due.
      const isSecretOurs = seen !== undefined && (seen === resting.after || seen === resting.before);
      if (isSecretOurs && ms > 0 && clock.monotonic() < resting.until) return { requeueAfterMs: ms };
      all.delete(uid);
      return undefined;
    },
    end: (uid) => void all.delete(uid),
    forget(uid) {
      all.delete(uid);
      superseded.delete(uid);
    },
  };
}
