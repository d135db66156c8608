// Loads of the fault matrix: a program in a caller pod that needs nobody but the Service it calls, so that it goes on
// while the API server or containerd is down.
import { waitFor } from '../cluster/exec.ts';
import { storeProgram } from '../support/bundle.ts';
import type { Caller } from '../support/cluster.ts';
import type { CallerLine, CallerPlan } from '../support/programs/fault-lines.ts';

export const LOAD_NAMES = ['idle', 'http', 'websocket', 'transfer'] as const;
export type LoadName = (typeof LOAD_NAMES)[number] | 'mixed';

export interface LoadSize {
  readonly requestsPerSecond: number;
  readonly webSockets: number;
  readonly transferBytes: number;
  readonly transferBytesPerSecond: number;
}

const MIB = 1024 * 1024;
export const FULL_SIZE: LoadSize = {
  requestsPerSecond: 200,
  webSockets: 100,
  transferBytes: 1024 * MIB,
  transferBytesPerSecond: 0,
};
/** The transfer takes as long as a fault needs to hit it. */
export const QUICK_SIZE: LoadSize = { ...FULL_SIZE, transferBytes: 64 * MIB, transferBytesPerSecond: 8 * MIB };
/** How much of the first transfer is through when a load counts as begun. */
const BEGUN_BYTES = 4 * MIB;
/** On a machine with more to do than it can. */
const BEGUN_MS = 150_000;
/** Answered probes in a row that tell that a load has begun. */
const BEGUN_PROBES = 5;
/** An answer that takes longer is one that the fault was felt in. */
export const SLOW_MS = 1_000;
const POLL_MS = 400;
/** `idle`: nothing is asked before the fault; others have a probe from the beginning. */
const PROBE_EVERY_MS = 100;

let started = 0;

/** A load at work; what it has seen so far is in `lines`. */
export class Load {
  readonly lines: CallerLine[] = [];
  readonly #caller: Caller;
  readonly #stem: string;
  readonly #plan: CallerPlan;
  #readBytes = 0;
  #rest = '';
  /** One after another, so that no byte is read twice. */
  #reading: Promise<boolean> = Promise.resolve(true);

  private constructor(caller: Caller, stem: string, plan: CallerPlan) {
    this.#caller = caller;
    this.#stem = stem;
    this.#plan = plan;
  }

  /**
   * @param url of the Service, `http://web.namespace`
   * @param startAtMs nothing is asked before (ms since the epoch; the caller's node has this machine's clock)
   * @param maxMs after so long it ends by itself
   */
  static async start(
    caller: Caller,
    url: string,
    name: LoadName,
    size: LoadSize,
    { startAtMs = Date.now(), maxMs = 600_000 }: { startAtMs?: number; maxMs?: number } = {},
  ): Promise<Load> {
    const program = await storeProgram(caller, 'fault-caller');
    const stem = `/tmp/faults-${process.pid}-${started++}`;
    const has = (kind: LoadName): boolean => name === kind || name === 'mixed';
    const plan: CallerPlan = {
      url,
      startAtMs,
      probeEveryMs: PROBE_EVERY_MS,
      requestsPerSecond: has('http') ? size.requestsPerSecond : 0,
      webSockets: has('websocket') ? size.webSockets : 0,
      transferBytes: has('transfer') ? size.transferBytes : 0,
      transferBytesPerSecond: size.transferBytesPerSecond,
      stopFile: `${stem}.stop`,
      maxMs,
    };
    const load = new Load(caller, stem, plan);
    const run = `setsid node ${program} '${JSON.stringify(plan)}' > ${stem}.out 2> ${stem}.err < /dev/null &`;
    // The end of the exec has been seen to take a process with it that has not left its session yet.
    const untilThere = `while [ ! -s ${stem}.out ] && [ ! -s ${stem}.err ]; do sleep 0.1; done; cat ${stem}.err`;
    const { code, stderr, stdout } = await caller.exec(['sh', '-c', `${run} ${untilThere}`]);
    if (code !== 0 || stdout !== '') throw new Error(`the load does not start: ${stdout} ${stderr}`);
    return load;
  }

  /** Reads what has come since the last call. @returns whether the caller could be asked */
  async read(): Promise<boolean> {
    this.#reading = this.#reading.then(() => this.#read());
    return await this.#reading;
  }

