// The log: JSON lines of a constant message and safe fields, through pino.
import { pino } from 'pino';
import type { Clock, Fields, Log } from '../ports.ts';
import { safeFields, safeText } from './safe-fields.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where lines go, each with its newline. */
export interface LineSink {
  write(line: string): void;
}

export interface LogDeps {
  clock: Clock;
  level?: LogLevel;
  sink: LineSink;
}

/** Members of the line itself, which a field must not take. */
const OWN_MEMBERS = ['level', 'time', 'msg'];

export function createLog({ clock, level = 'info', sink }: LogDeps): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${clock.now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  const write = (at: LogLevel) => (fields: Fields, message: string) => {
    if (logger.isLevelEnabled(at)) logger[at](lineFields(fields), safeText(message));
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

function lineFields(fields: Fields): Record<string, unknown> {
  const safe = safeFields(fields);
  for (const name of OWN_MEMBERS) {
    if (!(name in safe)) continue;
    safe[`field_${name}`] = safe[name];
    delete safe[name];
  }
  return safe;
}

/** Standard error (file descriptor 2) written at once, so that the last line before a crash is there. A closed pipe is no error of ours. */
export function stderrSink(): LineSink {
  const destination = pino.destination({ dest: 2, sync: true });
  destination.on('error', () => undefined);
  return destination;
}
