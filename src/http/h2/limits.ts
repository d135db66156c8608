/** What a peer may have open at once on one connection; more are refused by nghttp2 (REFUSED_STREAM). */
export const MAX_STREAMS = 1000;
/** All fields of one head, as HPACK counts them (RFC 9113 §6.5.2). */
export const MAX_HEAD_BYTES = 64 * 1024;
/** Node's own is 128 fields, less than some clients send. */
export const MAX_FIELDS = 512;
/**
 * What one stream may have on its way to us unread: what a reader that stops can cost us. 16 MiB messages over 20 ms: 64 KiB
 * windows (the protocol's own) give 3 MiB/s, these 50.
 */
export const STREAM_WINDOW_BYTES = 1024 * 1024;
/** The same with more than MANY_STREAMS open, so that one caller holds no more than about 64 MiB here. */
export const SMALL_WINDOW_BYTES = 64 * 1024;
export const MANY_STREAMS = 32;
export const FEW_STREAMS = 8;
/** All streams of a connection; given back on arrival by nghttp2's side of Node, so it bounds nothing but the speed. */
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Node refuses new streams of a session that holds more, in units of 1 MB. */
export const MAX_SESSION_MEMORY_MB = 64;
/** Copies open at once on one mirror connection; more are dropped. */
export const MAX_OPEN_COPIES = 256;
/** How long a connection whose streams are over may take to close. */
export const CLOSE_GRACE_MS = 2_000;
