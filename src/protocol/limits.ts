/** Limits of the protocol. Both ends know them; a peer that breaks one is at fault (PROTOCOL.md "Violations"). */

/** Frame header: type u8, stream id u32, body length u32. */
export const HEADER_BYTES = 9;
/** Largest body of any frame but control. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;
/** Largest control frame body: the environment of a pod among thousands of Services is several hundred KiB. */
export const MAX_CONTROL_BYTES = 1024 * 1024;
/** Largest message a peer may send: a full control frame and what was coalesced with it. */
export const MAX_MESSAGE_BYTES = MAX_CONTROL_BYTES + 4 * MAX_PAYLOAD_BYTES;
/** Largest message before both sides have proved who they are. */
export const MAX_HANDSHAKE_BYTES = 4 * 1024;
/** First bytes that may ride in an open frame; they count against the initial window. */
export const MAX_FIRST_BYTES = 16 * 1024;
/** Longest host name in an open frame, in UTF-8 bytes (a DNS name has at most 253). */
export const MAX_HOST_BYTES = 255;

/** What each side of a stream may send before the first credit frame. */
export const INITIAL_WINDOW_BYTES = 256 * 1024;
/** What a window may grow to: 16 MiB is 160 MiB/s at 100 ms. */
export const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** Streams one side may have open at a time. */
export const MAX_OPEN_STREAMS = 4096;

/** Who dials in has this long to prove itself. */
export const HANDSHAKE_DEADLINE_MS = 5_000;

/** How long a tunnel without a carrier is kept where nobody says otherwise, and at most. */
export const RESUME_FOR_MS = 30_000;
export const MAX_RESUME_MS = 300_000;
