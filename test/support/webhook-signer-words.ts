// What is said to the signer of webhook-signer.ts, and what it says.

/** What the signer does with the requests that follow. */
export type Behaviour =
  | { kind: 'sign' }
  /** Signs, then waits before it answers. */
  | { kind: 'slow'; ms: number }
  /** Never answers; nothing is signed. */
  | { kind: 'mute' }
  /** Signs, and the connection, or the process, ends before the answer. */
  | { kind: 'lose' }
  | { kind: 'die' }
  /** Signs two certificates, answers the second. */
  | { kind: 'twice' }
  /** Does not know a request again: each one is signed anew. */
  | { kind: 'forget' }
  /** 202 for so many polls, then signs. */
  | { kind: 'pend'; polls: number; poll?: string }
  | { kind: 'status'; status: number; retryAfter?: number; problem?: object }
  | { kind: 'wrong'; what: Wrong }
  | { kind: 'raw'; what: Raw };

/** Certificates other than approved. */
export const WRONG = ['key', 'name', 'missing name', 'validity', 'past', 'issuer', 'chain', 'ca', 'usages'] as const;
export type Wrong = (typeof WRONG)[number];

/** Answers that are none. */
export const RAW = [
  'html',
  'huge',
  'endless',
  'gzip',
  'redirect',
  'not json',
  'no certificate',
  'broken pem',
  'cut',
] as const;
export type Raw = (typeof RAW)[number];

/** First argument, as JSON. */
export interface SignerSettings {
  port: number;
  /** Where it keeps what it signed. */
  file: string;
  certificate: string;
  key: string;
  /** PEM of the CA of client certificates; asked for where given. */
  clientCA?: string;
  /** Shared key. */
  hmac?: string;
  /** PEM and PKCS#8 of the issuing CA, and the root above it. */
  authority: { certificate: string; key: string; root: string };
}

export interface Signed {
  /** How often it was asked to sign. */
  posts: number;
  /** PEM chains signed for the request, oldest first. */
  chains: string[];
  /** Serials revoked. */
  revoked: string[];
  /** Polls answered 202. */
  polls: number;
  /** The last request, as it came. */
  request?: SigningBody;
  /** Countersign-Key-ID of that request. */
  keyID?: string;
}

export interface SigningBody {
  version: string;
  id: string;
  issuer: string;
  csr: string;
  names: { dnsNames: string[]; ipAddresses: string[]; uris: string[]; emailAddresses: string[] };
  subject: string;
  profile?: string;
  usages: string[];
  notBefore: string;
  notAfter: string;
  durationSeconds: number;
  requester: Record<string, string>;
}

export type SignerOrder = { say: 'behave'; behaviour: Behaviour } | { say: 'report' };
export type SignerAnswer =
  | { say: 'ready' }
  | { say: 'behaves' }
  | { say: 'report'; signed: Record<string, Signed>; calls: number };
