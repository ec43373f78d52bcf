// What a backend throws when its CA cannot answer now. Its message is for the log alone.

export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  /** Not to be asked again before, where the CA said so. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
  }
}
