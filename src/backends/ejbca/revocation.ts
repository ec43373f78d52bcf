// Revocation at EJBCA, which knows certificates by issuer and serial number.
import { parseCertificate } from '../../domain/certificate.ts';
import { Problem } from '../../domain/problem.ts';
import type { Backend } from '../../ports.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { renderDN } from './end-entity.ts';
import { asRemoteFault, meaningOf } from './fault-meaning.ts';
import { ServiceFault } from './fault.ts';
import type { EjbcaProtocol } from './protocol.ts';

/** People decide over approvals. */
const APPROVAL_MS = 600_000;

export function createRevoke(protocol: Pick<EjbcaProtocol, 'revokeCert'>): NonNullable<Backend['revoke']> {
  return async (_id, certificate, { reason }, signal) => {
    const { issuer, serial } = parseCertificate(certificate);
    try {
      await protocol.revokeCert({ issuerDN: renderDN(issuer), serial, reason }, signal);
      return { kind: 'revoked' };
    } catch (error) {
      if (!(error instanceof ServiceFault)) throw error;
      const meaning = meaningOf(error.fault);
      if (meaning.kind === 'already revoked') return { kind: 'revoked' };
      if (meaning.kind === 'not found')
        return { kind: 'refused', problem: new Problem('malformed', 'the CA does not know the certificate') };
      if ('reason' in meaning && meaning.reason === 'ApprovalRequired')
        throw new RemoteFault(meaning.reason, 'somebody must approve of the revocation in EJBCA', {
          retryAfterMs: APPROVAL_MS,
        });
      throw asRemoteFault(error) ?? error;
    }
  };
}
