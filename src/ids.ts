import { InterceptorError } from './errors.ts';

/** Number of a stream within one tunnel: 1 … MAX_STREAM_ID, made only by toStreamId. */
export type StreamId = number & { readonly __brand: 'StreamId' };

export const MAX_STREAM_ID = 2 ** 31 - 1;

/** @throws InterceptorError PROTOCOL_BAD_FRAME when `value` is no stream number */
export function toStreamId(value: number): StreamId {
  if (!isStreamId(value)) throw new InterceptorError('PROTOCOL_BAD_FRAME', `not a stream id: ${value}`);
  return value;
}

function isStreamId(value: number): value is StreamId {
  return Number.isInteger(value) && value >= 1 && value <= MAX_STREAM_ID;
}
