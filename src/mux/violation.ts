import { InterceptorError } from '../errors.ts';

/** What a peer did that ends the tunnel (PROTOCOL.md "Violations"). */
export function violation(what: string): InterceptorError {
  return new InterceptorError('PROTOCOL_BAD_FRAME', `the peer broke the protocol: ${what}`);
}

/** Why a tunnel, or the carrier of one, is no more. */
export function lost(what: string, cause?: Error): InterceptorError {
  return new InterceptorError('TUNNEL_LOST', what, cause === undefined ? {} : { cause });
}
