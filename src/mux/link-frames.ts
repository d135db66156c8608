import { decodeMessage } from '../protocol/codec.ts';
import { FRAME_NUMBERS, type Frame } from '../protocol/frames.ts';
import { violation } from './violation.ts';

export type LinkFrame = Extract<Frame, { readonly type: 'ping' | 'pong' | 'ack' | 'close' }>;

const NUMBERS: ReadonlySet<number | undefined> = new Set([
  FRAME_NUMBERS.ping,
  FRAME_NUMBERS.pong,
  FRAME_NUMBERS.ack,
  FRAME_NUMBERS.close,
]);

/** Whether a message is the link's own: it begins with one of its frames. Those are not numbered and not kept. */
export function isOfLink(message: Uint8Array): boolean {
  return NUMBERS.has(message[0]);
}

/**
 * @param message one that isOfLink()
 * @throws InterceptorError PROTOCOL_BAD_FRAME: a bad frame, or more than one
 */
export function readLinkFrame(message: Uint8Array): LinkFrame {
  const [frame, ...others] = decodeMessage(message);
  if (frame === undefined || others.length > 0) throw violation('more behind a frame of the link');
  switch (frame.type) {
    case 'ping':
    case 'pong':
    case 'ack':
    case 'close':
      return frame;
    default:
      throw violation(`${frame.type} among frames of the link`);
  }
}
