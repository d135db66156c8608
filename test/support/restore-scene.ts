import assert from 'node:assert/strict';
import { waitFor } from '../cluster/exec.ts';
import type { TestCluster } from './cluster.ts';
import { type InterceptRun, startIntercept } from './intercept-run.ts';
import { type Laptop, startLaptop } from './laptop.ts';
import { Scene } from './scene.ts';
import { filesOn, untilNoProcess } from './traces.ts';
import { APP_CODE } from './workloads.ts';

const OBJECTS = ['deployment/web', 'service/web'];
export const START_MS = 90_000;

export interface RunOptions {
  readonly laptop?: Laptop;
  readonly command?: readonly string[];
  readonly tty?: boolean;
  readonly port?: number;
}

/** A scene with the Deployments `web` (by a port name) and `api` (by a number), whose objects have to be exactly as before. */
export class RestoreScene implements AsyncDisposable {
  readonly scene: Scene;
  readonly before: unknown[];
  readonly #cluster: TestCluster;
  readonly #laptops: Laptop[] = [];
  readonly #runs: InterceptRun[] = [];

  private constructor(cluster: TestCluster, scene: Scene, before: unknown[]) {
    this.#cluster = cluster;
    this.scene = scene;
    this.before = before;
  }

  static async open(cluster: TestCluster, prefix: string, replicas: number): Promise<RestoreScene> {
    const scene = await Scene.open(cluster, prefix);
    await scene.deploy({ name: 'web', replicas }, { name: 'api', replicas: 1, ports: 'numeric' });
    return new RestoreScene(cluster, scene, await scene.snapshot(...OBJECTS));
  }

  /** Intercepts with the app's own text, on a port of the laptop, as the process. */
  async start(target: string, options: RunOptions = {}): Promise<InterceptRun> {
    const { laptop = this.scene.laptop, command = ['--', 'node', '-e', APP_CODE], tty = false, port = 3000 } = options;
    const own = ['--port', `${port}`, '--env', 'WHO=laptop', '--env', `PORT=${port}`, '--env', 'DRAIN_MS=0'];
    const run = await startIntercept(laptop, [target, ...own, ...command], { namespace: this.scene.namespace, tty });
    this.#runs.push(run);
    return run;
  }

  async anotherLaptop(user: 'games' | 'news'): Promise<Laptop> {
    const laptop = await startLaptop(this.#cluster, { user });
    this.#laptops.push(laptop);
    return laptop;
  }

  /** Waits until objects are as before and nothing of ours is left in the namespace. */
  async untilRestored(transcript: () => string, timeoutMs = 60_000): Promise<void> {
    let now: unknown[] = [];
    await waitFor(
      async () => {
        now = await this.scene.snapshot(...OBJECTS);
        const same = JSON.stringify(now) === JSON.stringify(this.before);
        return same && (await this.scene.leftovers()) === '' ? true : undefined;
      },
      { timeoutMs, intervalMs: 200, onTimeout: () => new Error(`not restored in ${timeoutMs} ms; ${transcript()}`) },
    ).catch(async (error: unknown) => {
      assert.deepEqual(now, this.before, transcript());
      assert.equal(await this.scene.leftovers(), '', transcript());
      throw error;
    });
  }

  /** Right now: a session that has ended has restored. */
  async assertRestored(transcript: string): Promise<void> {
    assert.deepEqual(await this.scene.snapshot(...OBJECTS), this.before, transcript);
    assert.equal(await this.scene.leftovers(), '', transcript);
  }

  async assertNothingOn(laptop: Laptop): Promise<void> {
    await untilNoProcess(laptop);
    assert.deepEqual(await filesOn(laptop), []);
  }

  /** A failed test must not leave its session to the next. */
  async endRuns(): Promise<void> {
    for (const run of this.#runs.splice(0)) {
      if (run.child.exitCode !== null || run.child.signalCode !== null) continue;
      run.child.kill('SIGINT');
      await run.exited;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#laptops.splice(0).map((laptop) => laptop.dispose()));
    await this.scene[Symbol.asyncDispose]();
  }
}
