import { addAbortListener } from 'node:events';
import { type Log, silentLog } from '../../log.ts';
import { confirmEnd } from '../../net/confirm-end.ts';
import { closeAfterFailedReset } from '../../net/failed-reset.ts';
import { type Meter, sideBytes } from '../meter.ts';
import type { HttpRoutes, Resettable } from '../routing.ts';
import { BadMessage } from './bad-message.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeOwner } from './exchange-owner.ts';
import type { Body } from './framing.ts';
import { declineH2c, type H2cUpgrade, readH2cUpgrade, type TakeOver } from './h2c-upgrade.ts';
import { asksH2c } from './head-edit.ts';
import type { FirstBytes } from './kept-request.ts';
import { DRAIN_IDLE_MS, LINGER_MS, UNREAD_MS } from './limits.ts';
import { refusalPage } from './page.ts';
import { RequestReader, type RequestStart } from './request-reader.ts';
import { resetAndClose } from './upstream.ts';
import { UpstreamPool } from './upstream-pool.ts';

export interface H1Options {
  /** Cuts everything. The connection's own (AbortGroup): one for all would cost more with each that is open. */
  readonly signal?: AbortSignal;
  /** Once aborted: the request that is under way is the caller's last. */
  readonly draining?: AbortSignal;
  readonly log?: Log;
  /** Is told what the connection keeps. */
  readonly meter?: Meter;
  /** Asked when a request without a body wants to go on in HTTP/2 (RFC 7540 §3.2). Undefined: it stays HTTP/1.1. Never rejects. */
  onH2cUpgrade?(upgrade: H2cUpgrade): Promise<TakeOver | undefined>;
}

/**
 * Reads the requests of one caller's connection and routes each on its own, one at a time. What cannot be read plainly is
 * refused with 400 or 431 and ends the connection.
 * @param caller half-open, paused or not read yet; nobody else reads it
 * @param first what was read from it already
 * @returns resolves when it and the connections made for it are closed; never rejects
 */
export function routeH1(caller: Resettable, first: Buffer, routes: HttpRoutes, options: H1Options = {}): Promise<void> {
  return new H1Connection(caller, routes, options).run(first);
}

/** In one file: what is unread, whose turn it is, upgrades and the end are one state machine. */
class H1Connection implements ExchangeOwner {
  readonly #caller: Resettable;
  readonly #routes: HttpRoutes;
  readonly #options: H1Options;
  readonly #log: Log;
  readonly #upstreams = new UpstreamPool(() => this.#settle());
  readonly #requests = new RequestReader(() => this.#refuse(408, 'the request took too long to come'));
  readonly #disposables: Disposable[] = [];
  readonly #listeners: readonly (readonly [event: string, listener: (chunk: Buffer) => void])[];
  #resolve: () => void = () => {};
  /** Read, and not passed on yet. */
  #pending: Buffer | undefined;
  #exchange: Exchange | undefined;
  #body: Body | undefined;
  #advancing = false;
  #paused = false;
  #callerEnded = false;
  #callerClosed = false;
  /** Nothing is read any more, the connection is on its way to its end. */
  #closing = false;
  /** The caller's connection may become HTTP/2, or has. */
  #upgrading = false;
  #lingerTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;

