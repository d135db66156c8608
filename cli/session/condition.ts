/** A condition variable: those who wait look again whenever something has changed, and all give up once it has failed. */
export class Condition {
  readonly #waiters = new Set<() => void>();
  #failure: Error | undefined;

  /** Everybody looks again at what he waits for. */
  changed(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  /** What is waited for cannot come any more. */
  fail(error: Error): void {
    this.#failure = error;
    this.changed();
  }

  /** @throws what it has failed with */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when `holds` does, looking again after each change. @throws what it has failed with; the signal's reason */
  async until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    for (;;) {
      this.throwIfFailed();
      if (holds()) return;
      if (signal.aborted) throw signal.reason;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }
}
