import type { ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2';
import type { Refusal } from '../routing.ts';

const GRPC_UNAVAILABLE = '14';
const GRPC_INTERNAL = '13';
const NO_ERROR = 0;

/** Node adds a date otherwise; its types do not know the option. */
export type AnswerOptions = ServerStreamResponseOptions & { readonly sendDate: false };

/**
 * Answers a request on which no answer was begun. gRPC reads no status but its own, so it gets trailers only, with the status its
 * clients retry (the "HTTP to gRPC status" mapping of grpc: 502 and 503 are UNAVAILABLE, 400 is INTERNAL).
 * @param contentType of the request
 */
export function refuse(stream: ServerHttp2Stream, contentType: string | undefined, refusal: Refusal): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  // What the caller still sends is not wanted: it is told so once the answer is out (RFC 9113 §8.1).
  stream.once('finish', () => stream.close(NO_ERROR));
  stream.resume();
  if (contentType?.startsWith('application/grpc')) {
    const status = refusal.status === 400 || refusal.status === 431 ? GRPC_INTERNAL : GRPC_UNAVAILABLE;
    const message = percentEncoded(refusal.reason);
    const options: AnswerOptions = { endStream: true, sendDate: false };
    stream.respond(
      { ':status': 200, 'content-type': contentType, 'grpc-status': status, 'grpc-message': message },
      options,
    );
    return;
  }
  const text = `${refusal.status}: ${refusal.reason}\n`;
  const options: AnswerOptions = { sendDate: false };
  stream.respond(
    {
      ':status': refusal.status,
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      'x-kube-intercept': 'refused',
    },
    options,
  );
  stream.end(text);
}

/** The grpc-message encoding: bytes outside of 0x20…0x7e, and the percent sign, as %XX. */
function percentEncoded(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
