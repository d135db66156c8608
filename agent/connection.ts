import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Copies, NO_COPIES } from '../src/http/h1/copies.ts';
import { refusalPage } from '../src/http/h1/page.ts';
import type { Mirror, Resettable } from '../src/http/routing.ts';
import { confirmEnd } from '../src/net/confirm-end.ts';
import { closeAfterFailedReset } from '../src/net/failed-reset.ts';
import { GOAWAY } from './frame-ends.ts';
import { beginsLikeHttp, KeepAlive } from './keep-alive.ts';
import { OpenDeadline } from './laptop-way.ts';
import {
  KEEP_ALIVE_IDLE_MS,
  LINGER_MS,
  MAX_REPLAY_BYTES,
  PROOF_LINGER_MS,
  PROOF_PEEK_MS,
  REFUSAL_PEEK_MS,
} from './limits.ts';
import type { ProofGate } from './proof.ts';
import { callerHost, type LaptopStream, reset } from './sides.ts';

/** What one connection needs to know of its route. */
export interface ConnectionRoute {
  /** A new stream to the laptop when it is to answer, else undefined. Never throws. */
  openLaptop(callerHost: string): LaptopStream | undefined;
  /** How long the laptop may take to say OPENED to a caller of `sinceMs` (performance.now()); may change meanwhile. */
  maxWaitMs(sinceMs: number): number;
  /** It has said so. @returns to be called when the connection is over */
  onTaken(): () => void;
  /** Why nobody answers whom the laptop does not take; undefined: the app does. */
  refusal(): string | undefined;
  /** A socket on its way to the app; half-open. */
  dialApp(): Resettable;
  /** Who gets a copy of what the caller sends. */
  mirrors(callerHost: string): readonly Mirror[];
  /** Set while a proof request is expected. */
  readonly proofGate: ProofGate | undefined;
  /** Everything of this connection is closed. */
  onDone(connection: Connection): void;
  /** The laptop did not take it, so the app gets it. */
  onFallBack(): void;
}

/**
 * One caller of a route port and who answers it. The bytes the caller sent are kept until it is certain who answers: with
 * the session's OPENED, or at once when it is the app. Until then a refusal, a lost tunnel or silence leads to the app, which
 * gets the same bytes; afterwards a failure on one side is a reset on the other. One pair of pumps serves the connection
 * from accept to close: stream.pipeline() costs a third of the requests per second (LIBRARIES.md, http-proxy table), and
 * would have to begin anew when the answering side changes.
 */
export class Connection {
  readonly #caller: Socket;
  readonly #route: ConnectionRoute;
  #peer: Resettable | undefined;
  #peerClosed = true;
  #callerClosed = false;
  #callerEnded = false;
  /** Undefined once it is certain who answers. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #deadline: OpenDeadline | undefined;
  #copies = NO_COPIES;
  /** While the app answers. */
  #keepAlive: KeepAlive | undefined;
  /** An HTTP/2 client is to go, once a frame has ended. */
  #goawayDue = false;
  /** The caller was told that there will be no more answers. */
  #leaving = false;
  #onOver: () => void = () => {};

  constructor(caller: Socket, route: ConnectionRoute) {
    this.#caller = caller;
    this.#route = route;
    closeAfterFailedReset(caller);
    caller.on('data', (chunk: Buffer) => this.#onCallerData(chunk));
    caller.on('end', () =>
      confirmEnd(caller, () => {
        this.#callerEnded = true;
        this.#copies.end();
        this.#peer?.end();
      }),
    );
    caller.on('drain', () => this.#peer?.resume());
    caller.on('close', () => this.#onCallerClose());
    const gate = route.proofGate;
    if (gate === undefined) {
      this.#beginCopies([]);
      this.#begin();
    } else this.#awaitProof(gate);
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
      this.#goawayDue = true;
      if (keepAlive.frames.isBetweenFrames) this.#sayGoaway();
      return;
    }
    const leftMs = KEEP_ALIVE_IDLE_MS - keepAlive.idleMs;
    if (leftMs > 0) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.endBetweenRequests(), leftMs);
      return;
    }
    this.#leaving = true;
    this.#caller.end();
    this.#peer?.end();
    this.#timer = setTimeout(() => this.reset(), LINGER_MS);
  }

