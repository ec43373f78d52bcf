// The audit trail: one JSON line per decision, issuance, revocation and validation, apart from the log.
import type { Audit, Clock } from '../ports.ts';
import type { LineSink } from './log.ts';
import { safeFields, safeText } from './safe-fields.ts';

/** Lines `{"audit": event, "time": RFC 3339, …fields}`. The fields tie lines together: `decisionID`, `record`. */
export function createAudit(deps: { clock: Clock; sink: LineSink }): Audit {
  return {
    record(event, fields) {
      const { audit: _audit, time: _time, ...rest } = safeFields(fields);
      const line = { audit: safeText(event), time: deps.clock.now().toISOString(), ...rest };
      deps.sink.write(`${JSON.stringify(line)}\n`);
    },
  };
}
