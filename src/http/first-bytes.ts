/** What a connection speaks, by its first bytes; `wait`: more are needed. */
export type FirstBytes = 'http1' | 'h2' | 'tls' | 'other' | 'wait';

/** The first line of HTTP/2's preface (RFC 9113 §3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n');
const HTTP = Buffer.from('HTTP/');
/** Nothing that is read as HTTP/1.1 has a longer method; more is not waited for. */
const MAX_METHOD_BYTES = 64;
/** Of empty lines in front; a caller that sends more must not be read again from the beginning with each piece. */
const MAX_EMPTY_BYTES = 64;
const [CR, LF, SPACE, TAB] = [0x0d, 0x0a, 0x20, 0x09];
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;

const TOKEN = new Set(Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"));

/**
 * Tells what a caller speaks. HTTP/1.1 is all that begins with a method and a space, and all that names HTTP in its first line:
 * what is wrong with it is for the HTTP/1.1 reader to refuse, never for the app to guess at.
 * @param isLast no more bytes are coming soon: never `wait` then
 */
export function judgeFirstBytes(bytes: Buffer, isLast = false): FirstBytes {
  const waitOr = (verdict: FirstBytes): FirstBytes => (isLast ? verdict : 'wait');
  const [first, second] = bytes;
  if (first === undefined) return waitOr('other');
  if (first === TLS_HANDSHAKE) {
    if (second === undefined) return waitOr('other');
    return second === TLS_MAJOR ? 'tls' : 'other';
  }
  if (bytes.byteLength >= PREFACE.byteLength) {
    if (bytes.subarray(0, PREFACE.byteLength).equals(PREFACE)) return 'h2';
  } else if (PREFACE.subarray(0, bytes.byteLength).equals(bytes)) return waitOr('http1');
  return judgeLine(bytes, waitOr);
}

function judgeLine(bytes: Buffer, waitOr: (verdict: FirstBytes) => FirstBytes): FirstBytes {
  let at = 0;
  while (bytes[at] === CR || bytes[at] === LF) at += 1; // empty lines before a request are allowed (RFC 9112 §2.2)
  if (at > MAX_EMPTY_BYTES) return 'http1';
  const from = at;
  while (TOKEN.has(bytes[at] ?? 0)) at += 1;
  const wrong = bytes[at];
  if (wrong === undefined) return at - from > MAX_METHOD_BYTES ? 'other' : waitOr('http1');
  if (wrong === SPACE && at > from) return 'http1';
  const end = bytes.indexOf(LF, from);
  const line = end < 0 ? bytes.subarray(from) : bytes.subarray(from, end);
  if (line.includes(HTTP)) return 'http1';
  const isText = wrong === CR || wrong === TAB || (wrong >= SPACE && wrong < 0x7f);
  return end < 0 && isText && line.byteLength <= MAX_METHOD_BYTES ? waitOr('other') : 'other';
}
