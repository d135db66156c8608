import { errorText, InterceptorError } from '../errors.ts';
import { type Log, silentLog } from '../log.ts';
import { decodeMessage } from '../protocol/codec.ts';
import type { ControlMessage } from '../protocol/control.ts';
import type { Frame } from '../protocol/frames.ts';
import { MAX_CONTROL_BYTES } from '../protocol/limits.ts';
import { parseControlMessage } from '../protocol/parse-control.ts';
import { Channel, type ChannelOwner, type OpenInfo } from './channel.ts';
import { MUX_LIMITS, type MuxLimits } from './limits.ts';
import { Link } from './link.ts';
import { BEGINNING } from './resume-point.ts';
import { Sender } from './sender.ts';
import { MuxStream } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import type { Transport } from './transport.ts';
import { lost, violation } from './violation.ts';

export type { OpenInfo } from './channel.ts';
export { MuxStream, StreamResetError } from './stream.ts';

export interface MuxOptions {
  readonly side: 'session' | 'agent';
  /** The peer opened a stream: accept() or refuse() it, now or later. */
  readonly onOpen: (stream: MuxStream, info: OpenInfo) => void;
  readonly onControl: (message: ControlMessage) => void;
  readonly log?: Log;
  readonly limits?: Partial<MuxLimits>;
}

export interface MuxStats {
  /** Streams not yet destroyed on this side. */
  readonly openStreams: number;
  /** Received and unread, and written and unsent. */
  readonly queuedBytes: number;
  readonly timers: number;
}

/**
 * Many streams on one link, or on one authenticated carrier (PROTOCOL.md). Owns it from here on. Any violation by the peer
 * ends the tunnel: `closed` says why. In one file: what ends a tunnel, from whichever side, is one state machine.
 */
export class Mux {
  /** Undefined after our own close(); else why the tunnel ended. All streams have been reset by then. */
  readonly closed: Promise<Error | undefined>;
  readonly #link: Link;
  readonly #options: MuxOptions;
  readonly #log: Log;
  readonly #limits: MuxLimits;
  readonly #owner: ChannelOwner;
  readonly #streams: StreamTable;
  readonly #sender: Sender;
  #receivedBytes = 0;
  #pendingBytes = 0;
  #grownBytes = 0;

  #settleClosed: (reason: Error | undefined) => void = () => {};
  #over = false;
  #closing: Promise<void> | undefined;
  #closeTimer: NodeJS.Timeout | undefined;

