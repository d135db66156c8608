import { errorText, InterceptorError } from '../errors.ts';
import { MAX_STREAM_ID, type StreamId, toStreamId } from '../ids.ts';
import { type Log, silentLog } from '../log.ts';
import { decodeMessage, MessageWriter } from '../protocol/codec.ts';
import { type ControlMessage, parseControlMessage } from '../protocol/control.ts';
import type { Frame } from '../protocol/frames.ts';
import { MAX_CONTROL_BYTES, MAX_PAYLOAD_BYTES } from '../protocol/limits.ts';
import { Channel, type ChannelOwner, type OpenInfo } from './channel.ts';
import { MUX_LIMITS, type MuxLimits, TRANSPORT_HIGH_WATER_BYTES } from './limits.ts';
import { Link } from './link.ts';
import { BEGINNING } from './resume-point.ts';
import { SendQueue } from './send-queue.ts';
import { MuxStream } from './stream.ts';
import type { Transport } from './transport.ts';

export type { OpenInfo } from './channel.ts';
export { MuxStream, StreamResetError } from './stream.ts';

/** A message is sent once it has this much; what is emitted together and is small shares one message. */
const MESSAGE_BYTES = MAX_PAYLOAD_BYTES;

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
 * Many streams on one authenticated carrier (PROTOCOL.md). Owns the transport from here on. Any violation by the peer
 * ends the tunnel: `closed` says why. Longer than a file should be: receiving, sending and the end share one state.
 */
export class Mux {
  /** Undefined after our own close(); else why the tunnel ended. All streams have been reset by then. */
  readonly closed: Promise<Error | undefined>;
  readonly #link: Link;
  readonly #options: MuxOptions;
  readonly #log: Log;
  readonly #limits: MuxLimits;
  readonly #owner: ChannelOwner;

  /** Streams that are open on the wire. */
  readonly #channels = new Map<StreamId, Channel>();
  /** Streams that still exist on this side. */
  readonly #streams = new Map<Channel, MuxStream>();
  #openedByUs = 0;
  #openedByPeer = 0;
  #nextId: number;
  #lastPeerId = 0;

