import type { Socket } from 'node:net';
import { Copies, NO_COPIES } from '../src/http/h1/copies.ts';
import { sideBytes } from '../src/http/meter.ts';
import { type Resettable, VANISHED } from '../src/http/routing.ts';
import { confirmEnd } from '../src/net/confirm-end.ts';
import { endedWell } from '../src/net/ended-well.ts';
import { closeAfterFailedReset } from '../src/net/failed-reset.ts';
import type { ConnectionRoute } from './connection-route.ts';
import { GoawayInsertion } from './goaway.ts';
import { KeepAlive } from './keep-alive.ts';
import { LaptopStay } from './laptop-stay.ts';
import { KEEP_ALIVE_IDLE_MS, LINGER_MS } from './limits.ts';
import { waitForProof } from './proof-wait.ts';
import type { Reach } from './reach.ts';
import { refuseCaller, sayRefusal } from './refuse-caller.ts';
import { ReplayBuffer } from './replay-buffer.ts';
import { callerHost, type LaptopStream, reset } from './sides.ts';

/**
 * One caller of a route port and who answers it. The bytes the caller sent are kept until it is certain who answers: with
 * the session's OPENED, or at once when it is the app. Until then a refusal, a lost tunnel or silence leads to the app, which
 * gets the same bytes; afterwards a failure on one side is a reset on the other. One pair of pumps serves the connection
 * from accept to close: stream.pipeline() costs a third of the requests per second (LIBRARIES.md, http-proxy table), and
 * would have to begin anew when the answering side changes. In one file, as pumps and fall-backs are one state machine.
 */
export class Connection {
  readonly #caller: Socket;
  readonly #route: ConnectionRoute<Connection>;
  #peer: Resettable | undefined;
  #peerClosed = true;
  #callerClosed = false;
  #callerEnded = false;
  readonly #kept = new ReplayBuffer();
  #timer: NodeJS.Timeout | undefined;
  #copies = NO_COPIES;
  /** While the app answers. */
  #keepAlive: KeepAlive | undefined;
  /** Set once an HTTP/2 client of the app was to go. */
  #goaway: GoawayInsertion | undefined;
  /** While a laptop answers, or is to. */
  #laptop: LaptopStay | undefined;
  /** Of the laptop that has the connection, or had it until it vanished. */
  #reach: Reach | undefined;
  #stopRefusal: () => void = () => {};
  #stopProof: () => void = () => {};
  /** The caller was told that there will be no more answers. */
  #leaving = false;

