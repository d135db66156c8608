/**
 * Gives each task an abort signal of its own and aborts them all together. One signal for all would cost each new task a
 * walk through the listeners of those that run (Node's EventTarget is a list), and AbortSignal.any() of it never lets go.
 */
export class AbortGroup {
  readonly #running = new Set<AbortController>();
  #end: { readonly reason: unknown } | undefined;

  get aborted(): boolean {
    return this.#end !== undefined;
  }

  /** Runs a task, whose signal is aborted already when the group is. @returns what the task does */
  async run<T>(task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const own = new AbortController();
    if (this.#end !== undefined) own.abort(this.#end.reason);
    this.#running.add(own);
    try {
      return await task(own.signal);
    } finally {
      this.#running.delete(own);
    }
  }

  /** Aborts what runs, and what will be run. The first reason stays. */
  abort(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { reason };
    for (const own of this.#running) own.abort(reason);
  }
}
