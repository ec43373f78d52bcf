// Why a CA kept in a Secret cannot sign. Transient for callers: whoever owns the Secret can mend it.

export class CaFault extends Error {
  /** CamelCase, for the Ready condition. */
  readonly reason: string;

  /** `message` is for the owner of the issuer and must hold nothing of the Secret's values. */
  constructor(reason: string, message: string) {
    super(message);
    this.name = 'CaFault';
    this.reason = reason;
  }
}
