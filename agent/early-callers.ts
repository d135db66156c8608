import type { Socket } from 'node:net';

/**
 * Callers that come before the pod is ready: the agent's container was started again, and the nodes' proxies have not heard
 * yet. They wait until it is ready, as what is the laptop's is to go to the laptop; that is soon, with a session or without.
 */
export class EarlyCallers {
  readonly #waiting = new Map<Socket, () => void>();
  #isOver = false;

  constructor(ready: Promise<void>) {
    void ready.then(() => {
      this.#isOver = true;
      for (const go of [...this.#waiting.values()]) go();
    });
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** @param admit called later, unless the caller is gone by then @returns whether it has to wait; if not, `admit` is not called */
  keep(caller: Socket, admit: () => void): boolean {
    if (this.#isOver) return false;
    const fail = (): void => {}; // its 'close' follows
    const forget = (): void => {
      this.#waiting.delete(caller);
      caller.off('error', fail).off('close', forget);
    };
    this.#waiting.set(caller, () => {
      forget();
      admit();
    });
    caller.on('error', fail).on('close', forget);
    return true;
  }

  /** Resets all that wait. */
  close(): void {
    for (const caller of this.#waiting.keys()) caller.resetAndDestroy();
  }
}
