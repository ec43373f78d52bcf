// The audit log of a kube-apiserver: who asked what, and what was answered.
import { readFile } from 'node:fs/promises';

/** The parts of an audit.k8s.io/v1 Event, level Metadata, that tests ask for; there is more in the log. */
export interface AuditEntry {
  auditID: string;
  stage: 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  requestURI: string;
  /** get, list, watch, create, update, patch, delete, deletecollection; of other paths the HTTP method in lower case. */
  verb: string;
  user: { username: string; groups?: string[]; extra?: Record<string, string[]> };
  userAgent?: string;
  sourceIPs?: string[];
  /** Absent for paths that are no resource. */
  objectRef?: {
    resource: string;
    namespace?: string;
    name?: string;
    apiGroup?: string;
    apiVersion?: string;
    subresource?: string;
    resourceVersion?: string;
  };
  responseStatus?: { code: number; reason?: string; message?: string };
  requestReceivedTimestamp: string;
  stageTimestamp: string;
  annotations?: Record<string, string>;
}

export const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`;

/** All whole entries of the file; a last line that is still being written is left out. */
export async function readAudit(file: string): Promise<AuditEntry[]> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEntry);
}
