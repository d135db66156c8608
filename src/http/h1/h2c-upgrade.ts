import type { Resettable } from '../routing.ts';
import { withoutH2c } from './head-edit.ts';
import type { FirstBytes } from './kept-request.ts';
import type { H1RequestHead } from './request-head.ts';

/** A request without a body that wants to go on in HTTP/2 (RFC 7540 §3.2). */
export interface H2cUpgrade {
  /** The request that is stream 1. */
  readonly head: H1RequestHead;
  /** Its bytes as they came. */
  readonly bytes: Buffer;
  /** HTTP2-Settings as sent: base64url. */
  readonly settings: string;
}

/** Takes the caller's connection: it has answered nothing yet, `rest` was read behind the request. Resolves when it is closed. */
export type TakeOver = (caller: Resettable, rest: Buffer) => Promise<void>;

/**
 * The upgrade that a request asks for which names h2c (asksH2c()).
 * @param bytes its head as it came
 * @returns undefined: it has a body, or has not one HTTP2-Settings that Connection names, and stays HTTP/1.1
 */
export function readH2cUpgrade(head: H1RequestHead, bytes: Buffer): H2cUpgrade | undefined {
  const settings = head.header('http2-settings');
  const hasBody = head.length.kind === 'chunked' || (head.length.kind === 'bytes' && head.length.bytes > 0);
  const isWellAsked = head.count('http2-settings') === 1 && head.connection.includes('http2-settings');
  return settings === undefined || !isWellAsked || hasBody ? undefined : { head, bytes, settings };
}

/** The same request without the wish: whoever answers it as HTTP/1.1 does not see it. */
export function declineH2c({ bytes, headBytes, complete }: FirstBytes, head: H1RequestHead): FirstBytes {
  const plain = withoutH2c(bytes.subarray(0, headBytes), head);
  const body = bytes.subarray(headBytes);
  const all = body.byteLength === 0 ? plain : Buffer.concat([plain, body]);
  return { bytes: all, headBytes: plain.byteLength, complete };
}
