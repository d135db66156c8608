import { addAbortListener } from 'node:events';
import { connect } from 'node:net';
import { systemErrorCode } from '../../../src/errors.ts';
import { closeAfterFailedReset } from '../../../src/net/failed-reset.ts';
import type { DialCode, Outgoing } from '../types.ts';
import { checkDestination, dialError } from './agent-dial.ts';

/** As long as Linux tries with its default of six SYNs would be two minutes; nobody waits for that. */
const CONNECT_DEADLINE_MS = 30_000;

/**
 * Connects from the laptop, by its own names and routes; addresses of both families race (RFC 8305).
 * @throws DialError; the signal's reason
 */
export async function dialFromLaptop(host: string, port: number, signal: AbortSignal): Promise<Outgoing> {
  checkDestination(host, port);
  signal.throwIfAborted();
  const deadline = AbortSignal.timeout(CONNECT_DEADLINE_MS);
  const socket = connect({ host, port, autoSelectFamily: true, noDelay: true, allowHalfOpen: true });
  closeAfterFailedReset(socket); // once connected, 'close' tells of errors; before, the promise does
  const either = AbortSignal.any([signal, deadline]);
  using _ = addAbortListener(either, () => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('given up')));
    });
  } catch (error) {
    signal.throwIfAborted();
    throw dialError(deadline.aborted ? 'ETIMEDOUT' : laptopDialCode(error), host, port, error);
  }
  return socket;
}

const CODES: Readonly<Record<string, DialCode>> = {
  ECONNREFUSED: 'ECONNREFUSED',
  ETIMEDOUT: 'ETIMEDOUT',
  ENOTFOUND: 'ENOTFOUND',
  ENODATA: 'ENOTFOUND',
  EAI_AGAIN: 'ENOTFOUND',
  EMFILE: 'EMFILE',
  ENFILE: 'EMFILE',
  ECONNRESET: 'ECONNRESET',
};

/** The word for a system's error; a refusal by one of several addresses counts more than their silence. */
export function laptopDialCode(error: unknown): DialCode {
  if (error instanceof AggregateError) {
    const codes = error.errors.map(laptopDialCode);
    return codes.find((code) => code === 'ECONNREFUSED') ?? codes.at(-1) ?? 'EHOSTUNREACH';
  }
  // ENETUNREACH, EADDRNOTAVAIL, EACCES, EPERM (a firewall): there is no way there.
  return CODES[systemErrorCode(error) ?? ''] ?? 'EHOSTUNREACH';
}
