import { randomBytes } from 'node:crypto';
import { errorText, InterceptorError } from '../errors.ts';
import { type Log, silentLog } from '../log.ts';
import { MessageWriter } from '../protocol/codec.ts';
import type { Frame } from '../protocol/frames.ts';
import { Answers } from './answers.ts';
import { closeWith, disown } from './carrier-end.ts';
import { Inbox } from './inbox.ts';
import { LINK_LIMITS, type LinkLimits, TRANSPORT_HIGH_WATER_BYTES } from './limits.ts';
import { isOfLink, readLinkFrame } from './link-frames.ts';
import type { LinkOptions } from './link-options.ts';
import { Liveness } from './liveness.ts';
import { Patience } from './patience.ts';
import type { ResumePoint } from './resume-point.ts';
import type { Transport } from './transport.ts';
import { UnackedQueue } from './unacked.ts';
import { lost } from './violation.ts';

const LINK_ID_BYTES = 16;

/**
 * A Transport that outlives its carriers (PROTOCOL.md "Resume"): messages are numbered by counting and kept until they are
 * acknowledged; behind a new carrier's handshake both ends go on where the other stopped. Finds carriers that died silently.
 */
export class Link extends Inbox implements Transport {
  readonly id: string;
  /** How long it lives without a carrier. */
  readonly resumeMs: number;
  onDrain: (() => void) | undefined;
  /** Messages received: what a handshake tells the peer. */
  received = 0;
  /** It had a carrier once. */
  begun = false;
  /** Since when it has been without a carrier, by performance.now(); undefined while it has one or before the first. */
  detachedSinceMs: number | undefined;
  readonly #limits: LinkLimits;
  readonly #options: LinkOptions;
  readonly #log: Log;
  readonly #unacked = new UnackedQueue();
  readonly #writer = new MessageWriter();
  readonly #answers: Answers;
  readonly #patience = new Patience();
  #carrier: Transport | undefined;
  #liveness: Liveness | undefined;
  #over = false;
  #paused = false;
  #resumeTimer: NodeJS.Timeout | undefined;

  #toSkip = 0;

  constructor(options: LinkOptions) {
    super();
    this.#options = options;
    this.id = options.id ?? randomBytes(LINK_ID_BYTES).toString('base64url');
    this.resumeMs = options.resumeForMs;
    this.#limits = { ...LINK_LIMITS, ...options.limits };
    this.#log = options.log ?? silentLog;
    this.#answers = new Answers({
      limits: this.#limits,
      // What is sent again is not acknowledged before it has come: the peer must not leave it out.
      acknowledgeable: () => (this.#toSkip > 0 ? undefined : this.received),
      hasRoom: () => (this.#carrier?.bufferedBytes ?? TRANSPORT_HIGH_WATER_BYTES) < TRANSPORT_HIGH_WATER_BYTES,
      say: (frame) => this.#say(frame),
    });
  }

