import { createLog, type Log, silentLog } from '../../src/log.ts';
import { clearPassingLine } from './passing-line.ts';

/** The laptop's log: plain text on stderr with --debug, else nothing (what users need is an event or an error). */
export function laptopLog(debug: boolean): Log {
  if (!debug) return silentLog;
  return createLog('debug', (level, message, fields) => {
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ` ${name}=${String(value)}`)
      .join('');
    clearPassingLine();
    process.stderr.write(`${level}: ${message}${rest}\n`);
  });
}
