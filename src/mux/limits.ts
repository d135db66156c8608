import { INITIAL_WINDOW_BYTES, MAX_OPEN_STREAMS, MAX_WINDOW_BYTES } from '../protocol/limits.ts';

/** At or above this many unsent bytes in the carrier the mux keeps data back: what is inside cannot be overtaken. */
export const TRANSPORT_HIGH_WATER_BYTES = 256 * 1024;

/** What a mux may be told to do differently from the protocol's usual limits; tests make them small. */
export interface MuxLimits {
  readonly maxOpenStreams: number;
  /** Must equal the peer's: it is not negotiated. */
  readonly initialWindowBytes: number;
  readonly maxWindowBytes: number;
  /** Received and unread bytes of all streams together; beyond it the stream that holds most is reset. */
  readonly maxQueuedBytes: number;
  /** All windows together grow by at most this. */
  readonly maxGrowthBytes: number;
  /** A carrier silent for this long is asked. */
  readonly pingIntervalMs: number;
  /** A carrier that stays silent for this long after a ping is lost. */
  readonly pingDeadlineMs: number;
  /** close() waits this long for pending frames to leave. */
  readonly closeDeadlineMs: number;
}

export const MUX_LIMITS: MuxLimits = {
  maxOpenStreams: MAX_OPEN_STREAMS,
  initialWindowBytes: INITIAL_WINDOW_BYTES,
  maxWindowBytes: MAX_WINDOW_BYTES,
  maxQueuedBytes: 64 * 1024 * 1024,
  maxGrowthBytes: 32 * 1024 * 1024,
  pingIntervalMs: 5_000,
  pingDeadlineMs: 5_000,
  closeDeadlineMs: 2_000,
};
