// All that the operator may do at the Kubernetes API, by feature: one ClusterRole or Role each is generated from it.
import { ACME_RIGHTS } from '../acme-server/objects.ts';
import { REPLICA_RIGHTS } from '../acme-server/replicas.ts';
import type { Right } from '../api/right.ts';
import { CONFIG_MAP_RIGHTS } from '../cluster/config-map-reader.ts';
import { OPERATOR_SECRET_RIGHTS, TENANT_SECRET_RIGHTS } from '../cluster/secret-reader.ts';
import { CA_ISSUER_RIGHTS, TENANT_ISSUER_RIGHTS } from '../controllers/ca-issuer.ts';
import { POLICY_RIGHTS } from '../controllers/certificate-request-policy.ts';
import { CLAIM_RIGHTS, CLAIM_SECRET_RIGHTS } from '../controllers/claim-rights.ts';
import { GARBAGE_RIGHTS } from '../controllers/garbage.ts';
import { CHAIN_RIGHTS, TENANT_CHAIN_RIGHTS } from '../issuance/chains.ts';
import { RECORD_RIGHTS } from '../issuance/records.ts';
import { EVENT_RIGHTS } from '../runtime/event-recorder.ts';
import { leaseRights } from '../runtime/lease-lock.ts';
import { API_SERVER_RIGHTS } from './api-server-addresses.ts';
import { SEALING_KEY_RIGHTS } from './sealing-keys.ts';
import { SERVING_TLS_RIGHTS } from './serving-tls.ts';

export interface Feature {
  /** Last part of the names of its roles. */
  name: string;
  /** What it does, for the people who grant its rights. */
  does: string;
  rights: readonly Right[];
}

/** Name of the Lease of the replica that leads, in the operator's namespace. */
export const LEADER_LEASE = 'countersign-leader';

export const FEATURES: readonly Feature[] = [
  {
    name: 'issuers',
    does: 'Judges issuers and publishes their chains.',
    rights: [...CA_ISSUER_RIGHTS, ...CHAIN_RIGHTS, ...CONFIG_MAP_RIGHTS],
  },
  {
    name: 'tenant-issuers',
    does: 'The same for CAIssuers.',
    rights: [...TENANT_ISSUER_RIGHTS, ...TENANT_CHAIN_RIGHTS, ...TENANT_SECRET_RIGHTS],
  },
  {
    name: 'own-secrets',
    does: 'Keeps its own keys, and reads those of CAs.',
    rights: [...OPERATOR_SECRET_RIGHTS, ...SEALING_KEY_RIGHTS, ...SERVING_TLS_RIGHTS],
  },
  { name: 'policies', does: 'Decides who may have which names.', rights: POLICY_RIGHTS },
  { name: 'records', does: 'Keeps the inventory of what was issued.', rights: RECORD_RIGHTS },
  { name: 'acme', does: 'Serves ACME.', rights: ACME_RIGHTS },
  { name: 'claims', does: 'Has certificates issued for CertificateClaims.', rights: CLAIM_RIGHTS },
  { name: 'claim-secrets', does: 'Keeps those certificates in Secrets.', rights: CLAIM_SECRET_RIGHTS },
  { name: 'garbage', does: 'Deletes what has served its time.', rights: GARBAGE_RIGHTS },
  { name: 'replicas', does: 'Has replicas ask each other.', rights: REPLICA_RIGHTS },
  { name: 'api-server', does: 'Keeps validation from dialling the API server.', rights: API_SERVER_RIGHTS },
  { name: 'leader-election', does: 'Has one replica lead.', rights: leaseRights(LEADER_LEASE) },
  { name: 'events', does: 'Tells people what happened to their objects.', rights: EVENT_RIGHTS },
];
