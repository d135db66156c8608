/** Owns promises that nobody awaits in place: every failure is kept and rethrown at close. */
export class TaskGroup {
  readonly #running = new Set<Promise<void>>();
  #failures: unknown[] = [];

  /** Takes ownership of `task`; a rejection is rethrown by close(). */
  add(task: Promise<unknown>): void {
    const owned = task.then(
      () => {},
      (failure: unknown) => {
        this.#failures.push(failure);
      },
    );
    this.#running.add(owned);
    void owned.finally(() => this.#running.delete(owned));
  }

  get size(): number {
    return this.#running.size;
  }

  /** Waits for all tasks, also those added meanwhile. @throws the first failure, the others as AggregateError */
  async close(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    const failures = this.#failures;
    this.#failures = [];
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, 'several tasks failed');
  }
}
