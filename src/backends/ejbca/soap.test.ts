import { describe, expect, test } from 'vitest';
import type { Answer } from '../https/exchange.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { readEnvelope, renderEnvelope } from './soap.ts';

const answer = (body: string, more: Partial<Answer> = {}): Answer => ({
  status: 200,
  contentType: 'text/xml',
  retryAfterMs: undefined,
  headers: {},
  body: Buffer.from(body),
  ...more,
});
const inEnvelope = (inner: string, prefix = 'S') =>
  `<${prefix}:Envelope xmlns:${prefix}="http://schemas.xmlsoap.org/soap/envelope/"><${prefix}:Body>${inner}</${prefix}:Body></${prefix}:Envelope>`;
const NS = 'xmlns:n="http://ws.protocol.core.ejbca.org/"';

test('children of the wrapper are in no namespace, absent ones are left out, text is escaped', () => {
  const sent = renderEnvelope('op', [
    [
      'arg0',
      {
        fields: [
          ['a', '<&>'],
          ['b', undefined],
        ],
      },
    ],
    ['arg1', 7],
    ['arg2', true],
  ]);
  expect(sent.toString()).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ws="http://ws.protocol.core.ejbca.org/"><soapenv:Body><ws:op><arg0><a>&lt;&amp;&gt;</a></arg0><arg1>7</arg1><arg2>true</arg2></ws:op></soapenv:Body></soapenv:Envelope>',
  );
});

describe('answers', () => {
  test.each<[string, string, number]>([
    ['none', `<n:opResponse ${NS}/>`, 0],
    ['one', `<n:opResponse ${NS}><return>a</return></n:opResponse>`, 1],
    ['many', `<n:opResponse ${NS}><return>a</return><return>b</return></n:opResponse>`, 2],
    [
      'nil',
      `<n:opResponse ${NS}><return xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:nil="true"/></n:opResponse>`,
      0,
    ],
    [
      'a default namespace',
      '<opResponse xmlns="http://ws.protocol.core.ejbca.org/"><return xmlns="">a</return></opResponse>',
      1,
    ],
  ])('%s', (_, inner, count) => {
    const read = readEnvelope('op', answer(inEnvelope(inner, 'soap')));
    expect('returns' in read && read.returns).toHaveLength(count);
  });

  test.each<[string, Answer, string]>([
    ['HTML', answer('<html/>', { contentType: 'text/html' }), 'BadAnswer'],
    ['HTML of a proxy that knows nobody', answer('<html/>', { contentType: 'text/html', status: 403 }), 'Unauthorized'],
    ['no such page', answer('', { contentType: 'text/html', status: 404 }), 'ServiceMissing'],
    [
      'SOAP 1.2',
      answer('<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body/></e:Envelope>'),
      'BadAnswer',
    ],
    ['two bodies', answer(inEnvelope('<a/><b/>')), 'BadAnswer'],
    ['another operation', answer(inEnvelope(`<n:otherResponse ${NS}/>`)), 'BadAnswer'],
    ['another namespace', answer(inEnvelope('<opResponse/>')), 'BadAnswer'],
    ['a result with status 500', answer(inEnvelope(`<n:opResponse ${NS}/>`), { status: 500 }), 'BadAnswer'],
    ['a document type', answer(`<!DOCTYPE x>${inEnvelope('<a/>')}`), 'BadAnswer'],
  ])('%s is none', (_, given, reason) => {
    let thrown: unknown;
    try {
      readEnvelope('op', given);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RemoteFault);
    expect(thrown).toMatchObject({ reason });
  });
});

describe('faults', () => {
  const faultOf = (detail: string, faultstring = 'why') => {
    const inner = `<S:Fault><faultcode>S:Server</faultcode><faultstring>${faultstring}</faultstring>${detail}</S:Fault>`;
    const read = readEnvelope('op', answer(inEnvelope(inner), { status: 500 }));
    if (!('fault' in read)) throw new Error('no fault');
    return read.fault;
  };
  const ejbca = (inner: string) => `<detail><n:EjbcaException ${NS}>${inner}</n:EjbcaException></detail>`;

  test('have a code and a message', () => {
    const inner =
      '<errorCode><internalErrorCode>USER_WRONG_STATUS</internalErrorCode></errorCode><message>wrong status</message>';
    expect(faultOf(ejbca(inner))).toEqual({
      exception: 'EjbcaException',
      code: 'USER_WRONG_STATUS',
      message: 'wrong status',
      className: '',
    });
  });

  test('may have neither', () => {
    expect(faultOf(ejbca(''))).toMatchObject({ exception: 'EjbcaException', code: '', message: 'why' });
    expect(faultOf('')).toMatchObject({ exception: '', code: '', message: 'why' });
  });

  test.each([
    [
      'org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: no',
      'no',
      'EndEntityProfileValidationException',
    ],
    [
      'org.cesecore.CertificateCreateException: java.lang.IllegalKeyException: Illegal key',
      'Illegal key',
      'IllegalKeyException',
    ],
    ['java.lang.NullPointerException', '', 'NullPointerException'],
    ['a.b: no class', 'a.b: no class', ''],
    ['Names: a.b.C is bad', 'Names: a.b.C is bad', ''],
    ['oops\n\tat org.ejbca.Foo.bar(Foo.java:7)\n\tat x', 'oops', ''],
    ['two\r\nlines \u202e', 'two\\u000alines \\u202e', ''],
  ])('%j says %j', (text, message, className) => {
    expect(faultOf(ejbca(`<message>${text}</message>`))).toMatchObject({ message, className });
  });
});
