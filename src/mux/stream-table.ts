import { InterceptorError } from '../errors.ts';
import { MAX_STREAM_ID, type StreamId, toStreamId } from '../ids.ts';
import type { Channel } from './channel.ts';
import type { MuxStream } from './stream.ts';
import { violation } from './violation.ts';

/** The streams of one tunnel and the ids they have: odd ones of the session's, even ones of the agent's, rising. */
export class StreamTable {
  readonly #ourParity: number;
  readonly #maxOpen: number;
  /** Streams that are open on the wire. */
  readonly #channels = new Map<StreamId, Channel>();
  /** Streams that still exist on this side. */
  readonly #streams = new Map<Channel, MuxStream>();
  #openedByUs = 0;
  #openedByPeer = 0;
  #nextId: number;
  #lastPeerId = 0;

  constructor(side: 'session' | 'agent', maxOpen: number) {
    this.#ourParity = side === 'session' ? 1 : 0;
    this.#nextId = side === 'session' ? 1 : 2;
    this.#maxOpen = maxOpen;
  }

  /** Streams not yet destroyed on this side. */
  get size(): number {
    return this.#streams.size;
  }

  /** @throws InterceptorError STREAM_LIMIT: too many of ours are open, or the ids are used up */
  takeId(): StreamId {
    if (this.#openedByUs >= this.#maxOpen) {
      throw new InterceptorError('STREAM_LIMIT', `${this.#openedByUs} streams are open in this tunnel`);
    }
    if (this.#nextId > MAX_STREAM_ID) throw new InterceptorError('STREAM_LIMIT', 'the stream ids are used up');
    const id = toStreamId(this.#nextId);
    this.#nextId += 2;
    return id;
  }

  /**
   * The peer opens a stream.
   * @returns whether there is room for it
   * @throws InterceptorError PROTOCOL_BAD_FRAME: an id of ours, or one that was there
   */
  takePeerId(id: StreamId): boolean {
    if (this.#isOurs(id)) throw violation(`opened stream ${id}, an id of ours`);
    if (id <= this.#lastPeerId) throw violation(`opened stream ${id} again`);
    this.#lastPeerId = id;
    return this.#openedByPeer < this.#maxOpen;
  }

  add(channel: Channel, stream: MuxStream): void {
    if (channel.byUs) this.#openedByUs += 1;
    else this.#openedByPeer += 1;
    this.#channels.set(channel.id, channel);
    this.#streams.set(channel, stream);
  }

  /**
   * The channel a frame is for; undefined when it closed while the frame was on its way.
   * @throws InterceptorError PROTOCOL_BAD_FRAME when there never was one
   */
  find(id: StreamId): Channel | undefined {
    const channel = this.#channels.get(id);
    if (channel !== undefined) return channel;
    const wasOpened = this.#isOurs(id) ? id < this.#nextId : id <= this.#lastPeerId;
    if (!wasOpened) throw violation(`frame for stream ${id}, which was never opened`);
    return undefined;
  }

  /** Nothing more may be sent or received for it. */
  wireClosed(channel: Channel): void {
    this.#channels.delete(channel.id);
    if (channel.byUs) this.#openedByUs -= 1;
    else this.#openedByPeer -= 1;
  }

  released(channel: Channel): void {
    this.#streams.delete(channel);
  }

  /** All there are, for their end. */
  channels(): IterableIterator<Channel> {
    return this.#streams.keys();
  }

  /** The stream that holds most unread bytes. */
  largest(): MuxStream | undefined {
    let largest: Channel | undefined;
    for (const channel of this.#streams.keys()) {
      if (largest === undefined || channel.receivedBytes > largest.receivedBytes) largest = channel;
    }
    return largest === undefined ? undefined : this.#streams.get(largest);
  }

  #isOurs(id: StreamId): boolean {
    return id % 2 === this.#ourParity;
  }
}
