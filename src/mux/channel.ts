import type { StreamId } from '../ids.ts';
import type { MessageWriter } from '../protocol/codec.ts';
import type { OpenKind, ResetReason } from '../protocol/frames.ts';
import { MAX_FIRST_BYTES } from '../protocol/limits.ts';
import { ByteQueue } from './byte-queue.ts';
import type { MuxLimits } from './limits.ts';
import { ReceiveWindow, type WindowBudget } from './receive-window.ts';
import { violation } from './violation.ts';

const MAX_CREDIT_BYTES = 2 ** 31 - 1;

/** incoming: agent→session, a caller (host) of app port `port`. tcp: session→agent, dial host:port. */
export interface OpenInfo {
  readonly kind: OpenKind;
  readonly port: number;
  readonly host: string;
}

/** The tunnel as a channel sees it. */
export interface ChannelOwner extends WindowBudget {
  readonly limits: MuxLimits;
  /** The channel has data or an end to send. */
  wantsToSend(channel: Channel): void;
  /** The channel has an open, opened, credit or reset to send: these go before all data. */
  wantsToSignal(channel: Channel): void;
  /** Bytes waiting in the channel's queues changed. */
  addQueued(receivedBytes: number, pendingBytes: number): void;
  /** Nothing more may be sent or received for this id. */
  wireClosed(channel: Channel): void;
  /** The stream above is destroyed: nobody will read or write any more. */
  released(channel: Channel): void;
}

/** What the channel tells the stream above it. */
export interface ChannelEvents {
  onReadable(): void;
  onOpened(): void;
  /** The stream is over; `byPeer` false when the tunnel was lost. */
  onReset(reason: ResetReason): void;
}

/** The handshake of a stream; data flow is independent of it (PROTOCOL.md "Streams"). */
type Opening = 'opener-unsent' | 'opener-waits' | 'acceptor-decides' | 'acceptor-unsent' | 'open';

/** One stream on the wire: its state, credit both ways, and what is queued. Knows frames, no Node streams. */
export class Channel {
  readonly id: StreamId;
  readonly byUs: boolean;
  readonly info: OpenInfo;
  events: ChannelEvents | undefined;
  readonly #owner: ChannelOwner;
  readonly #window: ReceiveWindow;
  readonly #received = new ByteQueue();
  #opening: Opening;
  #peerEnded = false;

  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #creditBytes: number;
  #endWanted = false;
  #endSent = false;
  #onSent: ((error?: Error | null) => void) | undefined;

  #creditDue = false;
  #resetDue: ResetReason | undefined;
  #wireOpen = true;

  constructor(id: StreamId, info: OpenInfo, byUs: boolean, owner: ChannelOwner) {
    this.id = id;
    this.info = info;
    this.byUs = byUs;
    this.#owner = owner;
    this.#window = new ReceiveWindow(owner.limits, owner);
    this.#creditBytes = owner.limits.initialWindowBytes;
    this.#opening = byUs ? 'opener-unsent' : 'acceptor-decides';
    if (byUs) owner.wantsToSignal(this);
  }

  get wireOpen(): boolean {
    return this.#wireOpen;
  }
  get receivedBytes(): number {
    return this.#received.byteLength;
  }
  /** The peer ended and everything it sent was read. */
  get isReadToEnd(): boolean {
    return this.#peerEnded && this.#received.byteLength === 0;
  }
  get isAwaitingDecision(): boolean {
    return this.#opening === 'acceptor-decides';
  }

