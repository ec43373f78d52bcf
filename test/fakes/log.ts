// A log and an audit trail that keep what they are given.
import type { Audit, Fields, Log } from '../../src/ports.ts';

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  fields: Fields;
}

export interface CapturingLog extends Log {
  lines: LogLine[];
}

export function createCapturingLog(): CapturingLog {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: Fields, message: string) => {
    lines.push({ level, message, fields });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export interface CapturingAudit extends Audit {
  entries: { event: string; fields: Fields }[];
}

export function createCapturingAudit(): CapturingAudit {
  const entries: { event: string; fields: Fields }[] = [];
  return { entries, record: (event, fields) => void entries.push({ event, fields }) };
}