  get isAttached(): boolean {
    return this.#carrier !== undefined;
  }
  /** Of the present carrier's last answered ping, in milliseconds. */
  get roundTripMs(): number | undefined {
    return this.#liveness?.roundTripMs;
  }
  get shortestRoundTripMs(): number | undefined {
    return this.#liveness?.shortestRoundTripMs;
  }
  get timers(): number {
    return (this.#resumeTimer === undefined ? 0 : 1) + this.#answers.timers + (this.#liveness?.timers ?? 0);
  }

  /** Sent and not acknowledged. */
  get unackedBytes(): number {
    return this.#unacked.bytes;
  }

  /** At least TRANSPORT_HIGH_WATER_BYTES while there is no carrier, or too much is not acknowledged. */
  get bufferedBytes(): number {
    const carrier = this.#carrier;
    const bytes = (carrier?.bufferedBytes ?? 0) + this.#unacked.unsentBytes;
    const isFull = carrier === undefined || this.#unacked.bytes >= this.#limits.maxUnackedBytes;
    return isFull ? Math.max(bytes, TRANSPORT_HIGH_WATER_BYTES) : bytes;
  }

  /**
   * Goes on over `carrier`, an authenticated one, paused behind its handshake; a carrier there was before is cut. Takes it over.
   * @param at what the handshake told
   * @throws InterceptorError PROTOCOL_BAD_FRAME, TUNNEL_LOST: the two ends do not fit, or the link is over; it is over then
   */
  attach(carrier: Transport, at: ResumePoint): void {
    try {
      if (this.#over) throw lost('the tunnel is over');
      if (at.received > this.received) throw lost('more was told to be received than there was');
      this.#unacked.acknowledge(at.peerReceived);
    } catch (error) {
      carrier.terminate();
      if (error instanceof Error) this.fail(error);
      throw error;
    }
    this.#letGo()?.terminate();
    this.detachedSinceMs = undefined;
    this.begun = true;
    this.#carrier = carrier;
    this.#unacked.rewind();
    // Came in over the carrier before while the handshake was on its way: the peer sends it again.
    this.#toSkip = this.received - at.received;
    carrier.onDrain = () => this.#drained();
    carrier.onMessage = (message) => this.#receive(message);
    carrier.onClose = (error) => {
      if (this.resumeMs === 0) this.#end(error);
      else this.lose(error ?? new Error('closed by someone between'));
    };
    this.#liveness = new Liveness(
      this.#limits.pingIntervalMs,
      this.#limits.pingDeadlineMs * this.#patience.factor(this.#unacked.bytes > 0),
      (token) => this.#say({ type: 'ping', token }),
      (silentMs) => {
        this.#patience.silent();
        this.lose(lost(`the carrier was silent for ${Math.round(silentMs)} ms`));
      },
    );
    if (this.#paused) carrier.pause();
    else carrier.resume();
    this.#options.onAttached?.();
    this.#drained();
  }

  /** Cuts the carrier; the link goes on with the next one. */
  lose(reason: Error): void {
    if (this.#carrier === undefined) return;
    this.#letGo()?.terminate();
    if (this.resumeMs === 0) {
      this.#end(reason);
      return;
    }
    this.#log.debug('carrier lost', { reason: reason.message });
    this.detachedSinceMs = performance.now();
    this.#resumeTimer = setTimeout(() => {
      this.#end(lost(`no carrier for ${this.resumeMs / 1000} s: ${reason.message}`, reason));
    }, this.resumeMs);
    this.#options.onDetached?.(reason);
  }

  /** Ends at once: the peer does not know it any more, or nobody will bring another carrier. */
  fail(reason: Error): void {
    if (this.#over) return;
    this.#sayClose();
    this.#end(reason);
  }

  send(message: Uint8Array, onSent?: () => void): void {
    if (this.#over) return;
    if (this.resumeMs === 0) this.#carrier?.send(message, onSent);
    else {
      this.#unacked.add(message, onSent);
      if (this.#carrier !== undefined) this.#unacked.pump(this.#carrier);
    }
    const unread = Math.max(this.#unacked.bytes, this.#carrier?.bufferedBytes ?? 0);
    if (unread > this.#limits.maxUnsentBytes) this.fail(lost('the peer does not read'));
  }

  override pause(): void {
    this.#paused = true;
    super.pause();
    this.#carrier?.pause();
  }

  override resume(): void {
    this.#paused = false;
    super.resume();
    this.#carrier?.resume();
  }

  /** Sends what is kept, and that it is over. Without a carrier the peer is not told: it waits for its own time. */
  close(): void {
    if (this.#over) return;
    if (this.#carrier !== undefined) while (this.#unacked.sendNext(this.#carrier));
    this.#sayClose();
    this.#finishWith(this.#settle());
  }

  /** Ends at once, for good; the peer is told where that takes no waiting. */
  terminate(): void {
    if (this.#over) return;
    this.#sayClose();
    this.#end(undefined);
  }

  // ---- the carrier

  #receive(message: Uint8Array): void {
    this.#liveness?.heard();
    if (isOfLink(message)) {
      try {
        this.#handle(message);
      } catch (error) {
        this.fail(error instanceof Error ? error : new InterceptorError('INTERNAL', errorText(error)));
      }
      return;
    }
    this.#patience.hasMoved = true;
    if (this.resumeMs > 0) this.#answers.received(message.byteLength);
    if (this.#toSkip > 0) {
      this.#toSkip -= 1;
      return;
    }
    this.received += 1;
    this.deliver(message);
  }

  #handle(message: Uint8Array): void {
    const frame = readLinkFrame(message);
    switch (frame.type) {
      case 'ping':
        this.#answers.ping(frame.token);
        return;
      case 'pong':
        this.#liveness?.pong(frame.token);
        return;
      case 'ack':
        this.#acknowledged(Number(frame.messages));
        return;
      case 'close':
        this.#carrier?.close();
        this.#finishWith(this.#settle());
        return;
      default:
        frame satisfies never;
    }
  }

  #acknowledged(count: number): void {
    if (this.resumeMs === 0) return;
    const wasFull = this.#unacked.bytes >= this.#limits.maxUnackedBytes;
    this.#unacked.acknowledge(count);
    this.#patience.hasMoved = true;
    if (wasFull && this.#unacked.bytes < this.#limits.maxUnackedBytes) this.onDrain?.();
  }

  /** @returns the carrier there was; nothing of it comes here any more */
  #letGo(): Transport | undefined {
    const carrier = this.#carrier;
    this.#carrier = undefined;
    this.#liveness?.stop();
    this.#liveness = undefined;
    this.#answers.clear();
    clearTimeout(this.#resumeTimer);
    this.#resumeTimer = undefined;
    if (carrier === undefined) return undefined;
    this.#patience.gone();
    disown(carrier);
    return carrier;
  }

  #end(reason: Error | undefined): void {
    if (this.#over) return;
    this.#settle();
    this.finish(reason);
  }

  /** Not before the carrier has closed: readers take what came right before the end. */
  #finishWith(carrier: Transport | undefined): void {
    if (carrier === undefined) this.finish(undefined);
    else carrier.onClose = () => this.finish(undefined);
  }

  /** No more carriers, nothing kept. @returns the carrier there was */
  #settle(): Transport | undefined {
    this.#over = true;
    const carrier = this.#letGo();
    this.#unacked.clear();
    return carrier;
  }

  // ---- sending

  #drained(): void {
    this.#answers.flush();
    if (this.#carrier !== undefined) this.#unacked.pump(this.#carrier);
    if (this.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES) this.onDrain?.();
  }

  #say(frame: Frame): void {
    this.#carrier?.send(this.#writer.frame(frame).take());
  }

  /** Tells the peer that it is over, and closes the carrier. */
  #sayClose(): void {
    if (this.#carrier !== undefined) closeWith(this.#carrier, this.#writer.frame({ type: 'close' }).take());
  }
}