  constructor(transport: Transport, options: MuxOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#limits = { ...MUX_LIMITS, ...options.limits };
    this.#streams = new StreamTable(options.side, this.#limits.maxOpenStreams);
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    const isLink = transport instanceof Link;
    const link = isLink ? transport : new Link({ resumeForMs: 0, limits: this.#limits });
    this.#link = link;
    this.#sender = new Sender(link);
    this.#owner = this.#makeOwner();
    link.onDrain = () => this.#sender.flush();
    link.onMessage = (message) => this.#receive(message);
    link.onClose = (error) => {
      if (error instanceof InterceptorError) this.#end(error);
      else
        this.#end(
          lost(error === undefined ? 'the peer closed the tunnel' : `the carrier was lost: ${error.message}`, error),
        );
    };
    if (!isLink) link.attach(transport, BEGINNING);
    this.#sender.schedule();
  }

  /** Of the last answered ping, in milliseconds. */
  get roundTripMs(): number | undefined {
    return this.#link.roundTripMs;
  }

  /**
   * Opens a stream; it may be written at once, the first bytes ride in the open frame.
   * @throws InterceptorError STREAM_LIMIT: too many open, or ids used up; TUNNEL_LOST: the tunnel is over
   */
  open(info: OpenInfo): MuxStream {
    if (this.#over || this.#closing !== undefined) throw lost('the tunnel is closed');
    return this.#addStream(new Channel(this.#streams.takeId(), info, true, this.#owner));
  }

  /**
   * Sends a control message ahead of all data; dropped when the tunnel is over.
   * @throws InterceptorError PROTOCOL_BAD_MESSAGE when it is larger than MAX_CONTROL_BYTES
   */
  sendControl(message: ControlMessage): void {
    const text = JSON.stringify(message);
    if (Buffer.byteLength(text) > MAX_CONTROL_BYTES) {
      throw new InterceptorError('PROTOCOL_BAD_MESSAGE', `control message larger than ${MAX_CONTROL_BYTES} bytes`);
    }
    this.#sender.frame({ type: 'control', text });
  }

  stats(): MuxStats {
    return {
      openStreams: this.#streams.size,
      queuedBytes: this.#receivedBytes + this.#pendingBytes,
      timers: this.#link.timers + (this.#closeTimer === undefined ? 0 : 1),
    };
  }

  /** Sends what can be sent, for a moment at most, then closes the carrier; streams still open are reset. */
  close(): Promise<void> {
    this.#closing ??= this.#closeOrderly();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeOrderly(): Promise<void> {
    if (!this.#over && this.#link.isAttached) {
      await new Promise<void>((resolve) => {
        this.#sender.onIdle = resolve;
        this.#closeTimer = setTimeout(resolve, this.#limits.closeDeadlineMs);
        this.#sender.schedule();
      });
      this.#sender.onIdle = undefined;
      clearTimeout(this.#closeTimer);
      this.#closeTimer = undefined;
    }
    this.#end(undefined);
    await this.closed;
  }

  /** The tunnel is over, once. `reason` undefined: orderly, by us. */
  #end(reason: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    const link = this.#link;
    link.onDrain = undefined;
    link.onMessage = () => {}; // until the carrier is gone
    if (reason === undefined) {
      link.onClose = () => this.#settleClosed(undefined);
      link.close();
    } else {
      this.#log.debug('tunnel ended', { reason: reason.message });
      link.onClose = undefined;
      link.terminate();
    }
    for (const channel of this.#streams.channels()) channel.receiveReset('gone');
    this.#sender.stop();
    if (reason !== undefined) this.#settleClosed(reason);
  }

  // ---- receiving

  #receive(message: Uint8Array): void {
    try {
      for (const frame of decodeMessage(message)) {
        if (this.#over) return;
        this.#handle(frame);
      }
    } catch (error) {
      this.#end(error instanceof Error ? error : new InterceptorError('INTERNAL', errorText(error)));
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'open':
        this.#handleOpen(frame);
        return;
      case 'opened':
        this.#streams.find(frame.streamId)?.receiveOpened();
        return;
      case 'data':
        this.#streams.find(frame.streamId)?.receiveData(asBuffer(frame.payload));
        return;
      case 'credit':
        this.#streams.find(frame.streamId)?.receiveCredit(frame.bytes);
        return;
      case 'end':
        this.#streams.find(frame.streamId)?.receiveEnd();
        return;
      case 'reset':
        this.#streams.find(frame.streamId)?.receiveReset(frame.reason);
        return;
      case 'control':
        this.#handleControl(frame.text);
        return;
      case 'ping':
      case 'pong':
      case 'ack':
      case 'close':
        throw violation(`${frame.type} among frames of streams`);
      default:
        frame satisfies never;
    }
  }

  #handleOpen(frame: Frame & { type: 'open' }): void {
    const { streamId, kind, port, host, firstBytes } = frame;
    if (!this.#streams.takePeerId(streamId)) {
      this.#sender.frame({ type: 'reset', streamId, reason: 'limit' });
      return;
    }
    if (this.#closing !== undefined) {
      this.#sender.frame({ type: 'reset', streamId, reason: 'gone' });
      return;
    }
    const info: OpenInfo = { kind, port, host };
    const channel = new Channel(streamId, info, false, this.#owner);
    const stream = this.#addStream(channel);
    if (firstBytes.byteLength > 0) channel.receiveData(asBuffer(firstBytes));
    this.#options.onOpen(stream, info);
  }

  #handleControl(text: string): void {
    let message: ControlMessage;
    try {
      message = parseControlMessage(text);
    } catch (error) {
      // A newer peer may say what we do not know; it expects no answer.
      this.#log.debug('control message ignored', { reason: errorText(error) });
      return;
    }
    switch (message.type) {
      case 'request':
      case 'response':
      case 'event':
        this.#options.onControl(message);
        return;
      case 'hello':
      case 'proof':
      case 'welcome':
        throw violation(`${message.type} after the handshake`);
      default:
        message satisfies never;
    }
  }

  // ---- streams

  #addStream(channel: Channel): MuxStream {
    const stream = new MuxStream(channel);
    this.#streams.add(channel, stream);
    return stream;
  }

  #makeOwner(): ChannelOwner {
    const mux = this;
    return {
      limits: this.#limits,
      get shortestRoundTripMs() {
        return mux.#link.shortestRoundTripMs;
      },
      wantsToSend: (channel) => this.#sender.wantsToSend(channel),
      wantsToSignal: (channel) => this.#sender.wantsToSignal(channel),
      released: (channel) => this.#streams.released(channel),
      wireClosed: (channel) => {
        this.#streams.wireClosed(channel);
        this.#sender.forget(channel);
      },
      addQueued: (receivedBytes, pendingBytes) => {
        this.#receivedBytes += receivedBytes;
        this.#pendingBytes += pendingBytes;
        if (receivedBytes > 0 && this.#receivedBytes > this.#limits.maxQueuedBytes) this.#shed();
      },
      takeGrowth: (bytes) => {
        if (this.#grownBytes + bytes > this.#limits.maxGrowthBytes) return false;
        this.#grownBytes += bytes;
        return true;
      },
      returnGrowth: (bytes) => {
        this.#grownBytes -= bytes;
      },
    };
  }

  /** Too much is unread in this tunnel: the stream that holds most of it is reset. */
  #shed(): void {
    const stream = this.#streams.largest();
    this.#log.warn('stream reset: too many bytes unread in this tunnel', { streamId: stream?.id });
    stream?.resetAndDestroy('limit');
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