  constructor(caller: Resettable, routes: HttpRoutes, options: H1Options) {
    this.#caller = caller;
    this.#routes = routes;
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#listeners = [
      ['data', (chunk: Buffer) => this.#onData(chunk)],
      ['end', () => confirmEnd(caller, () => this.#onEnd())],
      ['drain', () => this.#onDrain()],
      ['close', () => this.#onClose()],
    ];
  }

  get isClosing(): boolean {
    return this.#options.draining?.aborted === true;
  }

  run(first: Buffer): Promise<void> {
    const caller = this.#caller;
    const { signal, draining } = this.#options;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#paused = caller.isPaused();
      closeAfterFailedReset(caller);
      for (const [event, listener] of this.#listeners) caller.on(event, listener);
      if (signal !== undefined) this.#disposables.push(addAbortListener(signal, () => this.#abort()));
      if (draining !== undefined) this.#disposables.push(addAbortListener(draining, () => this.#drain()));
      const unmeter = this.#options.meter?.add(() => this.#heldBytes);
      if (unmeter !== undefined) this.#disposables.push({ [Symbol.dispose]: unmeter });
      if (signal?.aborted === true) this.#abort();
      if (caller.closed) this.#onClose();
      else {
        if (first.byteLength > 0) this.#onData(first);
        if (caller.readableEnded) this.#onEnd();
        this.#readOn();
      }
    });
  }

  get #heldBytes(): number {
    const read = (this.#pending?.byteLength ?? 0) + this.#requests.heldBytes;
    return read + sideBytes(this.#caller) + (this.#exchange?.heldBytes ?? 0);
  }

  takeKept(id: string) {
    return this.#upstreams.take(id);
  }

  adopt(id: string, stream: Resettable) {
    return this.#upstreams.adopt(id, stream);
  }

  keep(upstream: Parameters<UpstreamPool['keep']>[0]): void {
    this.#upstreams.keep(upstream);
  }

  toCaller(bytes: Buffer): boolean {
    if (!this.#caller.writable) return true;
    return this.#caller.write(bytes);
  }

  endCaller(): void {
    this.#caller.end();
  }

  resetCaller(): void {
    this.#closing = true;
    resetAndClose(this.#caller);
  }

  advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#pending !== undefined && this.#step(this.#pending));
    } catch (error) {
      this.fail(error);
    } finally {
      this.#advancing = false;
    }
    this.#passEnd();
    this.#readOn();
  }

  over(keeps: boolean): void {
    this.#exchange = undefined;
    this.#body = undefined;
    if (this.#closing) this.#settle();
    else if (!keeps || this.isClosing || (this.#callerEnded && this.#pending === undefined)) this.#close();
    else this.advance();
  }

  #onData(chunk: Buffer): void {
    if (this.#closing) return;
    this.#pending = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
    this.advance();
  }

  /** Passes some of what was read on. @returns whether to try again */
  #step(pending: Buffer): boolean {
    if (this.#closing) {
      this.#pending = undefined;
      return false;
    }
    const exchange = this.#exchange;
    if (exchange === undefined) {
      // An answer that the caller does not read holds back the next one.
      if (this.#upgrading || this.#caller.writableNeedDrain) return false;
      this.#readHead(pending);
      return true;
    }
    if (!exchange.takesMore || exchange.isFull) return false;
    if (exchange.isTunnel || this.#body === undefined) {
      this.#pending = undefined;
      exchange.send(pending, false);
      return false;
    }
    const end = this.#body.scan(pending, 0);
    this.#pending = end === pending.byteLength ? undefined : pending.subarray(end);
    exchange.send(end === pending.byteLength ? pending : pending.subarray(0, end), this.#body.complete);
    return true;
  }

  #readHead(pending: Buffer): void {
    const request = this.#requests.read(pending);
    const isAll = request === undefined || request.end === pending.byteLength;
    this.#pending = isAll ? undefined : pending.subarray(request.end);
    if (request === undefined) return;
    if (!asksH2c(request.head)) this.#begin(request, request.first);
    else if (!this.#askH2c(request)) this.#begin(request, declineH2c(request.first, request.head));
  }

  #begin({ head, body }: RequestStart, first: FirstBytes): void {
    const exchange = new Exchange(this, head, first, this.#routes.decide(head));
    this.#exchange = exchange;
    this.#body = body;
    exchange.begin();
  }

  /** @returns whether somebody was asked to go on in HTTP/2; the request begins here when he will not */
  #askH2c(request: RequestStart): boolean {
    const { head, first } = request;
    const upgrade = readH2cUpgrade(head, first.bytes.subarray(0, first.headBytes));
    if (upgrade === undefined || this.#callerEnded) return false;
    const asked = this.#options.onH2cUpgrade?.(upgrade);
    if (asked === undefined) return false;
    this.#upgrading = true;
    asked.then(
      (takeOver) => {
        this.#upgrading = false;
        if (this.#callerClosed || this.#closing) return;
        if (takeOver !== undefined) this.#handOver(takeOver);
        else {
          this.#guard(() => this.#begin(request, declineH2c(first, head)));
          this.advance();
        }
      },
      (error: unknown) => this.fail(error),
    );
    return true;
  }

  #handOver(takeOver: TakeOver): void {
    const rest = this.#pending ?? Buffer.alloc(0);
    this.#pending = undefined;
    this.#upgrading = true;
    this.#upstreams.endAll();
    for (const [event, listener] of this.#listeners) if (event !== 'close') this.#caller.off(event, listener);
    takeOver(this.#caller, rest).then(
      () => resetAndClose(this.#caller),
      (error: unknown) => this.fail(error),
    );
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A request that cannot be read ends the connection; anything else is our own mistake. */
  readonly fail = (error: unknown): void => {
    const exchange = this.#exchange;
    if (!(error instanceof BadMessage)) {
      this.#log.error('routing a request failed', { reason: error instanceof Error ? error.message : String(error) });
      this.#cutAll();
      return;
    }
    this.#log.debug('request refused', { reason: error.message });
    if (exchange !== undefined) {
      if (!exchange.refuseBody(error)) this.#cutAll();
      return;
    }
    this.#refuse(error.status, error.message);
  };

  #refuse(status: BadMessage['status'] | 408, reason: string): void {
    this.toCaller(refusalPage(status, reason, { close: true, toHead: false }));
    this.#close();
  }

  #onEnd(): void {
    this.#callerEnded = true;
    this.#passEnd();
  }

  /** The caller's end, once all that came before it has been passed on. */
  #passEnd(): void {
    if (!this.#callerEnded || this.#closing || this.#pending !== undefined || this.#upgrading) return;
    if (this.#exchange !== undefined) this.#exchange.onCallerEnd();
    else if (this.#requests.begun) this.#refuse(400, 'the request ends in its head');
    else this.#close();
  }

  #onDrain(): void {
    this.#exchange?.onCallerDrain();
    this.advance();
  }

  #onClose(): void {
    if (this.#callerClosed) return;
    this.#callerClosed = true;
    const wasEndedWell = this.#caller.readableEnded && this.#caller.writableFinished && this.#caller.errored === null;
    this.#closing = true;
    this.#pending = undefined;
    this.#requests.reset();
    clearTimeout(this.#lingerTimer);
    clearTimeout(this.#drainTimer);
    const exchange = this.#exchange;
    if (exchange !== undefined && !(exchange.isTunnel && wasEndedWell)) {
      this.#exchange = undefined;
      exchange.cut();
    }
    this.#upstreams.endAll();
    this.#settle();
  }

  /** Ends our side behind what was written; what the caller still sends is dropped for a while. */
  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#pending = undefined;
    this.#requests.reset();
    this.#upstreams.endAll();
    if (this.#callerClosed) return;
    const caller = this.#caller;
    this.#lingerTimer = setTimeout(() => resetAndClose(caller), UNREAD_MS);
    caller.once('finish', () => {
      clearTimeout(this.#lingerTimer);
      // Not a reset: the kernel may have much of the answer still, for a caller that reads slowly.
      if (!this.#callerClosed) this.#lingerTimer = setTimeout(() => caller.destroy(), LINGER_MS);
    });
    caller.end();
    this.#readOn();
  }

  #cutAll(): void {
    this.#closing = true;
    this.#pending = undefined;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.cut();
    resetAndClose(this.#caller);
  }

  #abort(): void {
    this.#cutAll();
    this.#upstreams.cutAll();
  }

  /** Not at once: a request that is on its way would meet the end of the connection, and be lost. */
  #drain(): void {
    const isIdle = (): boolean =>
      this.#exchange === undefined && !this.#requests.begun && this.#pending === undefined && !this.#upgrading;
    this.#drainTimer ??= setTimeout(() => isIdle() && this.#close(), DRAIN_IDLE_MS);
  }

  #readOn(): void {
    const pause =
      !this.#closing &&
      (this.#pending !== undefined || this.#upgrading || (this.#exchange?.takesMore === true && this.#exchange.isFull));
    if (this.#upgrading && !pause) return;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#caller.pause();
    else this.#caller.resume();
  }

  /** Ends it all when nothing is open any more. */
  #settle(): void {
    if (!this.#callerClosed || this.#exchange !== undefined || this.#upstreams.openCount > 0) return;
    for (const disposable of this.#disposables.splice(0)) disposable[Symbol.dispose]();
    this.#resolve();
  }
}