  accept(): void {
    if (this.#opening !== 'acceptor-decides' || !this.#wireOpen) return;
    this.#opening = 'acceptor-unsent';
    this.#owner.wantsToSignal(this);
    if (this.canSend) this.#owner.wantsToSend(this);
  }

  /** Queues `chunks`; `onSent` is called once all have been handed to the carrier. One call at a time. */
  write(chunks: readonly Buffer[], onSent: (error?: Error | null) => void): void {
    let bytes = 0;
    for (const chunk of this.#wireOpen ? chunks : []) {
      if (chunk.byteLength === 0) continue;
      bytes += chunk.byteLength;
      this.#pending.push(chunk);
    }
    if (bytes === 0) {
      process.nextTick(onSent);
      return;
    }
    this.#pendingBytes += bytes;
    this.#owner.addQueued(0, bytes);
    this.#onSent = onSent;
    if (this.canSend) this.#owner.wantsToSend(this);
  }

  /** Half-close after what is queued; `onSent` is called once it has been handed to the carrier. */
  end(onSent: (error?: Error | null) => void): void {
    if (!this.#wireOpen) {
      process.nextTick(onSent);
      return;
    }
    this.#endWanted = true;
    this.#onSent = onSent;
    if (this.canSend) this.#owner.wantsToSend(this);
  }

  /** The next bytes the peer sent, counted as read. */
  shift(): Buffer | undefined {
    const chunk = this.#received.shift();
    if (chunk === undefined) return undefined;
    this.#owner.addQueued(-chunk.byteLength, 0);
    if (!this.#peerEnded && this.#window.read(chunk.byteLength) && !this.#creditDue) {
      this.#creditDue = true;
      this.#owner.wantsToSignal(this);
    }
    return chunk;
  }

  /** The stream above is gone: a reset frame, unless both sides have ended already. */
  release(reason: ResetReason): void {
    if (this.#wireOpen) {
      const peerKnows = this.#opening !== 'opener-unsent';
      this.#close();
      if (peerKnows) {
        this.#resetDue = reason;
        this.#owner.wantsToSignal(this);
      }
    }
    this.#dropReceived();
    this.#owner.released(this);
  }

  receiveOpened(): void {
    if (this.#opening !== 'opener-waits') throw violation('opened twice or by the wrong side');
    this.#opening = 'open';
    this.events?.onOpened();
  }

  receiveData(payload: Buffer): void {
    if (this.#peerEnded) throw violation('data after end');
    if (this.byUs && this.#opening !== 'open') throw violation('data before opened');
    if (!this.#window.receive(payload.byteLength)) throw violation('credit overrun');
    this.#received.push(payload);
    this.#owner.addQueued(payload.byteLength, 0);
    this.events?.onReadable();
  }

  receiveCredit(bytes: number): void {
    if (this.#creditBytes + bytes > MAX_CREDIT_BYTES) throw violation('credit overflow');
    this.#creditBytes += bytes;
    if (this.canSend) this.#owner.wantsToSend(this);
  }

  receiveEnd(): void {
    if (this.#peerEnded) throw violation('end after end');
    if (this.byUs && this.#opening !== 'open') throw violation('end before opened');
    this.#peerEnded = true;
    this.#closeWhenBothEnded();
    this.events?.onReadable();
  }

  /** The peer reset the stream, or (reason gone) the tunnel is lost: what is queued either way is dropped. */
  receiveReset(reason: ResetReason): void {
    if (this.#wireOpen) this.#close();
    this.#dropReceived();
    this.events?.onReset(reason);
  }

  /** Whether writeData would write something. */
  get canSend(): boolean {
    if (!this.#wireOpen || this.#opening === 'acceptor-decides') return false;
    return this.#pendingBytes > 0 ? this.#creditBytes > 0 : this.#endWanted && !this.#endSent;
  }

  /** Writes what goes before all data: open with first bytes, opened, credit, reset. */
  writeSignals(writer: MessageWriter): void {
    if (this.#resetDue !== undefined) {
      writer.frame({ type: 'reset', streamId: this.id, reason: this.#resetDue });
      this.#resetDue = undefined;
      return;
    }
    if (!this.#wireOpen) return;
    if (this.#opening === 'opener-unsent') this.#writeOpen(writer);
    else if (this.#opening === 'acceptor-unsent') {
      writer.frame({ type: 'opened', streamId: this.id });
      this.#opening = 'open';
    }
    if (this.#creditDue) {
      this.#creditDue = false;
      const bytes = this.#peerEnded ? 0 : this.#window.takeCredit();
      if (bytes > 0) writer.frame({ type: 'credit', streamId: this.id, bytes });
    }
  }

  /** Writes one data frame of at most `maxBytes`, and the end behind the last of it. */
  writeData(writer: MessageWriter, maxBytes: number): void {
    const bytes = Math.min(this.#pendingBytes, this.#creditBytes, maxBytes);
    if (bytes > 0) this.#movePending(writer.dataBody(this.id, bytes));
    if (this.#pendingBytes === 0) this.#writeEnd(writer);
    this.#settleSent();
  }

  #writeOpen(writer: MessageWriter): void {
    const firstBytes = Buffer.allocUnsafe(Math.min(this.#pendingBytes, this.#creditBytes, MAX_FIRST_BYTES));
    if (firstBytes.byteLength > 0) this.#movePending(firstBytes);
    writer.frame({ type: 'open', streamId: this.id, ...this.info, firstBytes });
    this.#opening = 'opener-waits';
    if (this.#pendingBytes === 0) this.#writeEnd(writer);
    this.#settleSent();
  }

  #writeEnd(writer: MessageWriter): void {
    if (!this.#endWanted || this.#endSent) return;
    writer.frame({ type: 'end', streamId: this.id });
    this.#endSent = true;
    this.#closeWhenBothEnded();
  }

  /** Fills `target` from the front of what is pending. */
  #movePending(target: Buffer): void {
    let at = 0;
    let used = 0;
    for (const chunk of this.#pending) {
      const take = Math.min(chunk.byteLength, target.byteLength - at);
      target.set(take === chunk.byteLength ? chunk : chunk.subarray(0, take), at);
      at += take;
      if (take < chunk.byteLength) {
        this.#pending[used] = chunk.subarray(take);
        break;
      }
      used += 1;
      if (at === target.byteLength) break;
    }
    if (used === this.#pending.length) this.#pending = [];
    else if (used > 0) this.#pending.splice(0, used);
    this.#pendingBytes -= target.byteLength;
    this.#creditBytes -= target.byteLength;
    this.#owner.addQueued(0, -target.byteLength);
  }

  #settleSent(): void {
    if (this.#pendingBytes > 0 || (this.#endWanted && !this.#endSent)) return;
    const onSent = this.#onSent;
    this.#onSent = undefined;
    onSent?.();
  }

  #closeWhenBothEnded(): void {
    if (this.#peerEnded && this.#endSent && this.#wireOpen) this.#close();
  }

  #close(): void {
    this.#wireOpen = false;
    this.#window.release();
    this.#creditDue = false;
    if (this.#pendingBytes > 0) {
      this.#owner.addQueued(0, -this.#pendingBytes);
      this.#pending = [];
      this.#pendingBytes = 0;
    }
    this.#owner.wireClosed(this);
    const onSent = this.#endSent ? undefined : this.#onSent;
    if (onSent !== undefined) {
      this.#onSent = undefined;
      // The stream is being destroyed: Node only has to see that the write is over.
      process.nextTick(onSent, new Error('stream was reset'));
    }
  }

  #dropReceived(): void {
    if (this.#received.byteLength === 0) return;
    this.#owner.addQueued(-this.#received.byteLength, 0);
    this.#received.clear();
  }
}
