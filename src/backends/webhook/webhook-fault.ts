// Why a webhook cannot be asked, or its answer cannot be used. Transient for callers: whoever runs it can mend it.
import { Unavailable } from '../../domain/unavailable.ts';

export class WebhookFault extends Unavailable {
  /** CamelCase, for the Ready condition. */
  readonly reason: string;

  /** `message` is for the owner of the issuer: it holds nothing of what the webhook said, and nothing of the Secrets' values. */
  constructor(reason: string, message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}
