// What a CA's own certificates forbid it to sign (RFC 5280 section 6), asked before a signature is made that no client would accept.
import type { CertificateFacts } from '../../domain/certificate.ts';
import type { CertificateModel } from '../../domain/certificate-model.ts';
import { nameProblem, renderName } from '../../domain/distinguished-name.ts';
import { isEmpty, USAGE_OID } from '../../domain/extensions.ts';
import type { Identifier } from '../../domain/identifier.ts';
import { type NameViolation, nameViolations } from '../../domain/name-constraints.ts';
import { OID } from '../../domain/oid.ts';
import { Problem, type Subproblem } from '../../domain/problem.ts';
import type { Authority } from './authority.ts';
import { CaFault } from './ca-fault.ts';

/** Why the CA cannot sign at this moment, if it cannot. */
export function validityFault({ certificate }: Authority, now: Date): CaFault | undefined {
  const subject = renderName(certificate.subject);
  if (now > certificate.notAfter)
    return new CaFault('CAExpired', `the CA certificate ${subject} expired at ${certificate.notAfter.toISOString()}`);
  if (now < certificate.notBefore)
    return new CaFault(
      'CANotYetValid',
      `the CA certificate ${subject} is not valid before ${certificate.notBefore.toISOString()}`,
    );
  return undefined;
}

/** Why this CA can never sign the model, if so. */
export function modelProblem(authority: Authority, model: CertificateModel): Problem | undefined {
  const [chain] = authority.chains;
  return (
    shapeProblem(model) ??
    keyProblem(chain, model) ??
    endProblem(chain, model) ??
    usageProblem(chain, model) ??
    constraintProblem(chain, model)
  );
}

function shapeProblem(model: CertificateModel): Problem | undefined {
  if (isEmpty(model.names)) return new Problem('badCSR', 'a certificate has at least one alternative name');
  const problem = nameProblem(model.subject);
  return problem === undefined ? undefined : new Problem('badCSR', `subject: ${problem}`);
}

function keyProblem(chain: readonly CertificateFacts[], model: CertificateModel): Problem | undefined {
  return chain.some(({ spki }) => spki.equals(model.publicKey.spki))
    ? new Problem('badCSR', 'the key is that of a CA')
    : undefined;
}

function endProblem([issuing]: readonly CertificateFacts[], model: CertificateModel): Problem | undefined {
  if (!(model.notAfter > model.notBefore))
    return new Problem('malformed', 'the certificate would end before it begins');
  return issuing && model.notAfter > issuing.notAfter
    ? new Problem('malformed', `notAfter is past the end of the CA: at most ${issuing.notAfter.toISOString()}`)
    : undefined;
}

/** Extended usages on a CA certificate bind all below it, by the custom of every major verifier. */
function usageProblem(chain: readonly CertificateFacts[], model: CertificateModel): Problem | undefined {
  for (const { usages, subject } of chain) {
    if (!usages || usages.includes(OID.anyExtendedKeyUsage)) continue;
    const missing = model.usages.find((usage) => !usages.includes(USAGE_OID[usage]));
    if (missing) return new Problem('badCSR', `the CA ${renderName(subject)} may not sign for the usage "${missing}"`);
  }
  return undefined;
}

function constraintProblem(chain: readonly CertificateFacts[], model: CertificateModel): Problem | undefined {
  const violations = chain.flatMap(({ nameConstraints }) =>
    nameConstraints ? nameViolations(nameConstraints, model.names, model.subject) : [],
  );
  const [first] = violations;
  if (!first) return undefined;
  const more = violations.length > 1 ? `; ${violations.length - 1} more` : '';
  return new Problem('rejectedIdentifier', first.reason + more, { subproblems: violations.flatMap(subproblem) });
}

function subproblem({ form, name, reason }: NameViolation): Subproblem[] {
  const type: Identifier['type'] | undefined = form === 'DNS' ? 'dns' : form === 'IP' ? 'ip' : undefined;
  return type ? [{ type: 'rejectedIdentifier', detail: reason, identifier: { type, value: name } }] : [];
}
