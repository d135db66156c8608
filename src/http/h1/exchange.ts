import { isIdempotent } from '../idempotent.ts';
import { sideBytes } from '../meter.ts';
import { type Answerer, type Decision, isRefusal, type Refusal, VANISHED } from '../routing.ts';
import { Answer, type AnswerReader } from './answer.ts';
import { BadMessage } from './bad-message.ts';
import { Copies, NO_COPIES } from './copies.ts';
import { dialAnswerer } from './dial-answerer.ts';
import type { ExchangeOwner } from './exchange-owner.ts';
import { type FirstBytes, KeptRequest } from './kept-request.ts';
import { refusalPage } from './page.ts';
import type { H1RequestHead } from './request-head.ts';
import type { H1ResponseHead } from './response-head.ts';
import type { Upstream, UpstreamUser } from './upstream.ts';

/**
 * One request and its answer, or the tunnel they make. Until it is certain who answers the request's bytes are kept; who gets
 * them gets all of them, with its own fields behind the head's. A final answer that comes before the request is whole does not
 * end it: the rest is passed on (or dropped when the answerer has gone), as the caller framed it, and then the next begins.
 * In one file: the request's side and the answer's decide about each other at every step.
 */
export class Exchange implements UpstreamUser, AnswerReader {
  readonly #owner: ExchangeOwner;
  readonly #request: H1RequestHead;
  readonly #decision: Decision;
  #copies: Copies = NO_COPIES;
  #answerer: Answerer | undefined;
  #began: { readonly id: string; readonly end: () => void } | undefined;
  /** Gives up the connection that is being made. */
  #giveUpDial: (() => void) | undefined;
  #upstream: Upstream | undefined;
  #reused = false;
  #retried = false;
  readonly #kept: KeptRequest;
  #bodyBegun: boolean;
  #requestComplete: boolean;
  #callerEnded = false;
  #silent = true;
  readonly #answer: Answer;
  #answerComplete = false;
  #keepsUpstream = false;
  #keepsCaller = false;
  #state: 'exchange' | 'tunnel' | 'over' = 'exchange';

  constructor(owner: ExchangeOwner, request: H1RequestHead, first: FirstBytes, decision: Decision) {
    this.#owner = owner;
    this.#request = request;
    this.#decision = decision;
    this.#kept = new KeptRequest(first);
    this.#answer = new Answer(request, this);
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
    return this.#giveUpDial !== undefined && this.#kept.isFull;
  }

  /** What waits here for somebody to take it. */
  get heldBytes(): number {
    return this.#kept.heldBytes + (this.#upstream === undefined ? 0 : sideBytes(this.#upstream.stream));
  }

