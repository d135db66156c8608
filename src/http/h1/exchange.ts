import { type Answerer, type Decision, isRefusal, type Refusal, type Resettable } from '../routing.ts';
import { BadMessage } from './bad-message.ts';
import { Copies, NO_COPIES } from './copies.ts';
import { type Body, opensTunnel, responseBody } from './framing.ts';
import { HeadBytes } from './head-bytes.ts';
import { withFields } from './head-edit.ts';
import { MAX_REPLAY_BYTES } from './limits.ts';
import { refusalPage } from './page.ts';
import type { H1RequestHead } from './request-head.ts';
import { H1ResponseHead } from './response-head.ts';
import type { Upstream, UpstreamUser } from './upstream.ts';

/** Methods that may be sent twice when the first time may have been lost (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
const NOTHING = Buffer.alloc(0);
const CLOSE_FIELD = ['Connection', 'close'] as const;

/** What an exchange may do with its caller's connection. */
export interface ExchangeOwner {
  /** The caller's connection ends behind this answer, whatever the answer says. */
  readonly isClosing: boolean;
  /** A kept connection to that answerer that is free; it is the exchange's from then on. */
  takeKept(id: string): Upstream | undefined;
  adopt(id: string, stream: Resettable): Upstream;
  /** Gives a free connection back, for the next request. */
  keep(upstream: Upstream): void;
  /** @returns false: wait for callerDrained() */
  toCaller(bytes: Buffer): boolean;
  endCaller(): void;
  resetCaller(): void;
  /** More of the request may be read. */
  advance(): void;
  /** Something of ours broke: ends it all. */
  readonly fail: (error: unknown) => void;
  /** The exchange has ended, the answer is with the caller. @param keeps whether another request may follow */
  over(keeps: boolean): void;
}

/** A request as it came, as far as it came, its head whole. */
export interface FirstBytes {
  readonly bytes: Buffer;
  /** How many of them are the head. */
  readonly headBytes: number;
  /** Whether the body is all there. */
  readonly complete: boolean;
}

/**
 * One request and its answer, or the tunnel they make. Until it is certain who answers the request's bytes are kept; who gets
 * them gets all of them, with its own fields behind the head's. A final answer that comes before the request is whole does not
 * end it: the rest is passed on (or dropped when the answerer has gone), as the caller framed it, and then the next begins.
 */
export class Exchange implements UpstreamUser {
  readonly #owner: ExchangeOwner;
  readonly #request: H1RequestHead;
  readonly #decision: Decision;
  #copies: Copies = NO_COPIES;
  #answerer: Answerer | undefined;
  #began: { readonly id: string; readonly end: () => void } | undefined;
  #dialing: AbortController | undefined;
  #upstream: Upstream | undefined;
  #reused = false;
  #retried = false;
  #first: FirstBytes;
  /** The body behind `#first`; undefined once the request cannot be sent anew. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #bodyBegun: boolean;
  #requestComplete: boolean;
  #callerEnded = false;
  readonly #heads = new HeadBytes('response');
  #silent = true;
  #continued = false;
  /** Set with the head of the final answer. */
  #answerBody: Body | undefined;
  #answerComplete = false;
  #keepsUpstream = false;
  #keepsCaller = false;
  #state: 'exchange' | 'tunnel' | 'over' = 'exchange';

  constructor(owner: ExchangeOwner, request: H1RequestHead, first: FirstBytes, decision: Decision) {
    this.#owner = owner;
    this.#request = request;
    this.#decision = decision;
    this.#first = first;
    this.#requestComplete = first.complete;
    this.#bodyBegun = first.bytes.byteLength > first.headBytes;
  }

  /** Whether the request's body is not complete, or all that comes belongs to the tunnel. */
  get takesMore(): boolean {
    return this.#state === 'tunnel' || !this.#requestComplete;
  }

  get isTunnel(): boolean {
    return this.#state === 'tunnel';
  }

