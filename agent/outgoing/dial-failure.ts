import { systemErrorCode } from '../../src/errors.ts';
import type { ResetReason } from '../../src/protocol/frames.ts';

const REASONS: Readonly<Record<string, ResetReason>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'refused',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EAFNOSUPPORT: 'unreachable',
  EINVAL: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  ETIMEDOUT: 'timeout',
  EMFILE: 'limit',
  ENFILE: 'limit',
  ENOBUFS: 'limit',
  ENOMEM: 'limit',
  ENOTFOUND: 'not-found',
};
/** Of several addresses that failed in different ways, the first of these is told: somebody was there. */
const TELLING: readonly ResetReason[] = ['limit', 'refused', 'timeout', 'unreachable', 'not-found'];

/**
 * What a failure of connect(2) or getaddrinfo(3) is on the wire (PROTOCOL.md "Streams").
 * @param failure a system error, or the AggregateError of several addresses
 */
export function dialFailureReason(failure: unknown): ResetReason {
  if (failure instanceof AggregateError && failure.errors.length > 0) {
    const reasons = failure.errors.map(dialFailureReason);
    return TELLING.find((reason) => reasons.includes(reason)) ?? 'unreachable';
  }
  const code = systemErrorCode(failure) ?? '';
  if (code.startsWith('EAI_')) return 'not-found';
  return REASONS[code] ?? 'unreachable';
}
