import { BadMessage } from '../../../../src/http/h1/bad-message.ts';
import { type Body, requestBody } from '../../../../src/http/h1/framing.ts';
import { HeadBytes } from '../../../../src/http/h1/head-bytes.ts';
import { H1RequestHead } from '../../../../src/http/h1/request-head.ts';

export interface Reading {
  /** Each request that was complete: head and body as they came. */
  readonly requests: readonly { readonly head: H1RequestHead; readonly bytes: Buffer }[];
  readonly refused: boolean;
}

/** Reads requests with the router's own readers from pieces of a stream. @throws what is no BadMessage */
export function readRequests(pieces: readonly Buffer[]): Reading {
  const requests: { head: H1RequestHead; bytes: Buffer }[] = [];
  const heads = new HeadBytes('request');
  let current: { head: H1RequestHead; body: Body; parts: Buffer[] } | undefined;
  try {
    for (const piece of pieces) {
      let at = 0;
      while (at < piece.byteLength || current?.body.complete === true) {
        if (current === undefined) {
          at = heads.push(piece, at);
          if (at === -1) break;
          const head = new H1RequestHead(heads.head);
          current = { head, body: requestBody(head), parts: [heads.head] };
          heads.reset();
        }
        const end = current.body.scan(piece, at);
        current.parts.push(piece.subarray(at, end));
        at = end;
        if (!current.body.complete) continue;
        requests.push({ head: current.head, bytes: Buffer.concat(current.parts) });
        current = undefined;
      }
    }
    return { requests, refused: false };
  } catch (error) {
    if (error instanceof BadMessage) return { requests, refused: true };
    throw error;
  }
}

/** A stream in two pieces, for each place where it can be cut, and in pieces of one byte. */
export function* cuts(bytes: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= bytes.byteLength; at += 1) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}
