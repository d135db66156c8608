import type { InterceptRun } from '../support/intercept-run.ts';
import type { Load } from './load.ts';
import type { Place, Setting } from './setting.ts';

/** What a fault can reach, while a session intercepts and a load is at work. */
export interface FaultContext {
  readonly setting: Setting;
  readonly place: Place;
  readonly run: InterceptRun;
  readonly load: Load;
  /** 0 … below 1, from a printed seed. */
  readonly random: () => number;
  /** How long faults that come again and again go on, at least. */
  readonly repeatMs: number;
  /** Tells that it was injected once more just now. */
  readonly again: () => void;
  /** Told in the report. */
  readonly note: (text: string) => void;
}

/** What the issue asks of a fault, beside "no byte wrong, nothing left". */
export type Target = 'no failures' | 'app within 5 s' | 'reported';

/** Objects of the workload by name (`deployment/web`), as they are compared. */
export type Objects = Readonly<Record<string, unknown>>;

export interface Fault {
  readonly name: string;
  readonly target: Target;
  /** Who answers once it is over; undefined: anyone may. */
  readonly settledBy: 'laptop' | 'app' | undefined;
  /** The session ends by itself. */
  readonly endsSession?: boolean;
  /** The namespace does not outlive it. */
  readonly takesPlace?: boolean;
  /** Why it can be had on a cluster of test/cluster only. */
  readonly ownClusterOnly?: string;
  /** What the session's command gets as arguments. */
  readonly processArguments?: readonly string[];
  /** Does it, and comes back when it is over. */
  inject(context: FaultContext): Promise<void>;
  /** Takes back what it did to the laptop, once the cell is measured. */
  undo?(context: FaultContext): Promise<void>;
  /** What objects must be in the end, if not what they were. */
  expected?(before: Objects): Objects;
}
