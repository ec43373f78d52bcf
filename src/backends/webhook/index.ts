// The `webhook` backend: has requests signed by an HTTPS service of somebody's own. Protocol: docs/write-your-own-backend.md.
import type { WebhookBackendSpec } from '../../api/webhook-backend.ts';
import { parseCertificate } from '../../domain/certificate.ts';
import { isRoot, linkChain, linkFault, parsePemCertificates } from '../../domain/chain.ts';
import type { Backend, BackendDeps, BackendFactory, BackendHealth } from '../../ports.ts';
import type { Answer } from '../https/exchange.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { createWebhookCall } from './call.ts';
import { readHealth, readSigned, readSigning, refusal, renderRevocation, renderSigning, urlsOf } from './protocol.ts';

const DEFAULT_CONCURRENCY = 4;

export const webhookBackend: BackendFactory = {
  create(deps, issuer, { webhook }) {
    if (!webhook) throw new Error('the issuer has no webhook');
    return createWebhookBackend(deps, issuer.metadata.name, webhook);
  },
};

function createWebhookBackend(deps: BackendDeps, issuer: string, spec: WebhookBackendSpec): Backend {
  const concurrency = spec.concurrency ?? DEFAULT_CONCURRENCY;
  const call = createWebhookCall(deps, spec, concurrency);
  const urls = urlsOf(spec);
  const anchors = parsePemCertificates(spec.trustAnchors);

  return {
    // The CSR travels, and a signer may well copy it; validity is told apart from it.
    controls: { subject: false, validity: true, extensions: false },
    local: false,
    concurrency,
    trustAnchors: () => Promise.resolve(anchors),
    async sign(request, signal) {
      const polled =
        request.handle === undefined
          ? undefined
          : await call.send({ method: 'GET', url: urls.poll(request.handle) }, signal);
      // A signer that has forgotten is asked anew.
      const isKnown = polled && polled.status !== 404 && polled.status !== 410;
      const post = { method: 'POST', url: urls.base, body: renderSigning(issuer, request) } as const;
      const outcome = readSigning(isKnown ? polled : await call.send(post, signal), urls);
      return outcome.kind === 'issued' ? { ...outcome, chain: withAnchor(outcome.chain, anchors) } : outcome;
    },
    async search({ id }, _since, signal) {
      const answer = await call.send({ method: 'GET', url: urls.request(id) }, signal);
      if (answer.status === 200) return readSigned(answer);
      if (answer.status === 202 || isAbsent(answer)) return [];
      throw new RemoteFault('BadAnswer', `the webhook answered with HTTP status ${answer.status}`);
    },
    async revoke(id, certificate, entry, signal) {
      const body = renderRevocation(id, certificate, entry);
      const answer = await call.send({ method: 'POST', url: urls.revocation(id), body }, signal);
      if (answer.status >= 200 && answer.status < 300) return { kind: 'revoked' };
      return isAbsent(answer) ? { kind: 'unsupported' } : { kind: 'refused', problem: refusal(answer) };
    },
    limits: () => Promise.resolve(undefined),
    notAfterLimit: () => Promise.resolve(undefined),
    async check(signal) {
      signal.throwIfAborted();
      call.refresh();
      try {
        return health(await call.send({ method: 'GET', url: urls.base }, signal), anchors);
      } catch (error) {
        if (signal.aborted || !(error instanceof RemoteFault)) throw error;
        return { ready: false, reason: error.reason, message: error.message };
      }
    },
  };
}

/** The chain up to the root, where that is an anchor that the signer left out. */
function withAnchor(chain: readonly Buffer[], anchors: readonly Buffer[]): readonly Buffer[] {
  try {
    const last = chain.map(parseCertificate).at(-1);
    const anchor = last && anchors.find((der) => !der.equals(last.der) && !linkFault(last, parseCertificate(der)));
    return anchor && !isRoot(last) ? [...chain, anchor] : chain;
  } catch {
    // Whoever verifies the chain says what is wrong with it.
    return chain;
  }
}

/** A signer without this part of the protocol, or without this request. */
function isAbsent({ status }: Answer): boolean {
  return status === 404 || status === 405 || status === 501;
}

function health(answer: Answer, anchors: readonly Buffer[]): BackendHealth {
  if (answer.status !== 200 && answer.status !== 204)
    throw new RemoteFault(
      answer.status === 401 || answer.status === 403 ? 'Unauthorized' : 'BadAnswer',
      `the webhook answered with HTTP status ${answer.status}`,
    );
  const ready = { ready: true, reason: 'Ready', message: 'the webhook answers' };
  const [first, ...others] = (readHealth(answer) ?? []).map(parseCertificate);
  if (!first) return ready;
  const chain = linkChain(first, [...others, ...anchors.map(parseCertificate)]);
  const isAnchored = chain.some(({ der }) => anchors.some((anchor) => anchor.equals(der)));
  if (!isAnchored)
    throw new RemoteFault('BadAnswer', 'the webhook shows a chain that leads to none of the trust anchors');
  return { ...ready, ca: { certificate: first.der, chains: [chain.map(({ der }) => der)] } };
}
