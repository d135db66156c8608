import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { confirmEnd } from '../src/net/confirm-end.ts';
import { closeAfterFailedReset } from '../src/net/failed-reset.ts';
import { MAX_REPLAY_BYTES, OPEN_TIMEOUT_MS, PROOF_LINGER_MS, PROOF_PEEK_MS } from './limits.ts';
import type { ProofGate } from './proof.ts';

/** A socket or a MuxStream: half-open, and able to tell its peer of a failure. */
export interface Resettable extends Duplex {
  resetAndDestroy(): unknown;
}

/** A stream to the laptop; `opened` settles once the session has connected it to the process, or will not. */
export interface LaptopStream extends Resettable {
  readonly opened: Promise<void>;
}

/** What one connection needs to know of its route. */
export interface ConnectionRoute {
  /** A new stream to the laptop when it is to answer, else undefined. Never throws. */
  openLaptop(callerHost: string): LaptopStream | undefined;
  /** A socket on its way to the app; half-open. */
  dialApp(): Resettable;
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

  constructor(caller: Socket, route: ConnectionRoute) {
    this.#caller = caller;
    this.#route = route;
    closeAfterFailedReset(caller);
    caller.on('data', (chunk: Buffer) => this.#onCallerData(chunk));
    caller.on('end', () =>
      confirmEnd(caller, () => {
        this.#callerEnded = true;
        this.#peer?.end();
      }),
    );
    caller.on('drain', () => this.#peer?.resume());
    caller.on('close', () => this.#onCallerClose());
    const gate = route.proofGate;
    if (gate === undefined) this.#begin();
    else this.#awaitProof(gate);
  }

  /** Cuts both sides. */
  reset(): void {
    reset(this.#caller);
    if (this.#peer !== undefined) reset(this.#peer);
  }

  #begin(): void {
    const stream = this.#route.openLaptop(callerHost(this.#caller));
    if (stream === undefined) this.#answerByApp();
    else this.#answerByLaptop(stream);
  }

  #answerByLaptop(stream: LaptopStream): void {
    const fallBack = (): void => {
      if (this.#peer !== stream || this.#kept === undefined) return;
      clearTimeout(this.#timer);
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
    this.#timer = setTimeout(fallBack, OPEN_TIMEOUT_MS);
    stream.opened.then(() => {
      if (this.#peer === stream && this.#kept !== undefined) this.#decided(stream);
    }, fallBack);
  }

  #answerByApp(): void {
    const app = this.#route.dialApp();
    this.#attach(app, () => {});
    this.#decided(app);
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
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#kept = undefined;
    this.#keptBytes = 0;
    peer.on('data', (chunk: Buffer) => {
      if (!this.#caller.write(chunk)) peer.pause();
    });
    peer.on('end', () => confirmEnd(peer, () => this.#caller.end()));
    this.#resumeCaller();
  }

  #onCallerData(chunk: Buffer): void {
    if (this.#kept !== undefined) {
      this.#kept.push(chunk);
      this.#keptBytes += chunk.byteLength;
    }
    const peer = this.#peer;
    if (peer === undefined) return;
    if (!peer.write(chunk) || this.#keptBytes >= MAX_REPLAY_BYTES) this.#caller.pause();
  }

  #resumeCaller(): void {
    if (this.#keptBytes < MAX_REPLAY_BYTES && this.#peer?.writableNeedDrain !== true) this.#caller.resume();
  }

  #onCallerClose(): void {
    this.#callerClosed = true;
    const peer = this.#peer;
    if (peer !== undefined && !endedWell(this.#caller)) reset(peer);
    if (peer === undefined || this.#peerClosed) this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#kept = undefined;
    this.#route.onDone(this);
  }

  /** Holds the first bytes back for a moment; unless they are a proof request, the connection then begins as any other. */
  #awaitProof(gate: ProofGate): void {
    const caller = this.#caller;
    const stop = (): void => {
      clearTimeout(this.#timer);
      caller.off('data', judge);
      caller.off('end', pass);
    };
    const pass = (): void => {
      stop();
      if (!caller.destroyed) this.#begin();
    };
    const judge = (): void => {
      const verdict = gate.judge(Buffer.concat(this.#kept ?? []));
      if (verdict === 'wait') return;
      if (verdict === 'pass') {
        pass();
        return;
      }
      stop();
      this.#kept = undefined;
      caller.end(verdict.answer);
      caller.on('finish', () => caller.setTimeout(PROOF_LINGER_MS, () => caller.destroy()));
    };
    caller.on('data', judge);
    caller.on('end', pass);
    this.#timer = setTimeout(pass, PROOF_PEEK_MS);
  }
}

/** Destroys so that the other end sees a reset, not an end. */
export function reset(side: Resettable): void {
  if (side.destroyed) return;
  // resetAndDestroy() of a socket that still dials waits for the connection.
  if (side instanceof Socket && side.connecting) side.destroy();
  else side.resetAndDestroy();
}

/** Whether all that was sent to and by this side has passed. */
function endedWell(side: Duplex): boolean {
  return side.readableEnded && side.writableFinished && side.errored === null;
}

/** The caller's address; IPv4 in its usual form although the listener is dual-stack. */
function callerHost(caller: Socket): string {
  const address = caller.remoteAddress ?? '';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
