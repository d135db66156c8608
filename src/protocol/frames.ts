import type { StreamId } from '../ids.ts';

/** Why a stream was reset. Wire value = index (PROTOCOL.md "reset"). */
export const RESET_REASONS = ['reset', 'refused', 'unreachable', 'timeout', 'limit', 'gone', 'not-found'] as const;
export type ResetReason = (typeof RESET_REASONS)[number];

/** What an open frame asks for. Wire value = index. */
export const OPEN_KINDS = ['incoming', 'tcp', 'udp', 'dns', 'file', 'datagrams'] as const;
export type OpenKind = (typeof OPEN_KINDS)[number];

/** One frame (PROTOCOL.md "Frames"). Payloads of decoded frames are views into the message. */
export type Frame =
  | {
      readonly type: 'open';
      readonly streamId: StreamId;
      readonly kind: OpenKind;
      readonly port: number;
      readonly host: string;
      readonly firstBytes: Uint8Array;
    }
  | { readonly type: 'opened'; readonly streamId: StreamId }
  | { readonly type: 'data'; readonly streamId: StreamId; readonly payload: Uint8Array }
  | { readonly type: 'credit'; readonly streamId: StreamId; readonly bytes: number }
  /** Half-close: this side sends no more. */
  | { readonly type: 'end'; readonly streamId: StreamId }
  | { readonly type: 'reset'; readonly streamId: StreamId; readonly reason: ResetReason }
  | { readonly type: 'ping'; readonly token: bigint }
  | { readonly type: 'pong'; readonly token: bigint }
  /** JSON, UTF-8: parseControlMessage. */
  | { readonly type: 'control'; readonly text: string }
  /** Messages received so far on this tunnel, for resume. */
  | { readonly type: 'ack'; readonly messages: bigint }
  /** The tunnel is over on purpose: nothing is resumed. */
  | { readonly type: 'close' };

export type FrameType = Frame['type'];

/** Wire number of each type. 0 is never used, so that a zeroed buffer is no frame. */
export const FRAME_NUMBERS = {
  open: 1,
  opened: 2,
  data: 3,
  credit: 4,
  end: 5,
  reset: 6,
  ping: 7,
  pong: 8,
  control: 9,
  ack: 10,
  close: 11,
} as const satisfies Record<FrameType, number>;

/** First protocol version that knows each frame type. */
export const FRAME_SINCE: Record<FrameType, number> = {
  open: 2,
  opened: 2,
  data: 2,
  credit: 2,
  end: 2,
  reset: 2,
  ping: 2,
  pong: 2,
  control: 2,
  ack: 2,
  close: 2,
};
