/** Connections to the proxy port at once; one more is closed. */
export const MAX_CONNECTIONS = 2048;
/** A client says what it wants within this time. */
export const HANDSHAKE_DEADLINE_MS = 10_000;
/** An HTTP client between two requests. */
export const KEEP_ALIVE_MS = 60_000;
export const MAX_HTTP_HEADER_BYTES = 64 * 1024;
/** Connections that the preload announced and has not made yet. */
export const MAX_TICKETS = 1024;
export const TICKET_MS = 5_000;
/** One request of the preload. */
export const MAX_CONTROL_LINE_BYTES = 4096;
/** Requests of one preload that wait for an answer; it is not read meanwhile. */
export const MAX_CONTROL_PENDING = 512;
export const MAX_UDP_RELAYS = 256;
/** Destinations of one relay; the one that was quiet for longest makes room. */
export const MAX_FLOWS_PER_RELAY = 128;
