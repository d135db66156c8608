/**
 * A message-oriented carrier below the mux: whole messages, in order, both ways. A message that arrives while no
 * `onMessage` is set, or while paused, is kept and delivered later; likewise the close. Handlers never run inside a call
 * of the one who sets them.
 */
export interface Transport {
  /**
   * Takes ownership of `message`; never blocks, never throws; dropped once the carrier is closed.
   * @param onSent called when nobody reads the message's memory any more; never where the receiver gets that memory
   */
  send(message: Uint8Array, onSent?: () => void): void;
  /** Bytes handed to send() and not yet taken by the operating system. */
  readonly bufferedBytes: number;
  /** Called when bufferedBytes fell below TRANSPORT_HIGH_WATER_BYTES after having been at or above it. */
  onDrain: (() => void) | undefined;
  onMessage: ((message: Uint8Array) => void) | undefined;
  /** Called once; undefined after an orderly close by either side. */
  onClose: ((error: Error | undefined) => void) | undefined;
  /** Stops reading from the carrier. */
  pause(): void;
  resume(): void;
  /** Sends what is buffered, then closes; the carrier is cut when that takes more than a moment. */
  close(): void;
  /** Cuts the carrier at once; onClose follows. */
  terminate(): void;
}