  readonly #writer = new MessageWriter();
  readonly #sendQueue = new SendQueue();
  readonly #signalling = new Set<Channel>();
  #frames: Frame[] = [];
  #flushScheduled = false;
  readonly #runFlush = (): void => {
    this.#flushScheduled = false;
    this.#flush();
  };

  #receivedBytes = 0;
  #pendingBytes = 0;
  #grownBytes = 0;

  #settleClosed: (reason: Error | undefined) => void = () => {};
  #over = false;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;
  #closeTimer: NodeJS.Timeout | undefined;

  constructor(transport: Transport, options: MuxOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#limits = { ...MUX_LIMITS, ...options.limits };
    this.#nextId = options.side === 'session' ? 1 : 2;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    const isLink = transport instanceof Link;
    const link = isLink ? transport : new Link({ resumeForMs: 0, limits: this.#limits });
    this.#link = link;
    this.#owner = this.#makeOwner();
    link.onDrain = () => this.#flush();
    link.onMessage = (message) => this.#receive(message);
    link.onClose = (error) => {
      if (error instanceof InterceptorError) this.#end(error);
      else
        this.#end(
          lost(error === undefined ? 'the peer closed the tunnel' : `the carrier was lost: ${error.message}`, error),
        );
    };
    if (!isLink) link.attach(transport, BEGINNING);
    this.#scheduleFlush();
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
    if (this.#openedByUs >= this.#limits.maxOpenStreams) {
      throw new InterceptorError('STREAM_LIMIT', `${this.#openedByUs} streams are open in this tunnel`);
    }
    if (this.#nextId > MAX_STREAM_ID) throw new InterceptorError('STREAM_LIMIT', 'the stream ids are used up');
    const id = toStreamId(this.#nextId);
    this.#nextId += 2;
    this.#openedByUs += 1;
    return this.#addStream(new Channel(id, info, true, this.#owner));
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
    this.#sendFrame({ type: 'control', text });
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #closeOrderly(): Promise<void> {
    if (!this.#over && this.#link.isAttached) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        this.#closeTimer = setTimeout(resolve, this.#limits.closeDeadlineMs);
        this.#scheduleFlush();
      });
      this.#onIdle = undefined;
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
    const transport = this.#link;
    transport.onDrain = undefined;
    transport.onMessage = () => {}; // until the carrier is gone
    if (reason === undefined) {
      transport.onClose = () => this.#settleClosed(undefined);
      transport.resume();
      transport.close();
    } else {
      this.#log.debug('tunnel ended', { reason: reason.message });
      transport.onClose = undefined;
      transport.terminate();
    }
    for (const channel of this.#streams.keys()) channel.receiveReset('gone');
    this.#signalling.clear();
    this.#frames = [];
    this.#onIdle?.();
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
        this.#channel(frame.streamId)?.receiveOpened();
        return;
      case 'data':
        this.#channel(frame.streamId)?.receiveData(asBuffer(frame.payload));
        return;
      case 'credit':
        this.#channel(frame.streamId)?.receiveCredit(frame.bytes);
        return;
      case 'end':
        this.#channel(frame.streamId)?.receiveEnd();
        return;
      case 'reset':
        this.#channel(frame.streamId)?.receiveReset(frame.reason);
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
    if (this.#isOurs(streamId)) throw violation(`opened stream ${streamId}, an id of ours`);
    if (streamId <= this.#lastPeerId) throw violation(`opened stream ${streamId} again`);
    this.#lastPeerId = streamId;
    if (this.#openedByPeer >= this.#limits.maxOpenStreams) {
      this.#sendFrame({ type: 'reset', streamId, reason: 'limit' });
      return;
    }
    if (this.#closing !== undefined) {
      this.#sendFrame({ type: 'reset', streamId, reason: 'gone' });
      return;
    }
    this.#openedByPeer += 1;
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
      // A newer peer may say what we do not know (PROTOCOL.md "Control"); it expects no answer.
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

  /** The stream a frame is for; undefined when it closed while the frame was on its way. */
  #channel(id: StreamId): Channel | undefined {
    const channel = this.#channels.get(id);
    if (channel !== undefined) return channel;
    const wasOpened = this.#isOurs(id) ? id < this.#nextId : id <= this.#lastPeerId;
    if (!wasOpened) throw violation(`frame for stream ${id}, which was never opened`);
    return undefined;
  }

  #isOurs(id: StreamId): boolean {
    return id % 2 === (this.#options.side === 'session' ? 1 : 0);
  }

  // ---- streams

  #addStream(channel: Channel): MuxStream {
    this.#channels.set(channel.id, channel);
    const stream = new MuxStream(channel);
    this.#streams.set(channel, stream);
    return stream;
  }

  #makeOwner(): ChannelOwner {
    const mux = this;
    return {
      limits: this.#limits,
      get shortestRoundTripMs() {
        return mux.#link.shortestRoundTripMs;
      },
      wantsToSend: (channel) => {
        this.#sendQueue.add(channel);
        this.#scheduleFlush();
      },
      wantsToSignal: (channel) => {
        this.#signalling.add(channel);
        this.#scheduleFlush();
      },
      released: (channel) => {
        this.#streams.delete(channel);
      },
      wireClosed: (channel) => {
        this.#channels.delete(channel.id);
        this.#sendQueue.delete(channel);
        if (channel.byUs) this.#openedByUs -= 1;
        else this.#openedByPeer -= 1;
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
    let largest: Channel | undefined;
    for (const channel of this.#streams.keys()) {
      if (largest === undefined || channel.receivedBytes > largest.receivedBytes) largest = channel;
    }
    const stream = largest === undefined ? undefined : this.#streams.get(largest);
    this.#log.warn('stream reset: too many bytes unread in this tunnel', { streamId: stream?.id });
    stream?.resetAndDestroy('limit');
  }

  // ---- sending

  #sendFrame(frame: Frame): void {
    if (this.#over) return;
    this.#frames.push(frame);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#over) return;
    this.#flushScheduled = true;
    // Not setImmediate: 15 % more latency of a short stream, and no more throughput (measured).
    process.nextTick(this.#runFlush);
  }

  /** Writes signals, then data in turns until nobody has any or the carrier is full; its drain goes on from there. */
  #flush(): void {
    // Without a carrier all waits here, where it is bounded and can still be taken back.
    if (this.#over || !this.#link.isAttached) return;
    this.#writeSignals();
    while (this.#link.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES) {
      const channel = this.#sendQueue.next();
      if (channel === undefined) break;
      channel.writeData(this.#writer, MAX_PAYLOAD_BYTES);
      this.#sendWhenFull();
    }
    if (this.#writer.byteLength > 0) this.#sendMessage();
    if (this.#onIdle !== undefined && this.#frames.length === 0 && this.#sendQueue.isIdle) this.#onIdle();
  }

  #writeSignals(): void {
    const frames = this.#frames;
    this.#frames = [];
    for (const frame of frames) {
      if (frame.type === 'control' && this.#writer.byteLength > 0) this.#sendMessage();
      this.#writer.frame(frame);
      this.#sendWhenFull();
    }
    for (const channel of this.#signalling) {
      this.#signalling.delete(channel);
      channel.writeSignals(this.#writer);
      this.#sendWhenFull();
      // What did not fit into the open frame.
      if (channel.canSend) this.#sendQueue.add(channel);
    }
  }

  #sendWhenFull(): void {
    if (this.#writer.byteLength >= MESSAGE_BYTES) this.#sendMessage();
  }

  #sendMessage(): void {
    const message = this.#writer.take();
    this.#link.send(message, () => this.#writer.recycle(message));
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function lost(what: string, cause?: Error): InterceptorError {
  return new InterceptorError('TUNNEL_LOST', what, cause === undefined ? {} : { cause });
}

function violation(what: string): InterceptorError {
  return new InterceptorError('PROTOCOL_BAD_FRAME', `the peer broke the protocol: ${what}`);
}
