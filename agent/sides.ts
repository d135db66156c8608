// The two sides of what passes through the agent.
import { Socket } from 'node:net';
import type { Resettable } from '../src/http/routing.ts';

/** A stream to the laptop; `opened` settles once the session has connected it to the process, or will not. */
export interface LaptopStream extends Resettable {
  readonly opened: Promise<void>;
}

/** Destroys so that the other end sees a reset, not an end. */
export function reset(side: Resettable): void {
  if (side.destroyed) return;
  // resetAndDestroy() of a socket that still dials waits for the connection.
  if (side instanceof Socket && side.connecting) side.destroy();
  else side.resetAndDestroy();
}

/** The caller's address. */
export function callerHost(caller: Socket): string {
  return plainAddress(caller.remoteAddress ?? '');
}

/** An IPv4 address in its usual form although the listener is dual-stack. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
