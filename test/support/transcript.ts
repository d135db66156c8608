import type { ChildProcess } from 'node:child_process';

/** What a child shows on stdout and stderr, or on its terminal, with waits for what is to come. */
export class Transcript {
  text = '';
  readonly exited: Promise<number | null>;
  #hasExited = false;
  #wake: () => void = () => {};

  constructor(child: ChildProcess) {
    for (const out of [child.stdout, child.stderr])
      out?.setEncoding('utf8').on('data', (chunk: string) => {
        this.text += chunk;
        this.#wake();
      });
    this.exited = new Promise((resolve) => {
      child.once('close', (code) => {
        this.#hasExited = true;
        this.#wake();
        resolve(code);
      });
    });
  }

  /** Waits until it has shown that. @throws when it has not in time, or ended without it */
  async until(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!pattern.test(this.text)) {
      if (this.#hasExited || Date.now() >= deadline)
        throw new Error(
          `no ${pattern}${this.#hasExited ? ' before the end' : ` in ${timeoutMs} ms`}; got:\n${this.text}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
