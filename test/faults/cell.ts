import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { laptopState } from '../support/laptop-state.ts';
import type { CallerLine } from '../support/programs/fault-lines.ts';
import type { Fault, FaultContext } from './fault.ts';
import { type Figures, figuresOf } from './figures.ts';
import { clusterLeftovers, laptopLeftovers, objectsOf } from './leftovers.ts';
import { Load, type LoadName, type LoadSize } from './load.ts';
import { OBJECTS, type Place, type Setting } from './setting.ts';

const READY_MS = 120_000;
const RECOVERED_MS = 120_000;
const ENDED_MS = 150_000;
const MARK = 'FAULTS_MARK';
/** DESIGN section 1: a session's death; the figure. */
export const APP_BACK_MS = 5_000;

export interface CellPlan {
  readonly fault: Fault;
  readonly load: LoadName;
  readonly size: LoadSize;
  readonly repeatMs: number;
  readonly random: () => number;
}

export interface CellResult {
  readonly fault: string;
  readonly load: string;
  readonly figures?: Figures;
  readonly leftovers: readonly string[];
  readonly notes: readonly string[];
  /** What a target was missed by; empty: all are met. */
  readonly missed: readonly string[];
  readonly seconds: number;
  /** The session's events, for a cell that missed. */
  readonly transcript: string;
}

/** Starts an intercept and a load, injects the fault, waits until all is well again, ends both, and looks at what is left. */
export async function runCell(setting: Setting, plan: CellPlan): Promise<CellResult> {
  const startedAt = performance.now();
  const cell = new Cell(setting, plan, await setting.place());
  try {
    await cell.run();
  } catch (error) {
    cell.missed.push(`the cell failed: ${error instanceof Error ? error.message : String(error)}`);
    await cell.abandon();
  }
  if (cell.missed.length > 0 || plan.fault.takesPlace === true) await setting.leavePlace();
  return {
    fault: plan.fault.name,
    load: plan.load,
    ...(cell.figures === undefined ? {} : { figures: cell.figures }),
    leftovers: cell.leftovers,
    notes: cell.notes,
    missed: cell.missed,
    seconds: Math.round((performance.now() - startedAt) / 1000),
    transcript: cell.session?.transcript ?? '',
  };
}

/** Starts a session of the place's program, and waits until it is ready. */
export async function startSession(
  place: Place,
  options: { mark: string; args?: readonly string[]; processArguments?: readonly string[] },
): Promise<InterceptRun> {
  const { scene, processFile } = place;
  const { home, uid } = scene.laptop;
  // Folders of its own, so that whatever a session leaves is seen.
  for (const folder of ['tmp', 'run']) {
    await mkdir(join(home, folder), { mode: 0o700, recursive: true });
    await chown(join(home, folder), uid, uid);
  }
  const own = ['--env', 'WHO=laptop', '--env', 'PORT=3000', '--env', 'DRAIN_MS=0', ...(options.args ?? [])];
  const command = ['--', process.execPath, processFile, ...(options.processArguments ?? [])];
  return await startIntercept(scene.laptop, ['web', '--port', '3000', ...own, ...command], {
    namespace: scene.namespace,
    env: { [MARK]: options.mark, TMPDIR: join(home, 'tmp'), XDG_RUNTIME_DIR: join(home, 'run') },
  });
}

class Cell {
  readonly missed: string[] = [];
  readonly notes: string[] = [];
  leftovers: readonly string[] = [];
  figures: Figures | undefined;
  session: InterceptRun | undefined;
  #load: Load | undefined;
  readonly #setting: Setting;
  readonly #plan: CellPlan;
  readonly #place: Place;
  readonly #mark: string;

  constructor(setting: Setting, plan: CellPlan, place: Place) {
    this.#setting = setting;
    this.#plan = plan;
    this.#place = place;
    this.#mark = `${plan.fault.name}-${plan.load}`;
  }

