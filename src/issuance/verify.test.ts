import { describe, expect, test } from 'vitest';
import { createAuthority } from '../../test/contract/authorities.ts';
import { aModel, createKey } from '../../test/contract/models.ts';
import {
  buildCaCertificate,
  buildCertificate,
  createKeyPair,
  extendedKeyUsage,
} from '../../test/support/certificate-builder.ts';
import { sanOf } from '../../test/support/csr-builder.ts';
import { subjectAltName } from '../../test/support/der-writer.ts';
import type { Backend } from '../ports.ts';
import { judgeAnswer } from './verify.ts';

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const ca = createAuthority();
const keys = createKey('P-256');
const model = aModel({ keys });

/** What is said of a certificate that begins so long after the start that was approved, and lasts so much longer than approved. */
function said(validity: Backend['controls']['validity'], laterMs: number, longerMs: number): readonly string[] {
  const notBefore = new Date(model.notBefore.getTime() + laterMs);
  const length = model.notAfter.getTime() - model.notBefore.getTime();
  const leaf = buildCertificate({
    subject: 'db.example.test',
    issuer: 'Test CA',
    keys,
    signer: ca.keys,
    notBefore,
    notAfter: new Date(notBefore.getTime() + length + longerMs),
    extensions: [subjectAltName([sanOf('db.example.test')]), extendedKeyUsage('1.3.6.1.5.5.7.3.1')],
  });
  const controls = { subject: true, validity, extensions: true };
  const judged = judgeAnswer([leaf, ca.der], model, { controls, anchors: [ca.der] });
  return 'reasons' in judged ? judged.reasons : [];
}

const LATE = [expect.stringContaining('later than approved')];
const EARLY = [expect.stringContaining('earlier than approved')];

describe('validity', () => {
  test.each<[string, Backend['controls']['validity'], number, number, unknown[]]>([
    ['as told', true, 0, 0, []],
    ['told, and begun a day late with the length approved', true, DAY, 0, LATE],
    ['told, and a minute too long', true, 0, MINUTE, LATE],
    ['of a length, begun a day late', 'length', DAY, 0, []],
    ['of a length, and an hour too long', 'length', 0, 60 * MINUTE, LATE],
    ['of a length, begun late, and an hour too long', 'length', DAY, 60 * MINUTE, LATE],
    ['of a length, begun an hour too early', 'length', -60 * MINUTE, 0, EARLY],
    ['of a length, shorter', 'length', 0, -DAY, []],
    ['up to the CA', false, -DAY, 300 * DAY, []],
  ])('%s', (_, validity, laterMs, longerMs, reasons) => {
    expect(said(validity, laterMs, longerMs)).toEqual(reasons);
  });
});

describe('a chain that is cut (hostile input 61)', () => {
  const [rootKeys, issuingKeys] = [createKeyPair(), createKeyPair()];
  const root = buildCaCertificate('Root CA', rootKeys);
  const issuing = buildCaCertificate('Issuing CA', issuingKeys, { subject: 'Root CA', keys: rootKeys });
  const leaf = buildCertificate({
    subject: 'db.example.test',
    issuer: 'Issuing CA',
    keys,
    signer: issuingKeys,
    notBefore: model.notBefore,
    notAfter: model.notAfter,
    extensions: [subjectAltName([sanOf('db.example.test')]), extendedKeyUsage('1.3.6.1.5.5.7.3.1')],
  });
  const controls = { subject: true, validity: true, extensions: true } as const;

  test.each<[string, Buffer[], Buffer[], string | undefined]>([
    ['the leaf alone, its issuer not known', [leaf], [root], 'there is no chain'],
    ['the leaf and the root, and nothing between', [leaf, root], [root], 'there is no chain'],
    ['up to what an anchor signed', [leaf, issuing], [root], undefined],
    ['the leaf alone, its issuer an anchor', [leaf], [issuing], undefined],
    ['up to a CA that no anchor signed', [leaf, issuing], [ca.der], 'its chain leads to none of the trust anchors'],
  ])('%s', (_, answer, anchors, reason) => {
    const judged = judgeAnswer(answer, model, { controls, anchors });
    expect('reasons' in judged ? judged.reasons.join('; ') : undefined).toEqual(
      reason === undefined ? undefined : expect.stringContaining(reason),
    );
  });
});
