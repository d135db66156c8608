import type { Socket } from 'node:net';
import { PROOF_LINGER_MS, PROOF_PEEK_MS } from './limits.ts';
import type { ProofGate } from './proof.ts';

export interface ProofWaiter {
  /** It is no proof request, or nobody waits any longer: the connection begins. */
  begin(): void;
  /** What the caller has said first is no proof request: others may have it. */
  isCallers(first: readonly Buffer[]): void;
  /** It was one, and is answered here. */
  isProof(): void;
}

/**
 * Holds the first bytes of a caller that somebody else reads back for a moment; unless they are a proof request, the connection
 * then begins like all others. One that says nothing meanwhile begins, too, and what it says later is still looked at.
 * @returns stops the timer; for when the caller is closed
 */
export function waitForProof(caller: Socket, gate: ProofGate, waiter: ProofWaiter): () => void {
  const first: Buffer[] = [];
  let begun = false;
  const begin = (): void => {
    clearTimeout(timer);
    if (begun || caller.destroyed) return;
    begun = true;
    waiter.begin();
  };
  const stop = (): void => {
    caller.off('data', judge);
    caller.off('end', pass);
  };
  const pass = (): void => {
    stop();
    if (caller.destroyed) return;
    waiter.isCallers(first);
    begin();
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
    clearTimeout(timer);
    if (begun) return; // somebody else answers it by now
    waiter.isProof();
    caller.end(verdict.answer);
    caller.on('finish', () => caller.setTimeout(PROOF_LINGER_MS, () => caller.destroy()));
  };
  caller.on('data', judge);
  caller.on('end', pass);
  const timer = setTimeout(begin, PROOF_PEEK_MS);
  return () => clearTimeout(timer);
}
