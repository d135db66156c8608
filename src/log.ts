import { redact } from './redact.ts';

/** Levels, least to most severe. The level is a promise to a reader: see STYLE "Logging" in README. */
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LEVELS)[number];
export type LogFields = Readonly<Record<string, string | number | boolean | undefined | readonly string[]>>;

/** A fixed message with fields beside it. Never payloads, header values or tokens. */
export interface Log {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export function isLogLevel(text: string): text is LogLevel {
  return (LEVELS as readonly string[]).includes(text);
}

/**
 * A log that hands each record at or above `level` to `write`.
 * @param write receives the record; it adds the time and chooses the form (JSON lines in the sidecar, text on the laptop)
 */
export function createLog(level: LogLevel, write: (level: LogLevel, message: string, fields: LogFields) => void): Log {
  const from = LEVELS.indexOf(level);
  const at =
    (recordLevel: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (LEVELS.indexOf(recordLevel) >= from) write(recordLevel, redact(message), redactFields(fields));
    };
  return { trace: at('trace'), debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Reasons are often in the words of others: a library, an answer, a plugin. */
function redactFields(fields: LogFields): LogFields {
  const redacted = Object.entries(fields).map(([name, value]): [string, LogFields[string]] => {
    if (typeof value === 'string') return [name, redact(value)];
    return [name, typeof value === 'object' ? value.map(redact) : value];
  });
  return Object.fromEntries(redacted);
}

/** One JSON object a line: `{"time":…,"level":…,"message":…,…fields}`. */
export function jsonLines(out: { write(line: string): unknown }): Parameters<typeof createLog>[1] {
  return (level, message, fields) => {
    out.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
  };
}

export const silentLog: Log = createLog('error', () => {});
