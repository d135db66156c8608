import type { Mirror, Resettable } from '../src/http/routing.ts';
import type { ProofGate } from './proof.ts';
import type { Reach } from './reach.ts';
import type { LaptopStream } from './sides.ts';

/** What one connection, `Self`, needs to know of its route. */
export interface ConnectionRoute<Self> {
  /** Whether the laptop that has the port can be reached; undefined: none has it. */
  reach(): Reach | undefined;
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
  onDone(connection: Self): void;
  /** The laptop did not take it, so the app gets it. */
  onFallBack(): void;
}
