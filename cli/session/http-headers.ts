/** Header fields as they stood on the wire: name, value, name, value, … with case, order and duplicates (Node's rawHeaders). */
export type RawHeaders = readonly string[];

/**
 * Fields about one connection, not about the message (RFC 9110 §7.6.1). Fields a peer merely nominates in `Connection`
 * stay: a nomination of `Authorization` or `Content-Length` must not take those away.
 */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'upgrade', 'http2-settings']);

/** The fields as [name, value] pairs. */
export function headerPairs(raw: RawHeaders): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return pairs;
}

/** All values of the field `name` (lower case), in order. */
export function headerValues(raw: RawHeaders, name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const field = raw[at] ?? '';
    if (field.length === name.length && field.toLowerCase() === name) values.push(raw[at + 1] ?? '');
  }
  return values;
}

/** True if the field `name` (lower case) has `token` (lower case) in its comma-separated value. */
export function hasToken(raw: RawHeaders, name: string, token: string): boolean {
  return headerValues(raw, name).some((value) => value.split(',').some((part) => part.trim().toLowerCase() === token));
}

/** The fields that belong to the message itself, untouched, in their order. */
export function endToEnd(raw: RawHeaders): string[] {
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, raw[at + 1] ?? '');
  }
  return kept;
}

/** The fields without those named (lower case). */
export function without(raw: RawHeaders, ...names: string[]): string[] {
  return headerPairs(raw)
    .filter(([name]) => !names.includes(name.toLowerCase()))
    .flat();
}

/** True if a body follows this request's head (RFC 9112 §6.3); a request has no close-delimited body. */
export function hasRequestBody(raw: RawHeaders): boolean {
  return (
    headerValues(raw, 'transfer-encoding').length > 0 ||
    headerValues(raw, 'content-length').some((v) => Number(v) !== 0)
  );
}

/**
 * Why a request must be refused although Node's parser (llhttp, strict) let it through, or undefined. The parser refuses
 * Content-Length with Transfer-Encoding, two Content-Lengths, folded lines, bare LF or CR and malformed chunks by itself
 * (Node 20.20, 22.23, 24.21, 26.10); the rest is here, since two servers that frame a request differently can be made to
 * take one request for two.
 * @param version the request's HTTP version, `1.0` or `1.1`
 */
export function requestFault(version: string, raw: RawHeaders): string | undefined {
  if (version !== '1.0' && version !== '1.1') return 'HTTP version not supported';
  if (headerValues(raw, 'host').length > 1) return 'more than one Host field'; // RFC 9112 §3.2
  const encodings = headerValues(raw, 'transfer-encoding');
  if (encodings.length === 0) return undefined;
  if (version === '1.0') return 'Transfer-Encoding in HTTP/1.0'; // RFC 9112 §6.1
  // Node 20.20 lets an empty Transfer-Encoding through beside a Content-Length.
  if (headerValues(raw, 'content-length').length > 0) return 'Transfer-Encoding and Content-Length';
  const codings = encodings
    .join(',')
    .split(',')
    .map((coding) => coding.trim().toLowerCase());
  const chunkedOnce = codings.indexOf('chunked') === codings.length - 1;
  return chunkedOnce ? undefined : 'Transfer-Encoding is not chunked once and last';
}

/** The path of a request target for a log: no query, no fragment, no scheme, no user name, password or host. */
export function pathForRecord(target: string): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  return path === '' ? '/' : path;
}

/** A message head as bytes on the wire; Node reads heads as latin1, so this gives the very bytes back. */
export function encodeHead(startLine: string, raw: RawHeaders): Buffer {
  let text = `${startLine}\r\n`;
  for (const [name, value] of headerPairs(raw)) text += `${name}: ${value}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}