  begin(): void {
    const { answerer, mirrors } = this.#decision;
    if (mirrors.length > 0) {
      this.#copies = new Copies(mirrors);
      this.#copies.write(this.#kept.firstBytes);
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
    this.#kept.push(bytes, this.#upstream !== undefined);
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
    if (this.#answer.begun) return false;
    this.#refuse({ status: failure.status, reason: failure.message });
    return true;
  }

  onAnswer(bytes: Buffer): void {
    if (this.#state === 'tunnel') {
      this.onAnswerBytes(bytes);
      return;
    }
    this.#silent = false;
    this.#kept.forget();
    try {
      // Behind the answer nobody asked for more.
      if (this.#answerComplete) this.#dropUpstream();
      else this.#answer.push(bytes, this.#answerer?.responseFields ?? []);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      if (this.#answer.begun) this.#reset();
      else this.#refuse({ status: 502, reason: `the answer cannot be read: ${error.message}` });
    }
  }

  onAnswerEnd(): void {
    if (this.#state === 'tunnel') this.#owner.endCaller();
    else if (this.#answer.untilClose) this.#finish();
    else if (this.#answerComplete) this.#dropUpstream();
    else this.#died(true);
  }

  onUpstreamClose(): void {
    if (this.#state === 'tunnel') {
      const well = this.#upstream?.endedWell === true;
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
    this.#giveUpDial = dialAnswerer(answerer, {
      connected: (stream) => {
        this.#giveUpDial = undefined;
        this.#use(answerer, this.#owner.adopt(answerer.id, stream), false);
      },
      failed: (reason) => {
        this.#giveUpDial = undefined;
        this.#goTo(answerer.fallback, reason);
      },
      broken: this.#owner.fail,
    });
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
    this.#kept.sendTo(upstream, answerer.requestFields);
    // A laptop may vanish before it answers.
    if (!reused && answerer.id === 'app') this.#kept.forget();
    if (this.#callerEnded) upstream.stream.end();
    this.#owner.advance();
  }

  onAnswerBytes(bytes: Buffer): void {
    if (!this.#owner.toCaller(bytes)) this.#upstream?.stream.pause();
  }

  onFinalHead(head: H1ResponseHead, untilClose: boolean): boolean {
    const request = this.#request;
    // Whether a caller that was not told to go on still sends its body is unknown: nothing may follow it.
    const bodyInDoubt = request.awaitsContinue && !this.#answer.continued && !this.#requestComplete && !this.#bodyBegun;
    const mayStay = request.persistent && !untilClose && request.method !== 'CONNECT' && !bodyInDoubt;
    this.#keepsUpstream = mayStay && head.persistent;
    this.#keepsCaller = this.#keepsUpstream && !this.#owner.isClosing && (request.minor === 1 || head.keepsAlive);
    return head.persistent && request.persistent && !untilClose && !this.#keepsCaller;
  }

  onAnswerComplete(unasked: boolean): void {
    this.#answerComplete = true;
    if (unasked) this.#keepsUpstream = false;
    if (this.#requestComplete || !this.#keepsCaller) this.#finish();
    else if (unasked) this.#dropUpstream();
  }

  onTunnel(): void {
    this.#state = 'tunnel';
    this.#kept.forget();
    this.#copies.cut();
    this.#owner.advance();
  }

  /** What comes of the request now is dropped, as who answered it has gone. */
  #dropUpstream(): void {
    this.#keepsUpstream = false;
    const upstream = this.#release();
    if (upstream === undefined) return;
    upstream.cut();
    this.#owner.advance();
  }

  /** Lets go of the connection to the answerer. */
  #release(): Upstream | undefined {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream !== undefined) upstream.user = undefined;
    return upstream;
  }

  /** The answerer left without an answer, or in the middle of it. @param clean with an end, not a reset */
  #died(clean: boolean): void {
    const answerer = this.#answerer;
    const again = this.#silent && this.#reused && !this.#retried && this.#kept.isWhole;
    if (again && answerer !== undefined && isIdempotent(this.#request.method)) {
      this.#retried = true;
      this.#release()?.cut();
      this.#dial(answerer);
      return;
    }
    const hasVanished = this.#upstream?.stream.resetReason === 'gone';
    if (hasVanished && this.#silent && this.#kept.isWhole && isIdempotent(this.#request.method)) {
      this.#release()?.cut();
      this.#goTo(answerer?.fallback, VANISHED);
      return;
    }
    if (this.#answer.begun || (answerer?.id === 'app' && !clean)) this.#reset();
    else if (answerer?.id === 'app') {
      // As a direct connection would be: the caller sees the end that the answerer made.
      this.#leave('end');
      this.#owner.over(false);
    } else {
      const reason = hasVanished ? VANISHED : 'the connection to the process was closed before it answered';
      this.#refuse({ status: 502, reason });
    }
  }

  #refuse(refusal: Refusal): void {
    const close = !this.#requestComplete || !this.#request.persistent || this.#owner.isClosing;
    const page = refusalPage(refusal.status, refusal.reason, { close, toHead: this.#request.method === 'HEAD' });
    this.#leave('cut');
    this.#owner.toCaller(page);
    this.#owner.over(!close);
  }

  #reset(): void {
    this.#leave('cut');
    this.#owner.resetCaller();
    this.#owner.over(false);
  }

  #finish(): void {
    const reusable = this.#keepsUpstream && this.#requestComplete;
    this.#leave(reusable ? 'keep' : this.#requestComplete ? 'end' : 'cut');
    this.#owner.over(this.#keepsCaller);
  }

  /** Gives up all that the exchange has. @param how what becomes of the connection to the answerer */
  #leave(how: 'keep' | 'end' | 'cut'): void {
    this.#state = 'over';
    this.#kept.forget();
    this.#giveUpDial?.();
    this.#giveUpDial = undefined;
    if (!this.#requestComplete) this.#copies.cut();
    this.#began?.end();
    this.#began = undefined;
    const upstream = this.#release();
    if (upstream === undefined) return;
    if (how === 'keep' && !upstream.over && !upstream.stream.writableEnded) this.#owner.keep(upstream);
    else if (how === 'cut') upstream.cut();
    else upstream.end();
  }
}