  /** Whether the caller should wait with what it sends. */
  get isFull(): boolean {
    if (this.#upstream !== undefined) return this.#upstream.stream.writableNeedDrain;
    return this.#dialing !== undefined && this.#keptBytes >= MAX_REPLAY_BYTES;
  }

  begin(): void {
    const { answerer, mirrors } = this.#decision;
    if (mirrors.length > 0) {
      this.#copies = new Copies(mirrors);
      this.#copies.write(this.#first.bytes);
      if (this.#requestComplete) this.#copies.end();
    }
    this.#goTo(answerer, 'nobody answers');
  }

  /** More of the body as it came. @param complete whether it ends here */
  send(bytes: Buffer, complete: boolean): void {
    if (this.#state === 'tunnel') {
      this.#upstream?.stream.write(bytes);
      return;
    }
    this.#bodyBegun ||= bytes.byteLength > 0;
    this.#copies.write(bytes);
    if (this.#upstream !== undefined) this.#upstream.stream.write(bytes);
    this.#keep(bytes);
    if (!complete) return;
    this.#requestComplete = true;
    this.#copies.end();
    if (this.#answerComplete) this.#finish();
  }

  /** The caller sends no more; what it sent is all here. */
  onCallerEnd(): void {
    if (this.#callerEnded) return;
    this.#callerEnded = true;
    if (!this.#requestComplete) this.#copies.cut();
    this.#upstream?.stream.end();
  }

  onCallerDrain(): void {
    this.#upstream?.stream.resume();
  }

  /** The caller is gone, or what it sends cannot be read: nobody is left to answer. */
  cut(): void {
    if (this.#state !== 'over') this.#leave('cut');
  }

  /** The request's body turned out to be none: its answerer must not take it for whole. @returns false: an answer has begun */
  refuseBody(failure: BadMessage): boolean {
    if (this.#answerBody !== undefined) return false;
    this.#refuse({ status: failure.status, reason: failure.message });
    return true;
  }

  onAnswer(bytes: Buffer): void {
    if (this.#state === 'tunnel') {
      this.#toCaller(bytes);
      return;
    }
    this.#silent = false;
    this.#forget();
    try {
      this.#read(bytes);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      if (this.#answerBody !== undefined) this.#reset();
      else this.#refuse({ status: 502, reason: `the answer cannot be read: ${error.message}` });
    }
  }

  onAnswerEnd(): void {
    if (this.#state === 'tunnel') this.#owner.endCaller();
    else if (this.#answerBody?.untilClose === true) this.#finish();
    else if (this.#answerComplete) this.#dropUpstream();
    else this.#died(true);
  }

  onUpstreamClose(): void {
    const upstream = this.#upstream;
    if (this.#state === 'tunnel') {
      const well = upstream?.endedWell === true;
      this.#leave('end');
      if (!well) this.#owner.resetCaller();
      this.#owner.over(false);
    } else if (this.#answerComplete) this.#upstream = undefined;
    else this.#died(false);
    if (this.#state !== 'over') this.#owner.advance();
  }

  onUpstreamDrain(): void {
    this.#owner.advance();
  }

  #goTo(next: Answerer | Refusal | undefined, failure: string): void {
    if (next === undefined) {
      if (this.#answerer?.id === 'app') this.#reset();
      else this.#refuse({ status: 503, reason: failure });
      return;
    }
    if (isRefusal(next)) {
      this.#refuse(next);
      return;
    }
    this.#answerer = next;
    const kept = this.#retried ? undefined : this.#owner.takeKept(next.id);
    if (kept === undefined) this.#dial(next);
    else this.#use(next, kept, true);
  }

  #dial(answerer: Answerer): void {
    const dialing = new AbortController();
    this.#dialing = dialing;
    const connected = (stream: Resettable): void => {
      if (this.#dialing !== dialing) {
        stream.on('error', () => {}); // nobody is left to be told
        stream.resetAndDestroy();
        return;
      }
      this.#dialing = undefined;
      if (stream.destroyed) this.#goTo(answerer.fallback, 'the connection was closed at once');
      else this.#use(answerer, this.#owner.adopt(answerer.id, stream), false);
    };
    const failed = (error: unknown): void => {
      if (this.#dialing !== dialing) return;
      this.#dialing = undefined;
      this.#goTo(answerer.fallback, error instanceof Error ? error.message : String(error));
    };
    answerer.connect(dialing.signal).then(connected, failed).catch(this.#owner.fail);
  }

  #use(answerer: Answerer, upstream: Upstream, reused: boolean): void {
    upstream.user = this;
    this.#upstream = upstream;
    if (this.#began?.id !== answerer.id) {
      this.#began?.end();
      this.#began = undefined;
      this.#began = { id: answerer.id, end: answerer.began() };
    }
    this.#reused = reused;
    const { bytes, headBytes } = this.#first;
    upstream.stream.write(withFields(bytes, headBytes, answerer.requestFields));
    for (const more of this.#kept ?? []) upstream.stream.write(more);
    if (!reused) this.#forget();
    if (this.#callerEnded) upstream.stream.end();
    this.#owner.advance();
  }

  /** Keeps body bytes as long as the request may have to be sent (again). */
  #keep(bytes: Buffer): void {
    if (this.#kept === undefined) return;
    this.#kept.push(bytes);
    this.#keptBytes += bytes.byteLength;
    if (this.#keptBytes > MAX_REPLAY_BYTES && this.#upstream !== undefined) this.#forget();
  }

  #forget(): void {
    if (this.#kept === undefined) return;
    this.#kept = undefined;
    this.#keptBytes = 0;
    this.#first = { ...this.#first, bytes: NOTHING };
  }

  #read(bytes: Buffer): void {
    if (this.#answerComplete) {
      this.#dropUpstream(); // nobody asked for more
      return;
    }
    let at = 0;
    while (this.#answerBody === undefined) {
      const end = this.#heads.push(bytes, at);
      if (end === -1) return;
      const head = new H1ResponseHead(this.#heads.head);
      if (opensTunnel(head, this.#request)) {
        this.#answerHead(bytes, end, bytes.byteLength, this.#answerer?.responseFields ?? []);
        this.#becomeTunnel();
        return;
      }
      if (head.status < 200) {
        this.#continued ||= head.status === 100;
        this.#answerHead(bytes, end, end, []);
        this.#heads.reset();
        at = end;
      } else {
        this.#readFinal(head, bytes, end);
        return;
      }
    }
    const end = this.#answerBody.scan(bytes, at);
    this.#toCaller(end === bytes.byteLength && at === 0 ? bytes : bytes.subarray(at, end));
    if (this.#answerBody.complete) this.#completeAnswer(end < bytes.byteLength);
  }

  #readFinal(head: H1ResponseHead, bytes: Buffer, headEnd: number): void {
    const request = this.#request;
    const body = responseBody(head, request);
    const end = body.scan(bytes, headEnd);
    // Whether a caller that was not told to go on still sends its body is unknown: nothing may follow it.
    const bodyInDoubt = request.awaitsContinue && !this.#continued && !this.#requestComplete && !this.#bodyBegun;
    const mayStay = request.persistent && !body.untilClose && request.method !== 'CONNECT' && !bodyInDoubt;
    this.#keepsUpstream = mayStay && head.persistent;
    this.#keepsCaller = this.#keepsUpstream && !this.#owner.isClosing && (request.minor === 1 || head.keepsAlive);
    const saysMore = head.persistent && request.persistent && !body.untilClose;
    const added = this.#answerer?.responseFields ?? [];
    this.#answerHead(bytes, headEnd, end, saysMore && !this.#keepsCaller ? [...added, CLOSE_FIELD] : added);
    this.#answerBody = body;
    if (body.complete) this.#completeAnswer(end < bytes.byteLength);
  }

  /** Passes a head on that ends at `headEnd` of `bytes`, and what follows it up to `end`. */
  #answerHead(bytes: Buffer, headEnd: number, end: number, fields: readonly (readonly [string, string])[]): void {
    const head = this.#heads.head;
    const start = headEnd - head.byteLength;
    if (!this.#heads.begun) {
      this.#toCaller(withFields(bytes.subarray(start, end), head.byteLength, fields));
      return;
    }
    this.#toCaller(withFields(head, head.byteLength, fields));
    if (end > headEnd) this.#toCaller(bytes.subarray(headEnd, end));
  }

  #toCaller(bytes: Buffer): void {
    if (!this.#owner.toCaller(bytes)) this.#upstream?.stream.pause();
  }

  #completeAnswer(unasked: boolean): void {
    this.#answerComplete = true;
    if (unasked) this.#keepsUpstream = false;
    if (this.#requestComplete || !this.#keepsCaller) this.#finish();
    else if (unasked) this.#dropUpstream();
  }

  #becomeTunnel(): void {
    this.#state = 'tunnel';
    this.#forget();
    this.#copies.cut();
    this.#owner.advance();
  }

  /** What comes of the request now is dropped, as who answered it has gone. */
  #dropUpstream(): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#keepsUpstream = false;
    if (upstream === undefined) return;
    upstream.user = undefined;
    upstream.cut();
    this.#owner.advance();
  }

  /** The answerer left without an answer, or in the middle of it. @param clean with an end, not a reset */
  #died(clean: boolean): void {
    const upstream = this.#upstream;
    const answerer = this.#answerer;
    const again = this.#silent && this.#reused && !this.#retried && this.#kept !== undefined;
    if (again && answerer !== undefined && IDEMPOTENT.has(this.#request.method)) {
      this.#retried = true;
      this.#upstream = undefined;
      if (upstream !== undefined) {
        upstream.user = undefined;
        upstream.cut();
      }
      this.#dial(answerer);
      return;
    }
    if (this.#answerBody !== undefined || (answerer?.id === 'app' && !clean)) this.#reset();
    else if (answerer?.id === 'app') this.#closeAfter();
    else this.#refuse({ status: 502, reason: 'the connection to the process was closed before it answered' });
  }

  #refuse(refusal: Refusal): void {
    const close = !this.#requestComplete || !this.#request.persistent || this.#owner.isClosing;
    const page = refusalPage(refusal.status, refusal.reason, { close, toHead: this.#request.method === 'HEAD' });
    this.#leave('cut');
    this.#owner.toCaller(page);
    this.#owner.over(!close);
  }

  /** As a direct connection would be: the caller sees the end that the answerer made. */
  #closeAfter(): void {
    this.#leave('end');
    this.#owner.over(false);
  }

  #reset(): void {
    this.#leave('cut');
    this.#owner.resetCaller();
    this.#owner.over(false);
  }

  #finish(): void {
    const reusable = this.#keepsUpstream && this.#requestComplete;
    const keeps = this.#keepsCaller;
    this.#leave(reusable ? 'keep' : this.#requestComplete ? 'end' : 'cut');
    this.#owner.over(keeps);
  }

  /** Gives up all that the exchange has. @param how what becomes of the connection to the answerer */
  #leave(how: 'keep' | 'end' | 'cut'): void {
    this.#state = 'over';
    this.#forget();
    this.#dialing?.abort();
    this.#dialing = undefined;
    if (!this.#requestComplete) this.#copies.cut();
    this.#began?.end();
    this.#began = undefined;
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream === undefined) return;
    upstream.user = undefined;
    if (how === 'keep' && !upstream.over && !upstream.stream.writableEnded) this.#owner.keep(upstream);
    else if (how === 'cut') upstream.cut();
    else upstream.end();
  }
}
