import { DialError } from '../dial-error.ts';
import type { DialCode } from '../types.ts';

/** Reply codes of SOCKS5 (RFC 1928 §6). */
export const SOCKS5_REPLY = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  hostUnreachable: 4,
  refused: 5,
  timedOut: 6,
  commandUnsupported: 7,
  addressUnsupported: 8,
} as const;

const SOCKS5_BY_CODE: Record<DialCode, number> = {
  ECONNREFUSED: SOCKS5_REPLY.refused,
  EHOSTUNREACH: SOCKS5_REPLY.hostUnreachable,
  ENOTFOUND: SOCKS5_REPLY.hostUnreachable,
  // "TTL expired", what others answer for a silent host (OpenSSH, Tor).
  ETIMEDOUT: SOCKS5_REPLY.timedOut,
  EMFILE: SOCKS5_REPLY.failure,
  ECONNRESET: SOCKS5_REPLY.failure,
};

const HTTP_BY_CODE: Record<DialCode, { readonly status: number; readonly text: string }> = {
  ECONNREFUSED: { status: 502, text: 'connection refused' },
  EHOSTUNREACH: { status: 502, text: 'host unreachable' },
  ENOTFOUND: { status: 502, text: 'no such host' },
  ETIMEDOUT: { status: 504, text: 'connection timed out' },
  EMFILE: { status: 503, text: 'too many connections' },
  ECONNRESET: { status: 502, text: 'connection reset' },
};

/** The DialCode of anything a dial throws. */
export function codeOf(error: unknown): DialCode {
  return error instanceof DialError ? error.code : 'EHOSTUNREACH';
}

export function socks5Reply(error: unknown): number {
  return SOCKS5_BY_CODE[codeOf(error)];
}

/** Status, and a line that says why. @param authority `host:port` */
export function httpAnswer(error: unknown, authority: string): { readonly status: number; readonly text: string } {
  const { status, text } = HTTP_BY_CODE[codeOf(error)];
  return { status, text: `kube-intercept: ${authority}: ${text}` };
}
