import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestCluster, TestNamespace } from './cluster.ts';

/** One request on a connection of its own. Times are this machine's, in ms since the epoch. */
export interface Sample {
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** The first word of the answer (`app`, `laptop`), or `failed`. */
  readonly by: string;
  /** The host that answered, or why none did. */
  readonly detail: string;
}

/** Runs in the caller pod: <url> <interval ms>; a line a request, until its input ends. */
const SAMPLE_CODE = `
const http = require('node:http');
const [url, intervalMs] = process.argv.slice(1);
console.log(JSON.stringify(Date.now()));
let open = 0, ended = false;
const one = () => {
  const sentAtMs = Date.now();
  open++;
  let done = false;
  const say = (by, detail) => {
    if (done) return;
    done = true;
    console.log(JSON.stringify({ sentAtMs, endedAtMs: Date.now(), by, detail }));
    if (--open === 0 && ended) process.exit(0);
  };
  const fail = (error) => say('failed', String(error.code ?? error.message));
  const request = http.get(url, { agent: false, timeout: 20000 }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; }).on('error', fail).on('end', () => {
      const [by, host] = body.trim().split(' ');
      say(by, host);
    });
  });
  request.on('timeout', () => request.destroy(new Error('timeout'))).on('error', fail);
};
const timer = setInterval(one, Number(intervalMs));
process.stdin.resume().on('end', () => {
  ended = true;
  clearInterval(timer);
  if (open === 0) process.exit(0);
});
`;

/** Asks a Service all the time, from a pod: who answers, when. */
export class Sampler implements AsyncDisposable {
  readonly samples: Sample[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #waiters = new Set<() => void>();
  /** What this machine's clock is ahead of the pod's (0 on our own cluster, and some ms of latency). */
  #aheadMs: number | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'close');
    child.stdin?.on('error', () => {}); // EPIPE: the pod is gone
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    lines.on('line', (line) => {
      const value: unknown = JSON.parse(line);
      if (typeof value === 'number') this.#aheadMs = Date.now() - value;
      else this.#take(value as Sample);
      for (const wake of [...this.#waiters]) wake();
    });
  }

  /** Begins, and returns with the first answer: what failed before it (the node's proxy did not know the Service yet) does not count. */
  static async start(
    cluster: TestCluster,
    namespace: TestNamespace,
    service: string,
    options: { intervalMs?: number } = {},
  ): Promise<Sampler> {
    const { pod } = await namespace.caller();
    const program = ['node', '-e', SAMPLE_CODE, `http://${service}/`, String(options.intervalMs ?? 40)];
    const args = [...cluster.kubectlAccess, '--namespace', namespace.name, 'exec', '-i', pod, '--', ...program];
    const sampler = new Sampler(spawn(cluster.kubectlProgram, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
    const answered = (): boolean => sampler.samples.some(({ by }) => by !== 'failed');
    await sampler.until(answered, 'any answer', 20_000);
    const first = sampler.samples.findIndex(({ by }) => by !== 'failed');
    sampler.samples.splice(0, first);
    return sampler;
  }

  /** Requests sent from then on, in the order they were sent. */
  since(atMs: number): Sample[] {
    return this.samples.filter(({ sentAtMs }) => sentAtMs >= atMs).sort((a, b) => a.sentAtMs - b.sentAtMs);
  }

  async until(reached: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!reached()) {
      const left = deadline - Date.now();
      if (left <= 0 || this.#child.exitCode !== null)
        throw new Error(`sampling saw not: ${what}; last answers:\n${this.text(this.samples.slice(-40))}`);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(done);
          resolve();
        };
        const timer = setTimeout(done, left);
        this.#waiters.add(done);
      });
    }
  }

  /** Waits until `count` requests in a row, all sent after now, are answered by `by`. @returns when the first of them was sent */
  async settled(by: string, options: { count?: number; timeoutMs?: number } = {}): Promise<number> {
    const { count = 25, timeoutMs = 30_000 } = options;
    const fromMs = Date.now();
    const row = (): Sample[] => this.since(fromMs).slice(-count);
    const all = (): boolean => row().length === count && row().every((sample) => sample.by === by);
    await this.until(all, `${count} answers in a row by ${by}`, timeoutMs);
    return row()[0]?.sentAtMs ?? fromMs;
  }

  text(samples: readonly Sample[]): string {
    return samples
      .map(
        ({ sentAtMs, endedAtMs, by, detail }) =>
          `${new Date(sentAtMs).toISOString().slice(11)} +${endedAtMs - sentAtMs} ms ${by} ${detail}`,
      )
      .join('\n');
  }

  /** Ends it; what is under way is waited for. May be called twice. */
  async stop(): Promise<readonly Sample[]> {
    this.#child.stdin?.end();
    await this.#ended;
    return this.since(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 25_000);
    await this.#ended;
    clearTimeout(timer);
  }

  #take(sample: Sample): void {
    const aheadMs = Math.abs(this.#aheadMs ?? 0) < 1_000 ? 0 : (this.#aheadMs ?? 0); // else: a node with a clock of its own
    this.samples.push({
      ...sample,
      sentAtMs: sample.sentAtMs + aheadMs,
      endedAtMs: sample.endedAtMs + aheadMs,
    });
  }
}
