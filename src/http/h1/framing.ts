import { BadMessage } from './bad-message.ts';
import { ChunkedBody } from './chunked.ts';
import { type H1RequestHead, statedLength } from './request-head.ts';
import type { H1ResponseHead } from './response-head.ts';

/** Finds where a body ends. The bytes pass as they are. */
export interface Body {
  readonly complete: boolean;
  /** Whether the connection's end is the body's. */
  readonly untilClose: boolean;
  /**
   * @param chunk bytes of the stream, from `from` on not seen before
   * @returns up to where in `chunk` they belong to this message
   * @throws BadMessage when they are no such body
   */
  scan(chunk: Buffer, from: number): number;
}

const NO_BODY: Body = { complete: true, untilClose: false, scan: (_chunk, from) => from };
const UNTIL_CLOSE: Body = { complete: false, untilClose: true, scan: (chunk) => chunk.byteLength };

class LengthBody implements Body {
  readonly untilClose = false;
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get complete(): boolean {
    return this.#left === 0;
  }

  scan(chunk: Buffer, from: number): number {
    const taken = Math.min(this.#left, chunk.byteLength - from);
    this.#left -= taken;
    return from + taken;
  }
}

/** A new reader for the body of one request. */
export function requestBody(head: H1RequestHead): Body {
  if (head.length.kind === 'chunked') return new ChunkedBody();
  if (head.length.kind === 'bytes' && head.length.bytes > 0) return new LengthBody(head.length.bytes);
  return NO_BODY;
}

/**
 * A new reader for the body of the answer to a request (RFC 9112 §6.3). Not for an answer that makes the connection a tunnel.
 * @throws BadMessage when the fields do not say plainly where it ends
 */
export function responseBody(head: H1ResponseHead, request: H1RequestHead): Body {
  if (request.method === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) return NO_BODY;
  const length = statedLength(head.fields);
  if (length.kind === 'chunked') return new ChunkedBody();
  if (length.kind === 'none') return UNTIL_CLOSE;
  return length.bytes === 0 ? NO_BODY : new LengthBody(length.bytes);
}

/** Whether the answer ends HTTP on this connection: 101 to a request that asked for it, 2xx to CONNECT. */
export function opensTunnel(head: H1ResponseHead, request: H1RequestHead): boolean {
  if (head.status === 101) {
    if (!request.asksUpgrade) throw new BadMessage('101 without a request for it');
    return true;
  }
  return request.method === 'CONNECT' && head.status >= 200 && head.status < 300;
}