  constructor(caller: Socket, route: ConnectionRoute<Connection>) {
    this.#caller = caller;
    this.#route = route;
    closeAfterFailedReset(caller);
    caller.on('data', (chunk: Buffer) => this.#onCallerData(chunk));
    caller.on('end', () =>
      confirmEnd(caller, () => {
        this.#callerEnded = true;
        this.#copies.end();
        if (!this.#isHeldBack) this.#peer?.end();
      }),
    );
    caller.on('drain', () => this.#peer?.resume());
    caller.on('close', () => this.#onCallerClose());
    const gate = route.proofGate;
    if (gate === undefined) {
      this.#beginCopies([]);
      this.#begin();
    } else
      this.#stopProof = waitForProof(caller, gate, {
        begin: () => this.#begin(),
        isCallers: (first) => this.#beginCopies(first),
        isProof: () => this.#kept.forget(),
      });
  }

  /** What waits here for somebody to take it, in bytes. */
  get heldBytes(): number {
    const peerBytes = this.#peer === undefined ? 0 : sideBytes(this.#peer);
    return this.#kept.heldBytes + (this.#laptop?.inFlight?.heldBytes ?? 0) + sideBytes(this.#caller) + peerBytes;
  }

  /** Cuts both sides. */
  reset(): void {
    reset(this.#caller);
    if (this.#peer !== undefined) reset(this.#peer);
  }

  /**
   * Ends the connection between two HTTP/1 requests, as a server does with one that it has kept for long enough; an HTTP/2
   * client is asked to finish and go. One that is not the app's, or no HTTP, goes on as it is.
   */
  endBetweenRequests(): void {
    const keepAlive = this.#keepAlive;
    if (keepAlive === undefined || this.#leaving || this.#callerEnded) return;
    if (keepAlive.frames !== undefined) {
      this.#goaway ??= new GoawayInsertion(this.#caller, keepAlive.frames);
      this.#goaway.request();
      return;
    }
    const idleMs = this.#caller.writableLength > 0 ? 0 : keepAlive.idleMs; // it has not read its answer yet
    const leftMs = KEEP_ALIVE_IDLE_MS - idleMs;
    if (leftMs > 0) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.endBetweenRequests(), leftMs);
      return;
    }
    this.#leaving = true;
    this.#caller.end();
    this.#peer?.end();
    this.#timer = setTimeout(() => {
      this.#caller.destroy(); // a reset would take back what it has not read
      if (this.#peer !== undefined) reset(this.#peer);
    }, LINGER_MS);
  }

  /** Who answers is decided once it is known whether the laptop can be reached. */
  #begin(): void {
    const reach = this.#route.reach();
    if (reach?.state !== 'waiting') this.#choose();
    else
      void reach.settled().then(() => {
        if (!this.#callerClosed) this.#choose();
      });
  }

  #choose(): void {
    const stream = this.#route.openLaptop(callerHost(this.#caller));
    if (stream !== undefined) this.#answerByLaptop(stream);
    else {
      this.#reach = this.#route.reach();
      this.#answerByApp();
    }
  }

  /** @param first what the caller has sent so far */
  #beginCopies(first: readonly Buffer[]): void {
    const mirrors = this.#route.mirrors(callerHost(this.#caller));
    if (mirrors.length === 0) return;
    this.#copies = new Copies(mirrors);
    for (const chunk of first) this.#copies.write(chunk);
    if (this.#callerEnded) this.#copies.end();
  }

  #answerByLaptop(stream: LaptopStream): void {
    const fallBack = (): void => {
      if (this.#peer === stream && this.#kept.chunks !== undefined) this.#leaveLaptop(this.#kept.chunks);
    };
    const reach = this.#route.reach();
    const stay = new LaptopStay({
      reach,
      maxWaitMs: (sinceMs) => this.#route.maxWaitMs(sinceMs),
      onLate: fallBack,
      onGone: () => this.#onLaptopGone(),
    });
    this.#reach = reach;
    this.#laptop = stay;
    this.#attach(stream, fallBack);
    stream.opened.then(() => {
      const asked = this.#kept.chunks;
      if (this.#peer !== stream || asked === undefined) return;
      stay.taken(asked, this.#route.onTaken());
      this.#decided(stream);
    }, fallBack);
  }

  /** The app is to answer in the laptop's place. @param asked what it has to answer, from its first byte on */
  #leaveLaptop(asked: Buffer[]): void {
    const stream = this.#peer;
    this.#laptop?.leave();
    this.#laptop = undefined;
    this.#peer = undefined;
    this.#peerClosed = true;
    this.#kept.restart(asked);
    if (stream !== undefined) reset(stream);
    if (this.#callerClosed) {
      this.#finish();
      return;
    }
    this.#route.onFallBack();
    this.#answerByApp();
  }

  /** Who waits for the laptop to take it, or asks nothing just now, is the app's from now on; what is under way waits. */
  #onLaptopGone(): void {
    if (this.#kept.chunks !== undefined) this.#leaveLaptop(this.#kept.chunks);
    else if (this.#laptop?.inFlight?.isIdle === true && this.#route.refusal() === undefined) this.#leaveLaptop([]);
  }

  /** What is kept is a request for a laptop that is away. */
  get #isHeldBack(): boolean {
    return this.#kept.chunks !== undefined && this.#laptop?.inFlight !== undefined;
  }

  /** A request that comes while the laptop is away is held until it is known who gets it. @returns whether this is one */
  #holdsBack(chunk: Buffer): boolean {
    const reach = this.#reach;
    const inFlight = this.#laptop?.inFlight;
    if (inFlight === undefined || reach === undefined || reach.state === 'reachable' || !inFlight.isIdle) return false;
    this.#kept.restart([chunk]);
    void reach.settled().then(() => {
      const asked = this.#kept.chunks;
      if (asked === undefined || this.#laptop?.inFlight !== inFlight || this.#callerClosed) return;
      if (reach.state !== 'reachable') {
        this.#leaveLaptop(asked);
        return;
      }
      this.#kept.forget();
      for (const each of asked) {
        inFlight.asked(each);
        this.#peer?.write(each);
      }
      if (this.#callerEnded) this.#peer?.end();
      this.#resumeCaller();
    });
    return true;
  }

  /** The app has answered in place of a laptop that is back: the next request begins anew. @returns whether `chunk` is one */
  #goesBack(chunk: Buffer): boolean {
    if (this.#reach?.state !== 'reachable' || this.#keepAlive?.isBetween !== true) return false;
    const app = this.#peer;
    this.#peer = undefined;
    this.#peerClosed = true;
    this.#keepAlive = undefined;
    this.#goaway = undefined;
    this.#kept.restart([chunk]);
    if (app !== undefined) reset(app);
    this.#begin();
    return true;
  }

  #answerByApp(): void {
    const reason = this.#route.refusal();
    if (reason !== undefined) {
      this.#refuse(reason);
      return;
    }
    const app = this.#route.dialApp();
    this.#attach(app, () => {});
    this.#goaway = undefined;
    this.#keepAlive = new KeepAlive();
    for (const chunk of this.#kept.chunks ?? []) this.#keepAlive.asked(chunk);
    this.#decided(app);
  }

  #refuse(reason: string): void {
    const first = this.#kept.chunks ?? [];
    this.#leaving = true;
    this.#kept.forget();
    this.#caller.resume();
    this.#stopRefusal = refuseCaller(this.#caller, first, reason);
  }

  /** Sends `peer` what the caller sent so far, and all that follows. */
  #attach(peer: Resettable, onUndecidedClose: () => void): void {
    this.#peer = peer;
    this.#peerClosed = false;
    closeAfterFailedReset(peer);
    peer.on('drain', () => this.#resumeCaller());
    peer.on('close', () => {
      if (this.#peer !== peer) return;
      if (this.#kept.chunks !== undefined) {
        onUndecidedClose();
        return;
      }
      this.#peerClosed = true;
      if (!endedWell(peer)) this.#onPeerLost(peer);
      if (this.#callerClosed) this.#finish();
    });
    for (const chunk of this.#kept.chunks ?? []) peer.write(chunk);
    if (this.#callerEnded) peer.end();
  }

  /** What a laptop that is gone for good was asked is for the app where that does no harm, else its caller is told. */
  #onPeerLost(peer: Resettable): void {
    const inFlight = this.#laptop?.inFlight;
    const isGone = peer.resetReason === 'gone';
    const asked = inFlight?.replayable;
    if (inFlight === undefined || !isGone || this.#callerClosed || this.#leaving) reset(this.#caller);
    else if (asked !== undefined) this.#leaveLaptop(asked);
    else if (inFlight.isUnanswered) {
      this.#leaving = true;
      this.#peer = undefined;
      const timer = sayRefusal(this.#caller, 502, VANISHED, inFlight.asksHead);
      this.#stopRefusal = () => clearTimeout(timer);
    } else reset(this.#caller);
  }

  /** `peer` answers: nothing is kept any more, and what it sends reaches the caller. */
  #decided(peer: Resettable): void {
    this.#kept.forget();
    const keepAlive = this.#keepAlive;
    const inFlight = this.#laptop?.inFlight;
    peer.on('data', (chunk: Buffer) => {
      if (this.#peer !== peer) return;
      keepAlive?.answered(chunk);
      inFlight?.answered(chunk);
      const takesMore = this.#goaway === undefined ? this.#caller.write(chunk) : this.#goaway.pass(chunk);
      if (!takesMore) peer.pause();
    });
    peer.on('end', () =>
      confirmEnd(peer, () => {
        if (this.#peer === peer) this.#caller.end();
      }),
    );
    this.#resumeCaller();
  }

  #onCallerData(chunk: Buffer): void {
    this.#kept.push(chunk);
    this.#copies.write(chunk);
    const peer = this.#peer;
    if (peer === undefined || this.#isHeldBack) {
      if (this.#kept.isFull) this.#caller.pause();
      return;
    }
    if (this.#leaving) {
      this.reset(); // too late for one more request
      return;
    }
    if (this.#holdsBack(chunk) || this.#goesBack(chunk)) return;
    this.#keepAlive?.asked(chunk);
    this.#laptop?.inFlight?.asked(chunk);
    if (!peer.write(chunk) || this.#kept.isFull) this.#caller.pause();
  }

  #resumeCaller(): void {
    if (!this.#kept.isFull && this.#peer?.writableNeedDrain !== true) this.#caller.resume();
  }

  #onCallerClose(): void {
    this.#callerClosed = true;
    const peer = this.#peer;
    if (!this.#caller.readableEnded) this.#copies.cut();
    if (peer !== undefined && !endedWell(this.#caller)) reset(peer);
    if (peer === undefined || this.#peerClosed) this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#stopRefusal();
    this.#stopProof();
    this.#kept.forget();
    this.#laptop?.leave();
    this.#route.onDone(this);
  }
}