  async run(): Promise<void> {
    const { fault, load: loadName, size, repeatMs, random } = this.#plan;
    const { scene, url } = this.#place;
    const variable = `${MARK}=${this.#mark}`;
    await scene.laptop.kubeconfig(scene.namespace);
    const [objects, laptop] = [await objectsOf(scene), await laptopState(scene.laptop, variable)];
    const session = await startSession(this.#place, {
      mark: this.#mark,
      ...(fault.processArguments === undefined ? {} : { processArguments: fault.processArguments }),
    });
    this.session = session;
    await session.until('ready', READY_MS);
    // Idle: nothing is asked before the fault, which would tell the session of it.
    const idleMs = loadName === 'idle' ? 3_000 : 0;
    const load = await Load.start(this.#setting.caller, url, loadName, size, { startAtMs: Date.now() + idleMs });
    this.#load = load;
    if (idleMs > 0) await new Promise((resolve) => setTimeout(resolve, idleMs - 300));
    else await load.begun('laptop');

    const injectedAtMs = Date.now();
    let lastAtMs = injectedAtMs;
    const context: FaultContext = {
      setting: this.#setting,
      place: this.#place,
      run: session,
      load: load,
      random,
      repeatMs,
      again: () => {
        lastAtMs = Date.now();
      },
      note: (text) => this.notes.push(text),
    };
    const reading = setInterval(() => void load.read().catch(() => {}), 5_000); // the caller's file is read while it goes on
    await fault.inject(context).finally(() => clearInterval(reading));
    const healedAtMs = Date.now();
    const isWell = (): boolean => load.isSettled(fault.settledBy, healedAtMs);
    if (fault.takesPlace !== true && !(await load.until(isWell, RECOVERED_MS)))
      this.missed.push(`not well ${RECOVERED_MS / 1000} s after it`);
    const lines = await load.stop();
    this.figures = figuresOf(lines, { injectedAtMs, lastAtMs, healedAtMs }, fault.settledBy);
    await this.#endSession(session);
    await fault.undo?.(context);
    const expected = fault.expected?.(objects) ?? objects;
    const inCluster = fault.takesPlace ? [] : await clusterLeftovers(scene, expected);
    this.leftovers = [...inCluster, ...(await laptopLeftovers(scene, variable, laptop))];
    this.#judge(lines);
  }

  /** Ends what still runs, of a cell that failed. */
  async abandon(): Promise<void> {
    await this.#load?.abandon();
    this.session?.child.kill('SIGCONT');
    this.session?.child.kill('SIGKILL');
    await this.session?.exited;
  }

  async #endSession(session: InterceptRun): Promise<void> {
    const hasEnded = (): boolean => session.child.exitCode !== null || session.child.signalCode !== null;
    if (!hasEnded() && this.#plan.fault.endsSession !== true) session.child.kill('SIGINT');
    const timer = setTimeout(() => {
      this.missed.push(`the session has not ended in ${ENDED_MS / 1000} s`);
      session.child.kill('SIGKILL');
    }, ENDED_MS);
    const wasOver = hasEnded();
    const { code, signal } = await session.exited;
    clearTimeout(timer);
    this.notes.push(`session ${wasOver ? 'had ended' : 'ended'} with ${code ?? signal}`);
  }

  #judge(lines: readonly CallerLine[]): void {
    const { figures, missed } = this;
    if (figures === undefined) return;
    const { failedRequests, lostWebSockets, failedTransfers, wrongBytes, appAfterMs } = figures;
    const failed = failedRequests + lostWebSockets + failedTransfers;
    if (wrongBytes > 0) missed.push(`${wrongBytes} bytes wrong`);
    if (this.leftovers.length > 0) missed.push(`${this.leftovers.length} leftovers`);
    if (this.#plan.fault.target === 'no failures' && failed > 0) missed.push(`${failed} failed`);
    if (this.#plan.fault.target === 'app within 5 s' && !((appAfterMs ?? Number.POSITIVE_INFINITY) <= APP_BACK_MS))
      missed.push(`the app answered after ${appAfterMs} ms`);
    if (lines.length === 0) missed.push(`nothing was asked of ${OBJECTS.join(', ')}`);
  }
}
