import { INITIAL_WINDOW_BYTES, MAX_OPEN_STREAMS, MAX_WINDOW_BYTES } from '../protocol/limits.ts';

/** At or above this many unsent bytes in the carrier the mux keeps data back: what is inside cannot be overtaken. */
export const TRANSPORT_HIGH_WATER_BYTES = 256 * 1024;

/** Sent and not acknowledged, of one tunnel: at or above it data waits. 16 MiB is 160 MiB/s at 100 ms. */
export const MAX_UNACKED_BYTES = 16 * 1024 * 1024;
/** Signals go out above that too; a peer that makes us keep this much without taking it is cut off. */
export const MAX_UNSENT_BYTES = 32 * 1024 * 1024;

/** What a link may be told to do differently from the protocol's usual limits; tests make them small. */
export interface LinkLimits {
  /** A carrier silent for this long is asked. */
  readonly pingIntervalMs: number;
  /** A carrier that stays silent for this long after a ping is lost. */
  readonly pingDeadlineMs: number;
  readonly maxUnackedBytes: number;
  readonly maxUnsentBytes: number;
  /** What was received is acknowledged after so many bytes, or after so long. */
  readonly ackEveryBytes: number;
  readonly ackDelayMs: number;
}

/** The same of a mux. */
export interface MuxLimits extends LinkLimits {
  readonly maxOpenStreams: number;
  /** Must equal the peer's: it is not negotiated. */
  readonly initialWindowBytes: number;
  readonly maxWindowBytes: number;
  /** Received and unread bytes of all streams together; beyond it the stream that holds most is reset. */
  readonly maxQueuedBytes: number;
  /** All windows together grow by at most this. */
  readonly maxGrowthBytes: number;
  /** close() waits this long for pending frames to leave. */
  readonly closeDeadlineMs: number;
}

export const LINK_LIMITS: LinkLimits = {
  pingIntervalMs: 1_000,
  pingDeadlineMs: 2_500,
  maxUnackedBytes: MAX_UNACKED_BYTES,
  maxUnsentBytes: MAX_UNSENT_BYTES,
  ackEveryBytes: 512 * 1024,
  ackDelayMs: 100,
};

export const MUX_LIMITS: MuxLimits = {
  ...LINK_LIMITS,
  maxOpenStreams: MAX_OPEN_STREAMS,
  initialWindowBytes: INITIAL_WINDOW_BYTES,
  maxWindowBytes: MAX_WINDOW_BYTES,
  maxQueuedBytes: 64 * 1024 * 1024,
  maxGrowthBytes: 32 * 1024 * 1024,
  closeDeadlineMs: 2_000,
};
