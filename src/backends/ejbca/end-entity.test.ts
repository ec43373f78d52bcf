import { describe, expect, test } from 'vitest';
import { aSigningRequest, sharedKey } from '../../../test/contract/models.ts';
import { createFakeRandom } from '../../../test/fakes/random.ts';
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import type { DistinguishedName } from '../../domain/certificate-model.ts';
import { attributeOid } from '../../domain/distinguished-name.ts';
import { caNames, endEntityOf, renderAlternativeNames, renderDN, usernameOf } from './end-entity.ts';

const SPEC: EjbcaBackendSpec = {
  url: 'https://ejbca.test/',
  clientCertificateRef: { name: 'client' },
  trustAnchors: '',
  endEntityProfile: 'EE',
  certificateProfile: 'CP',
  caName: 'CA',
};

/** Attributes as `CN=a`, in encoding order. */
const name = (...attributes: string[]): DistinguishedName =>
  attributes.map((text) => {
    const [type = '', value = ''] = text.split('=');
    return [{ oid: attributeOid(type) ?? type, value }];
  });

const entity = (spec: Partial<EjbcaBackendSpec>, options: Parameters<typeof aSigningRequest>[0] = {}) =>
  endEntityOf({ ...SPEC, ...spec }, aSigningRequest({ keys: sharedKey('P-256'), ...options }), createFakeRandom());

test.each<[string[], string]>([
  [['O=Ex', 'CN=a'], 'CN=a,O=Ex'],
  [['CN=a, b+c"d\\e;f<g>h'], 'CN=a\\, b\\+c\\"d\\\\e\\;f\\<g\\>h'],
  [['CN= a '], 'CN=\\ a\\ '],
  [['CN=#a'], 'CN=\\#a'],
  // EJBCA's SN is the serial number.
  [['SERIALNUMBER=7', 'SN=Doe', 'GN=Jo', 'TITLE=Dr', 'EMAILADDRESS=a'], 'E=a,T=Dr,GIVENNAME=Jo,SURNAME=Doe,SN=7'],
  [[], ''],
])('the subject %s is %s', (attributes, text) => {
  expect(renderDN(name(...attributes))).toBe(text);
});

test('alternative names, whose commas begin no other name', () => {
  expect(
    renderAlternativeNames({
      dnsNames: ['*.a.test', 'b.test'],
      ipAddresses: ['192.0.2.1', '2001:db8::1'],
      uris: ['spiffe://a/b,dNSName=evil.test'],
      emailAddresses: ['a@b.test'],
    }),
  ).toBe(
    'dNSName=*.a.test,dNSName=b.test,iPAddress=192.0.2.1,iPAddress=2001:db8::1,uniformResourceId=spiffe://a/b\\,dNSName=evil.test,rfc822Name=a@b.test',
  );
});

describe('the user name', () => {
  const of = (spec: Partial<EjbcaBackendSpec>, options: Parameters<typeof aSigningRequest>[0] = {}) =>
    usernameOf({ ...SPEC, ...spec }, aSigningRequest({ keys: sharedKey('P-256'), ...options }));

  test('is that of the subject, whatever key, names and order', () => {
    const first = of({}, { subject: name('CN=a.test'), names: { dnsNames: ['a.test'] } });
    expect(first).toMatch(/^countersign-[a-z2-7]{52}$/);
    expect(of({}, { subject: name('CN=a.test'), names: { dnsNames: ['a.test', 'b.test'] } })).toBe(first);
    // As EJBCA compares subjects.
    expect(of({}, { subject: name('CN=A.TEST') })).toBe(first);
    expect(of({}, { subject: name('CN=b.test') })).not.toBe(first);
    expect(of({ caName: 'Other' }, { subject: name('CN=a.test') })).not.toBe(first);
  });

  test('is that of the names where there is no subject', () => {
    const of2 = (...dnsNames: string[]) => of({}, { subject: [], names: { dnsNames } });
    expect(of2('a.test', 'b.test')).toBe(of2('b.test', 'a.test'));
    expect(of2('a.test')).not.toBe(of2('b.test'));
  });

  test('is cut to what EJBCA holds', () => {
    const subject = name(`O=${'o'.repeat(64)}`, `CN=${'c'.repeat(64)}`);
    expect(of({ username: '{CN}{O}{CN}{O}' }, { subject })).toHaveLength(250);
  });

  test('may be new for each order, and is the same for each attempt at it', () => {
    const id = 'ic-1';
    expect(of({ username: 'x-{random}' }, { id })).toBe(of({ username: 'x-{random}' }, { id }));
    expect(of({ username: 'x-{random}' }, { id })).not.toBe(of({ username: 'x-{random}' }, { id: 'ic-2' }));
  });

  test('holds nothing of a value that looks like a template', () => {
    expect(of({ username: '{CN}' }, { subject: name('CN={random}') })).toBe('{random}');
    expect(of({ username: 'a{CN}' }, { subject: name('CN=$&$1') })).toBe('a$&$1');
  });
});

test('the password has 128 bits, new each time', () => {
  const random = createFakeRandom();
  const request = aSigningRequest({ keys: sharedKey('P-256') });
  const passwords = [1, 2, 3].map(() => endEntityOf(SPEC, request, random).password);
  expect(new Set(passwords).size).toBe(3);
  for (const password of passwords) expect(password).toMatch(/^[0-9a-f]{32}$/);
});

test('times are told where that is switched on, in the form of EJBCA', () => {
  const [from, notAfter] = [new Date('2030-01-02T03:04:05.678Z'), new Date('2030-04-02T03:04:05Z')];
  expect(entity({}, { from, notAfter })).toMatchObject({ startTime: undefined, endTime: undefined });
  expect(entity({ overrideValidity: true }, { from, notAfter })).toMatchObject({
    startTime: '2030-01-02 03:04:05+00:00',
    endTime: '2030-04-02 03:04:05+00:00',
  });
});

test('an attribute that EJBCA has no word for is refused', () => {
  expect(() => entity({}, { subject: name('1.2.3.4=x') })).toThrow('takes no subject attribute 1.2.3.4');
});

test('all CAs of an issuer, once each, that of most keys first', () => {
  expect(caNames({ ...SPEC, caNameByKey: { RSA: 'R', ECDSA: 'CA' } })).toEqual(['CA', 'R']);
});
