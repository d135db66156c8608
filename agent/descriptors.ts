import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { RESERVED_DESCRIPTORS } from './limits.ts';

/** At most this share of the descriptors is reserved where there are few. */
const RESERVED_SHARE = 4;

/**
 * How many file descriptors callers may take of those that the process may open.
 * @param limits text of /proc/self/limits; what is not there is no limit
 */
export function descriptorsForCallers(limits: string): number {
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return soft - Math.min(RESERVED_DESCRIPTORS, Math.floor(soft / RESERVED_SHARE));
}

let forCallers: number | undefined;

/**
 * Whether a caller's descriptor is one of those that sessions need. The kernel gives the lowest that is free, so its number
 * tells how many are taken.
 */
export function isDescriptorReserved(caller: Socket): boolean {
  forCallers ??= descriptorsForCallers(readLimits());
  const handle: unknown = Reflect.get(caller, '_handle'); // not in Node's types
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof descriptor === 'number' && descriptor >= forCallers;
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return ''; // no Linux: a test on a laptop
  }
}
