import type { Socket } from 'node:dgram';
import { LengthPrefixReader, MAX_PREFIXED_BYTES, withLength } from '../../src/net/length-prefix.ts';
import type { Claim } from '../claim.ts';
import { held } from '../held-bytes.ts';
import { type LaptopCarrier, maxWaitMs, OpenDeadline, refuses } from '../laptop-way.ts';
import { MAX_KEPT_DATAGRAM_BYTES, MAX_UDP_UNSENT_BYTES, UDP_ANSWERED_IDLE_MS, UDP_IDLE_MS } from '../limits.ts';
import { type LaptopStream, reset } from '../sides.ts';

/** What a flow needs of its port. */
export interface FlowRoute {
  /** Who has the port now. */
  claim(): Claim<LaptopCarrier> | undefined;
  /** A stream of datagrams to the claim's laptop; undefined: it cannot be had. Never throws. */
  openLaptop(claim: Claim<LaptopCarrier>): LaptopStream | undefined;
  /** A socket that only the app can answer, connected soon; undefined: there is no app. */
  dialApp(): Socket | undefined;
  /** Sends a datagram to the client. */
  answer(datagram: Buffer): void;
  onOver(): void;
}

interface Peer {
  send(datagram: Buffer): void;
  close(): void;
}

/**
 * The datagrams of one client: to the laptop while it has the port, else to the app. Who answers is looked at with every
 * datagram and every change of claims. What finds no room is dropped, as in a network.
 */
export class Flow {
  readonly #route: FlowRoute;
  readonly #idleMs: number;
  #peer: Peer | undefined;
  /** Whom `#peer` was chosen for; a laptop that refused the flow is not asked again while it is the same. */
  #chosenFor: LaptopCarrier | undefined;
  #answered = false;
  #lastMs = performance.now();
  #timer: NodeJS.Timeout;

  constructor(route: FlowRoute, idleMs = UDP_IDLE_MS) {
    this.#route = route;
    this.#idleMs = idleMs;
    this.#timer = setTimeout(() => this.#checkIdle(), idleMs);
  }

  /** The client sent something. */
  push(datagram: Buffer): void {
    this.#lastMs = performance.now();
    this.recheck();
    if (this.#peer === undefined) {
      const claim = this.#route.claim();
      this.#chosenFor = claim?.carrierOrSoon;
      this.#peer = this.#choose(claim);
    }
    this.#peer?.send(datagram);
  }

  /** Lets go of who answered when somebody else has the port. */
  recheck(): void {
    const peer = this.#peer;
    if (peer === undefined || this.#route.claim()?.carrierOrSoon === this.#chosenFor) return;
    this.#peer = undefined;
    peer.close();
  }

  close(): void {
    clearTimeout(this.#timer);
    const peer = this.#peer;
    this.#peer = undefined;
    peer?.close();
    this.#route.onOver();
  }

  #choose(claim: Claim<LaptopCarrier> | undefined): Peer | undefined {
    if (claim?.carrierOrSoon !== undefined) {
      const stream = this.#route.openLaptop(claim);
      if (stream !== undefined) return this.#toLaptop(stream, claim);
    }
    return this.#withoutLaptop(claim);
  }

  #withoutLaptop(claim: Claim<LaptopCarrier> | undefined): Peer | undefined {
    return claim !== undefined && refuses(claim) ? undefined : this.#toApp();
  }

  #toLaptop(stream: LaptopStream, claim: Claim<LaptopCarrier>): Peer {
    /** For the app, should the laptop refuse; undefined once it has not. */
    let kept: Buffer[] | undefined = [];
    let keptBytes = 0;
    const reader = new LengthPrefixReader();
    const deadline = new OpenDeadline(
      (sinceMs) => maxWaitMs(claim, sinceMs),
      () => reset(stream),
    );
    const peer: Peer = {
      send: (datagram) => {
        if (stream.destroyed || datagram.byteLength > MAX_PREFIXED_BYTES) return;
        if (kept !== undefined && keptBytes + datagram.byteLength <= MAX_KEPT_DATAGRAM_BYTES) {
          kept.push(datagram);
          keptBytes += datagram.byteLength;
        }
        if (!stream.writableNeedDrain) stream.write(withLength(datagram));
      },
      close: () => reset(stream),
    };
    stream.opened.then(
      () => {
        deadline.clear();
        kept = undefined;
        if (!stream.destroyed) stream.on('close', claim.began());
      },
      () => {}, // 'close' follows
    );
    const holder = {
      get heldBytes() {
        return (kept === undefined ? 0 : keptBytes) + stream.writableLength;
      },
      reset: () => reset(stream),
    };
    held.add(holder);
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of reader.push(chunk)) this.#fromPeer(peer, datagram);
    });
    stream.on('end', () => reset(stream)); // the process has closed its socket
    stream.on('close', () => {
      deadline.clear();
      held.delete(holder);
      if (this.#peer !== peer) return;
      this.#peer = kept === undefined ? undefined : this.#withoutLaptop(claim);
      for (const datagram of kept ?? []) this.#peer?.send(datagram);
    });
    return peer;
  }

  #toApp(): Peer | undefined {
    const socket = this.#route.dialApp();
    if (socket === undefined) return undefined;
    let state: 'connecting' | 'connected' | 'closed' = 'connecting';
    let waiting: Buffer[] = [];
    const peer: Peer = {
      send: (datagram) => {
        if (state === 'connecting') {
          if (waiting.length * MAX_PREFIXED_BYTES < MAX_UDP_UNSENT_BYTES) waiting.push(datagram);
        } else if (state === 'connected' && socket.getSendQueueSize() <= MAX_UDP_UNSENT_BYTES) {
          socket.send(datagram, () => {}); // lost, as in a network
        }
      },
      close: () => {
        if (state === 'closed') return;
        state = 'closed';
        socket.close();
        if (this.#peer === peer) this.#peer = undefined;
      },
    };
    socket.on('connect', () => {
      if (state !== 'connecting') return;
      state = 'connected';
      for (const datagram of waiting) peer.send(datagram);
      waiting = [];
    });
    socket.on('message', (datagram) => this.#fromPeer(peer, datagram));
    socket.on('error', () => peer.close()); // ECONNREFUSED: the next datagram may find the app there again
    return peer;
  }

  #fromPeer(peer: Peer, datagram: Buffer): void {
    if (this.#peer !== peer) return;
    this.#answered = true;
    this.#lastMs = performance.now();
    this.#route.answer(datagram);
  }

  #checkIdle(): void {
    const maxMs = this.#answered ? (this.#idleMs * UDP_ANSWERED_IDLE_MS) / UDP_IDLE_MS : this.#idleMs;
    const leftMs = this.#lastMs + maxMs - performance.now();
    if (leftMs > 0) this.#timer = setTimeout(() => this.#checkIdle(), leftMs);
    else this.close();
  }
}