  async #read(): Promise<boolean> {
    // What kubectl exec loses is asked for again: what counts is what has arrived.
    const result = await this.#caller.exec(['tail', '-c', `+${this.#readBytes + 1}`, `${this.#stem}.out`], {
      timeoutMs: 20_000,
    });
    if (result.code !== 0 && result.stdout === '') return false;
    this.#readBytes += Buffer.byteLength(result.stdout);
    const lines = (this.#rest + result.stdout).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.lines.push(JSON.parse(line));
    return result.code === 0;
  }

  /** Waits until `reached` holds for what was seen. @returns false when it does not in time */
  async until(reached: () => boolean, timeoutMs: number): Promise<boolean> {
    const poll = async (): Promise<true | undefined> => {
      await this.read();
      return reached() ? true : undefined;
    };
    const onTimeout = (): Error => new Error('late');
    return await waitFor(poll, { timeoutMs, intervalMs: POLL_MS, onTimeout }).catch((error: Error) => {
      if (error.message !== 'late') throw error;
      return false;
    });
  }

  /** Waits until it runs in full and `by` answers. */
  async begun(by: string): Promise<void> {
    const isBegun = (): boolean =>
      this.isSettled(by, 0, BEGUN_PROBES) &&
      (this.#plan.transferBytes === 0 ||
        this.lines.some((line) => line.line === 'progress' && line.bytes >= BEGUN_BYTES));
    if (!(await this.until(isBegun, BEGUN_MS))) throw new Error(`the load has not begun:\n${await this.tail()}`);
  }

  /**
   * Whether, as far as was seen, all is well: the last probes (sent after `sinceMs`) were answered in time by `by`
   * (`undefined`: by anyone), every WebSocket is open, and a transfer has come to its end.
   */
  isSettled(by: string | undefined, sinceMs: number, count = 20): boolean {
    // A kept connection stays with who answers it.
    const isGood = (line: CallerLine): boolean =>
      line.line === 'request' &&
      line.by !== 'failed' &&
      line.tookMs <= SLOW_MS &&
      (by === undefined || line.kind === 'kept' || line.by === by);
    const probes = this.lines.filter((line) => line.line === 'request' && line.kind === 'probe');
    const last = probes.slice(-count);
    const areWell =
      last.length === count && last.every((line) => isGood(line) && 'sentAtMs' in line && line.sentAtMs >= sinceMs);
    if (!areWell) return false;
    const requests = this.lines.filter((line) => line.line === 'request' && line.kind !== 'probe').slice(-count);
    if (!requests.every(isGood)) return false;
    if (this.openWebSockets() !== this.#plan.webSockets) return false;
    if (this.#plan.transferBytes === 0 || sinceMs === 0) return true;
    return this.lines.some(
      (line) => line.line === 'transfer' && line.by !== 'failed' && line.sentAtMs + line.tookMs >= sinceMs,
    );
  }

  openWebSockets(): number {
    const last = this.lines.findLast((line) => line.line === 'opened' || line.line === 'lost');
    return last !== undefined && 'open' in last ? last.open : 0;
  }

  /** Whether the first transfer has come to an end, one or the other. */
  get isTransferred(): boolean {
    return this.#plan.transferBytes === 0 || this.lines.some((line) => line.line === 'transfer');
  }

  /** Asks for nothing more, and waits for nothing. */
  async abandon(): Promise<void> {
    await this.#caller.exec(['touch', this.#plan.stopFile]);
  }

  /** Lets what is under way come to its end. @returns everything seen */
  async stop(): Promise<readonly CallerLine[]> {
    await waitFor(
      async () => ((await this.#caller.exec(['touch', this.#plan.stopFile])).code === 0 ? true : undefined),
      {
        timeoutMs: 60_000,
        intervalMs: 500,
        onTimeout: () => new Error('the caller cannot be asked'),
      },
    );
    const isEnded = await this.until(() => this.lines.at(-1)?.line === 'end', 90_000);
    if (!isEnded) throw new Error(`the load does not end:\n${await this.tail()}`);
    await this.#caller.exec(['sh', '-c', `rm -f ${this.#stem}.*`]);
    return this.lines;
  }

  async tail(): Promise<string> {
    const { stdout } = await this.#caller.exec(['sh', '-c', `tail -n 5 ${this.#stem}.out ${this.#stem}.err`]);
    return stdout;
  }
}
