// A request to the REST interface of EJBCA that is right, and requests that differ from it in one thing each and are not served.
import type { RequestFacts } from './wrong-requests.ts';

export interface RestRequest {
  method: string;
  /** Below the interface. */
  path: string;
  body: string;
  headers: Record<string, string>;
}

const HEADERS = { 'Content-Type': 'application/json' };

type Body = Readonly<Record<string, unknown>>;

const bodyOf = ({ csr, username }: RequestFacts): Body => ({
  certificate_request: csr,
  certificate_profile_name: 'SERVER',
  end_entity_profile_name: 'ACME',
  certificate_authority_name: 'CorpEC',
  username,
  password: 's3cret',
  include_chain: true,
});

export function rightRestRequest(facts: RequestFacts, more: Body = {}): RestRequest {
  const body = JSON.stringify({ ...bodyOf(facts), ...more });
  return { method: 'POST', path: '/v1/certificate/pkcs10enroll', body, headers: HEADERS };
}

export interface WrongRestRequest {
  title: string;
  change: (facts: RequestFacts) => RestRequest;
  status: number;
  answer: RegExp;
}

const told =
  (more: Body) =>
  (facts: RequestFacts): RestRequest =>
    rightRestRequest(facts, more);
const edited =
  (edit: (request: RestRequest) => Partial<RestRequest>) =>
  (facts: RequestFacts): RestRequest => {
    const right = rightRestRequest(facts);
    return { ...right, ...edit(right) };
  };

export const WRONG_REST_REQUESTS: readonly WrongRestRequest[] = [
  {
    title: 'a form',
    change: edited(() => ({ headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })),
    status: 415,
    answer: /^/,
  },
  { title: 'a member that is not known', change: told({ colour: 'red' }), status: 400, answer: /colour/ },
  {
    title: 'a member in camel case',
    change: told({ certificateRequest: 'AAAA' }),
    status: 400,
    answer: /certificateRequest/,
  },
  { title: 'a member of another type', change: told({ include_chain: 'yes' }), status: 400, answer: /JSON/ },
  {
    title: 'a member that is there twice',
    change: edited(({ body }) => ({ body: body.replace('{', '{"username":"x",') })),
    status: 400,
    answer: /Duplicate/,
  },
  {
    title: 'something after the body',
    change: edited(({ body }) => ({ body: `${body}{}` })),
    status: 400,
    answer: /JSON/,
  },
  { title: 'no user name', change: told({ username: undefined }), status: 400, answer: /Username/ },
  { title: 'no password', change: told({ password: undefined }), status: 400, answer: /password/ },
  { title: 'no CSR', change: told({ certificate_request: undefined }), status: 400, answer: /request/ },
  {
    title: 'a CSR in base64 twice',
    change: (facts) => rightRestRequest({ ...facts, csr: Buffer.from(facts.csr).toString('base64') }),
    status: 400,
    answer: /PKCS#10/,
  },
  {
    title: 'a CA that is not there',
    change: told({ certificate_authority_name: 'Nowhere' }),
    status: 400,
    answer: /CA with name Nowhere does not exist/,
  },
  {
    title: 'an end entity profile that is not there',
    change: told({ end_entity_profile_name: 'NONE' }),
    status: 400,
    answer: /End Entity Profile NONE does not exist/,
  },
  {
    title: 'a certificate profile that is not there',
    change: told({ certificate_profile_name: 'NONE' }),
    status: 400,
    answer: /Certificate profile NONE does not exist/,
  },
  {
    title: 'a certificate profile with approvals',
    change: told({ certificate_profile_name: 'APPROVAL' }),
    status: 400,
    answer: /approval/,
  },
  {
    title: 'a request to another path',
    change: edited(() => ({ path: '/v1/certificate/pkcs10enrol' })),
    status: 404,
    answer: /404/,
  },
  { title: 'another method', change: edited(() => ({ method: 'PUT' })), status: 404, answer: /404/ },
];
