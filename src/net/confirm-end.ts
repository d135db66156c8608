import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

const NOTHING = Buffer.alloc(0);

/**
 * Tells an end from a reset that looks like one: call it on 'end', pass the end on in `confirmed`. libuv reports EOF when
 * a short read and POLLHUP come together (uv__stream_io, "Short-circuit iff POLLHUP is polled"), so bytes with a reset right
 * behind them end in 'end' and a message that was cut short looks complete. The kernel still has the error: a write of no
 * bytes sends nothing and returns it (tcp_sendmsg checks sk_err first). Then `confirmed` is not called; 'error' and 'close' follow.
 * A socket whose own side has ended cannot be asked and is believed, as is everything that is not a socket.
 */
export function confirmEnd(side: Duplex, confirmed: () => void): void {
  if (!(side instanceof Socket) || !side.writable) {
    confirmed();
  } else if (side.writableLength === 0) {
    side.write(NOTHING, (failure) => {
      if (failure === undefined || failure === null) confirmed();
    });
  } else {
    // A write that waits is woken by the error in this turn of the loop; one behind it would wait for the reader.
    setImmediate(() => {
      if (!side.destroyed) confirmed();
    });
  }
}
