import type { Transport } from './transport.ts';

/** At the end a carrier that holds more than this is cut: its peer does not read. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/** Says `last` and closes the carrier, or cuts it where that would wait for a peer that does not read. */
export function closeWith(carrier: Transport, last: Uint8Array): void {
  if (carrier.bufferedBytes > MAX_UNREAD_BYTES) {
    carrier.terminate();
    return;
  }
  carrier.send(last);
  carrier.close();
}

/** Nothing of the carrier goes anywhere any more; what it still hears is dropped. */
export function disown(carrier: Transport): void {
  carrier.onDrain = undefined;
  carrier.onMessage = () => {};
  carrier.onClose = () => {};
}
