import type { Resettable } from '../routing.ts';
import type { Upstream } from './upstream.ts';

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
