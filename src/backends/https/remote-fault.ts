// Why a CA elsewhere cannot be asked, or its answer cannot be used. Transient for callers: whoever runs it can mend it.
import { Unavailable } from '../../domain/unavailable.ts';

export class RemoteFault extends Unavailable {
  /** CamelCase, for the Ready condition. */
  readonly reason: string;

  /** `message` is for the owner of the issuer: it holds nothing of the Secrets' values, and of what the peer said no more than shownText. */
  constructor(reason: string, message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}
