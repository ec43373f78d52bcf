// A request to EJBCA that is right, written by hand, and requests that differ from it in one thing each and that EJBCA, on WildFly and CXF,
// does not serve. A double that serves one of them would not notice the mistake in a client.

export interface RawRequest {
  body: string;
  headers: Record<string, string>;
}

export interface RequestFacts {
  username: string;
  subjectDN: string;
  names: string;
  /** Base64 of the DER. */
  csr: string;
  /** Settings of the user data in place of the usual ones. */
  user?: Readonly<Record<string, string>>;
  responseType?: string;
  requestType?: string;
}

const HEADERS = { 'Content-Type': 'text/xml; charset=utf-8', SOAPAction: '""' };

export function rightRequest(facts: RequestFacts): RawRequest {
  const user: Record<string, string> = {
    username: facts.username,
    password: 's3cret',
    clearPwd: 'false',
    subjectDN: facts.subjectDN,
    caName: 'CorpEC',
    subjectAltName: facts.names,
    status: '10',
    tokenType: 'USERGENERATED',
    sendNotification: 'false',
    keyRecoverable: 'false',
    endEntityProfileName: 'ACME',
    certificateProfileName: 'SERVER',
    ...facts.user,
  };
  const fields = Object.entries(user).map(([name, value]) => `<${name}>${value}</${name}>`);
  const body = `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ws="http://ws.protocol.core.ejbca.org/">
 <soapenv:Body><ws:certificateRequest>
  <arg0>${fields.join('')}</arg0>
  <arg1>${facts.csr}</arg1><arg2>${facts.requestType ?? '0'}</arg2><arg4>${facts.responseType ?? 'PKCS7WITHCHAIN'}</arg4>
 </ws:certificateRequest></soapenv:Body>
</soapenv:Envelope>`;
  return { body, headers: HEADERS };
}

export interface WrongRequest {
  title: string;
  change: (facts: RequestFacts) => RawRequest;
  /** What the answer must hold, beside not being 200. */
  answer: RegExp;
}

const edited =
  (edit: (body: string) => string) =>
  (facts: RequestFacts): RawRequest => {
    const right = rightRequest(facts);
    const body = edit(right.body);
    if (body === right.body) throw new Error('nothing was changed');
    return { ...right, body };
  };
const told =
  (more: Partial<RequestFacts>) =>
  (facts: RequestFacts): RawRequest =>
    rightRequest({ ...facts, ...more });
const headed =
  (headers: Record<string, string>) =>
  (facts: RequestFacts): RawRequest => ({
    ...rightRequest(facts),
    headers: { ...HEADERS, ...headers },
  });

/** Each is made of a request that would be served: another subject, key and user name a time. */
export const WRONG_REQUESTS: readonly WrongRequest[] = [
  {
    title: 'a child of the wrapper in its namespace',
    change: edited((body) => body.replaceAll(/(<\/?)arg1>/g, '$1ws:arg1>')),
    answer: /Fault/,
  },
  {
    title: 'a default namespace that children inherit',
    change: edited((body) =>
      body
        .replaceAll('ws:certificateRequest', 'certificateRequest')
        .replace('<certificateRequest>', '<certificateRequest xmlns="http://ws.protocol.core.ejbca.org/">'),
    ),
    answer: /Fault/,
  },
  {
    title: 'a field that the type does not have',
    change: edited((body) => body.replace('<status>', '<colour>red</colour><status>')),
    answer: /Fault/,
  },
  {
    title: 'a wrapper without namespace',
    change: edited((body) => body.replaceAll('ws:certificateRequest', 'certificateRequest')),
    answer: /Fault/,
  },
  {
    title: 'the SOAPAction of another operation',
    change: headed({ SOAPAction: '"http://ws.protocol.core.ejbca.org/findUser"' }),
    answer: /SOAPAction|Fault/i,
  },
  {
    title: 'the media type of SOAP 1.2',
    change: headed({ 'Content-Type': 'application/soap+xml; charset=utf-8' }),
    answer: /^/,
  },
  {
    title: 'a document type',
    change: edited((body) => body.replace('?>', '?><!DOCTYPE x [<!ENTITY a "b">]>')),
    answer: /^/,
  },
  {
    title: 'more names than the profile takes',
    change: ({ user, ...facts }) =>
      rightRequest({
        ...facts,
        names: 'dNSName=a.test,dNSName=b.test,dNSName=c.test',
        user: { ...user, endEntityProfileName: 'NARROW' },
      }),
    answer: /UserDoesntFullfillEndEntityProfile.*Wrong number of DNSNAME fields/s,
  },
  {
    title: 'names that are parted by semicolons',
    change: told({ names: 'dns:a.test;dns:b.test' }),
    answer: /Fault/,
  },
  { title: 'a CA that is not there', change: told({ user: { caName: 'Nowhere' } }), answer: /CA_NOT_EXISTS/ },
  {
    title: 'a type of request that is none',
    change: told({ requestType: '9' }),
    answer: /BAD_REQUEST/,
  },
  { title: 'a type of answer that is none', change: told({ responseType: 'PEM' }), answer: /INTERNAL_ERROR/ },
  {
    title: 'a CSR in base64 twice',
    change: (facts) => rightRequest({ ...facts, csr: Buffer.from(facts.csr).toString('base64') }),
    answer: /BAD_REQUEST/,
  },
  { title: 'the status GENERATED', change: told({ user: { status: '40' } }), answer: /USER_WRONG_STATUS/ },
  {
    title: 'a time where the profile takes none',
    change: told({ user: { endTime: '2030-01-01 00:00:00+00:00' } }),
    answer: /_FIELD_VALUE_NOT_VALID/,
  },
];