  #sayGoaway(): void {
    this.#goawayDue = false;
    this.#caller.write(GOAWAY);
  }

  #begin(): void {
    const stream = this.#route.openLaptop(callerHost(this.#caller));
    if (stream === undefined) this.#answerByApp();
    else this.#answerByLaptop(stream);
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
      if (this.#peer !== stream || this.#kept === undefined) return;
      this.#deadline?.clear();
      reset(stream);
      this.#peer = undefined;
      if (this.#callerClosed) {
        this.#finish();
      } else {
        this.#route.onFallBack();
        this.#answerByApp();
      }
    };
    this.#attach(stream, fallBack);
    this.#deadline = new OpenDeadline((sinceMs) => this.#route.maxWaitMs(sinceMs), fallBack);
    stream.opened.then(() => {
      if (this.#peer !== stream || this.#kept === undefined) return;
      this.#onOver = this.#route.onTaken();
      this.#decided(stream);
    }, fallBack);
  }

  #answerByApp(): void {
    const reason = this.#route.refusal();
    if (reason !== undefined) {
      this.#refuse(reason);
      return;
    }
    const app = this.#route.dialApp();
    this.#attach(app, () => {});
    this.#keepAlive = new KeepAlive();
    for (const chunk of this.#kept ?? []) this.#keepAlive.asked(chunk);
    this.#decided(app);
  }

  /** Nobody answers: who speaks HTTP is told why, others are reset. */
  #refuse(reason: string): void {
    const caller = this.#caller;
    const refuse = (): void => {
      clearTimeout(this.#timer);
      caller.off('data', refuse);
      caller.off('end', refuse);
      const first = Buffer.concat(this.#kept ?? []);
      this.#kept = undefined;
      this.#keptBytes = 0;
      if (caller.destroyed) return;
      if (!beginsLikeHttp(first)) {
        reset(caller);
        return;
      }
      this.#leaving = true;
      caller.end(refusalPage(503, reason, { close: true, toHead: first.toString('latin1', 0, 5) === 'HEAD ' }));
      caller.resume();
      this.#timer = setTimeout(() => reset(caller), LINGER_MS);
    };
    if (this.#keptBytes > 0 || this.#callerEnded) {
      refuse();
      return;
    }
    caller.on('data', refuse);
    caller.on('end', refuse);
    this.#timer = setTimeout(refuse, REFUSAL_PEEK_MS);
  }

  /** Sends `peer` what the caller sent so far, and all that follows. */
  #attach(peer: Resettable, onUndecidedClose: () => void): void {
    this.#peer = peer;
    this.#peerClosed = false;
    closeAfterFailedReset(peer);
    peer.on('drain', () => this.#resumeCaller());
    peer.on('close', () => {
      if (this.#peer !== peer) return;
      if (this.#kept !== undefined) {
        onUndecidedClose();
        return;
      }
      this.#peerClosed = true;
      if (!endedWell(peer)) reset(this.#caller);
      if (this.#callerClosed) this.#finish();
    });
    for (const chunk of this.#kept ?? []) peer.write(chunk);
    if (this.#callerEnded) peer.end();
  }

  /** `peer` answers: nothing is kept any more, and what it sends reaches the caller. */
  #decided(peer: Resettable): void {
    this.#deadline?.clear();
    this.#kept = undefined;
    this.#keptBytes = 0;
    const keepAlive = this.#keepAlive;
    peer.on('data', (chunk: Buffer) => {
      keepAlive?.answered(chunk);
      const frameEnd = this.#goawayDue ? keepAlive?.frames?.lastEnd : undefined;
      if (frameEnd !== undefined) {
        this.#caller.write(chunk.subarray(0, frameEnd));
        this.#sayGoaway();
      }
      const rest = frameEnd === undefined ? chunk : chunk.subarray(frameEnd);
      if (!this.#caller.write(rest)) peer.pause();
    });
    peer.on('end', () => confirmEnd(peer, () => this.#caller.end()));
    this.#resumeCaller();
  }

  #onCallerData(chunk: Buffer): void {
    if (this.#kept !== undefined) {
      this.#kept.push(chunk);
      this.#keptBytes += chunk.byteLength;
    }
    this.#copies.write(chunk);
    const peer = this.#peer;
    if (peer === undefined) return;
    if (this.#leaving) {
      this.reset(); // too late for one more request
      return;
    }
    this.#keepAlive?.asked(chunk);
    if (!peer.write(chunk) || this.#keptBytes >= MAX_REPLAY_BYTES) this.#caller.pause();
  }

  #resumeCaller(): void {
    if (this.#keptBytes < MAX_REPLAY_BYTES && this.#peer?.writableNeedDrain !== true) this.#caller.resume();
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
    this.#deadline?.clear();
    this.#kept = undefined;
    this.#onOver();
    this.#route.onDone(this);
  }

  /**
   * Holds the first bytes back for a moment; unless they are a proof request, the connection then begins like others. One that
   * says nothing meanwhile begins without copies: they are made when it is certain that it is no proof that came late.
   */
  #awaitProof(gate: ProofGate): void {
    const caller = this.#caller;
    const first: Buffer[] = [];
    let begun = false;
    const stop = (): void => {
      if (!begun) clearTimeout(this.#timer);
      caller.off('data', judge);
      caller.off('end', pass);
    };
    const pass = (): void => {
      stop();
      if (caller.destroyed) return;
      this.#beginCopies(first);
      if (!begun) this.#begin();
    };
    const late = (): void => {
      if (caller.destroyed) return;
      begun = true;
      this.#begin();
    };
    const judge = (chunk: Buffer): void => {
      first.push(chunk);
      const verdict = gate.judge(Buffer.concat(first));
      if (verdict === 'wait') return;
      if (verdict === 'pass') {
        pass();
        return;
      }
      stop();
      if (begun) return; // somebody else answers it by now
      this.#kept = undefined;
      caller.end(verdict.answer);
      caller.on('finish', () => caller.setTimeout(PROOF_LINGER_MS, () => caller.destroy()));
    };
    caller.on('data', judge);
    caller.on('end', pass);
    this.#timer = setTimeout(late, PROOF_PEEK_MS);
  }
}

/** Whether all that was sent to and by this side has passed. */
function endedWell(side: Duplex): boolean {
  return side.readableEnded && side.writableFinished && side.errored === null;
}
