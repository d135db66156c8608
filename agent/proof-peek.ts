import type { Socket } from 'node:net';
import { PROOF_LINGER_MS, PROOF_PEEK_MS } from './limits.ts';
import type { ProofGate } from './proof.ts';

/**
 * Holds the first bytes of a caller back for a moment, and answers it when they are a proof request.
 * @returns false: it was one, and the connection is closed; true: the caller is paused and may be read as if nothing had
 * been read
 */
export function awaitProof(caller: Socket, gate: ProofGate): Promise<boolean> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = [];
    const settle = (): void => {
      clearTimeout(timer);
      caller.off('data', judge);
      caller.off('end', pass);
      caller.off('close', closed);
    };
    const pass = (): void => {
      settle();
      caller.pause();
      const first = Buffer.concat(chunks);
      // Behind its end nothing can be put back: the beginning of a proof request and no more is nobody's request.
      if (caller.readableEnded) caller.destroy();
      else if (first.byteLength > 0) caller.unshift(first);
      resolve(!caller.destroyed);
    };
    const closed = (): void => {
      settle();
      resolve(false);
    };
    const judge = (chunk: Buffer): void => {
      chunks.push(chunk);
      const verdict = gate.judge(Buffer.concat(chunks));
      if (verdict === 'wait') return;
      if (verdict === 'pass') {
        pass();
        return;
      }
      chunks = [];
      settle();
      caller.on('close', () => resolve(false));
      caller.end(verdict.answer);
      caller.resume();
      caller.on('finish', () => caller.setTimeout(PROOF_LINGER_MS, () => caller.destroy()));
    };
    const timer = setTimeout(pass, PROOF_PEEK_MS);
    caller.on('data', judge);
    caller.on('end', pass);
    caller.on('close', closed);
  });
}
