// Requests of several kinds from the caller pod, mixed on fresh and kept connections.
import { waitFor } from '../cluster/exec.ts';
import { storeProgram } from './bundle.ts';
import type { Caller, ExecResult } from './cluster.ts';
import type { MixedKind, MixedPlan, MixedReport } from './programs/mixed-caller.ts';

export type { MixedKind, MixedReport } from './programs/mixed-caller.ts';

const MAX_MS = 420_000;
let started = 0;
const begunFile = (pidFile: string): string => `${pidFile}.begun`;

/** Sends `count` requests and waits for their answers. */
export async function callMixed(
  caller: Caller,
  url: string,
  kinds: Readonly<Record<string, MixedKind>>,
  count: number,
): Promise<MixedReport> {
  return await (await MixedLoad.start(caller, url, kinds, { count, atOnce: 16, pauseMs: 0 })).ended();
}

/** Requests that go on until somebody stops them, or `count` are done. */
export class MixedLoad {
  readonly #caller: Caller;
  readonly #pidFile: string;
  readonly #result: Promise<ExecResult>;

  private constructor(caller: Caller, pidFile: string, result: Promise<ExecResult>) {
    this.#caller = caller;
    this.#pidFile = pidFile;
    this.#result = result;
    result.catch(() => {}); // told by ended()
  }

  static async start(
    caller: Caller,
    url: string,
    kinds: Readonly<Record<string, MixedKind>>,
    options: { readonly count?: number; readonly atOnce?: number; readonly pauseMs?: number } = {},
  ): Promise<MixedLoad> {
    const program = await storeProgram(caller, 'mixed-caller');
    const pidFile = `/tmp/mixed-${process.pid}-${started++}.pid`;
    const files = { pidFile, begunFile: begunFile(pidFile) };
    const plan: MixedPlan = { url, kinds, atOnce: 8, pauseMs: 20, seed: Date.now() % 1e6, ...files, ...options };
    console.log(`mixed requests: seed ${plan.seed}`);
    const result = caller.exec(['node', program, JSON.stringify(plan)], { timeoutMs: MAX_MS });
    return new MixedLoad(caller, pidFile, result);
  }

  /** Resolves once every kind of request has been answered. */
  async begun(): Promise<void> {
    const isBegun = async (): Promise<true | undefined> =>
      (await this.#caller.exec(['test', '-e', begunFile(this.#pidFile)])).code === 0 ? true : undefined;
    await waitFor(isBegun, {
      timeoutMs: 60_000,
      intervalMs: 300,
      onTimeout: () => new Error('some kind has no answer'),
    });
  }

  /** Ends it once the requests under way have their answers. */
  async stop(): Promise<MixedReport> {
    await this.#caller.exec(['sh', '-c', `kill -INT $(cat ${this.#pidFile})`]);
    return await this.ended();
  }

  async ended(): Promise<MixedReport> {
    const { code, stdout, stderr } = await this.#result;
    if (code !== 0) throw new Error(`mixed-caller ended with ${code}:\n${stdout}\n${stderr}`);
    return JSON.parse(stdout);
  }
}
