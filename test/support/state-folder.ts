import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of one test, in which its sessions keep their state; XDG_STATE_HOME leads there until it is closed. */
export class StateFolder {
  readonly path: string;
  readonly #before: ReadonlyMap<string, string | undefined>;

  private constructor(path: string, variables: Readonly<Record<string, string>>) {
    this.path = path;
    this.#before = new Map(Object.keys(variables).map((name) => [name, process.env[name]]));
    Object.assign(process.env, variables);
  }

  static async open(): Promise<StateFolder> {
    const path = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
    return new StateFolder(path, { XDG_STATE_HOME: path });
  }

  /** With a folder `run` for what lives as long as its user is logged in; the state is in `state`, which is not there yet. */
  static async openWithRuntime(): Promise<StateFolder> {
    const path = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
    await mkdir(join(path, 'run'), { mode: 0o700 });
    return new StateFolder(path, { XDG_STATE_HOME: join(path, 'state'), XDG_RUNTIME_DIR: join(path, 'run') });
  }

  /** Puts the variables back and removes the folder. */
  async close(): Promise<void> {
    for (const [name, value] of this.#before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await rm(this.path, { recursive: true, force: true });
  }
}
