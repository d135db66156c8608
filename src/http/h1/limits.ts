// Every limit of the HTTP/1.1 router. Each is a name, so that a refusal or a test can say which was met.

/** Request line or status line with all fields. Heads above Node's 16 KiB reach many servers directly, so they must here. */
export const MAX_HEAD_BYTES = 256 * 1024;
/** A head beyond this is a large one while it is not complete. */
export const LARGE_HEAD_BYTES = 16 * 1024;
/** Large heads on their way at the same time, of all callers of this process; one more is refused with 431. */
export const MAX_LARGE_HEADS = 64;
/** Field lines of a head, and of trailers. */
export const MAX_FIELDS = 2_000;
/** A chunk's size line with its extensions. */
export const MAX_CHUNK_LINE_BYTES = 4 * 1024;
export const MAX_TRAILER_BYTES = 64 * 1024;
/** Digits of a chunk size, zeros in front included: what a parser that counts into 64 bits can hold. */
export const MAX_CHUNK_SIZE_DIGITS = 16;
/** Digits of a Content-Length: below 2^53 whatever they are. */
export const MAX_LENGTH_DIGITS = 15;
/** What is kept of a request until it is certain who gets it; a caller that sent more waits. */
export const MAX_REPLAY_BYTES = 256 * 1024;
/** Connections to answerers that one caller's connection keeps; of more, the one unused for longest is ended. */
export const MAX_UPSTREAMS = 16;
/** From a head's first byte to its last (node:http: headersTimeout). */
export const HEAD_TIMEOUT_MS = 60_000;
/** How long a peer that we have nothing to say to any more may take to end its side. */
export const LINGER_MS = 5_000;
/** How long a caller may take to read what was said last; a reset would take it away again. */
export const UNREAD_MS = 30_000;
/** A caller that has nothing under way when its connection is to end has this long to send what was on its way already. */
export const DRAIN_IDLE_MS = 1_000;
