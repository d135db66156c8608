import { addAbortListener } from 'node:events';
import { connect, type Socket } from 'node:net';
import { closeAfterFailedReset } from '../../src/net/failed-reset.ts';

export interface DialOptions {
  /** The connection may be closed in one direction only. */
  readonly halfOpen: boolean;
  /** Of this connection alone: ends the attempt. */
  readonly signal: AbortSignal;
}

/** One attempt to reach the process. @throws Error with the code of connect(2); the signal's reason */
export type Dial = (options: DialOptions) => Promise<Socket>;

/** Dials an address of the laptop, or one that the laptop reaches. */
export function dialAddress({ host, port }: { readonly host: string; readonly port: number }): Dial {
  return async ({ halfOpen, signal }) => {
    signal.throwIfAborted();
    const socket = connect({ host, port, noDelay: true, keepAlive: true, allowHalfOpen: halfOpen });
    closeAfterFailedReset(socket); // other errors: the promise tells, and whoever uses it
    using _ = addAbortListener(signal, () => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(signal.reason));
    });
    return socket;
  };
}
