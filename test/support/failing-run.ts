import assert from 'node:assert/strict';
import { chown, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { tryRun, waitFor } from '../cluster/exec.ts';
import type { TestCluster, TestNamespace } from './cluster.ts';
import { type InterceptRun, startIntercept } from './intercept-run.ts';
import { type Laptop, type LaptopSpawnOptions, startLaptop } from './laptop.ts';
import type { TestKubeconfig } from './test-user.ts';
import { filesOn, untilNoProcess } from './traces.ts';
import { withoutServerMetadata } from './workloads.ts';

const WATCHED = 'deployments,statefulsets,daemonsets,services,configmaps,secrets,replicasets';
/** For a run that was not refused to put back what it changed. */
const RESTORE_MS = 60_000;

export interface FailOptions {
  /** Changes the developer's kubeconfig; a string is written as it is. */
  readonly kubeconfig?: ((config: TestKubeconfig) => TestKubeconfig | string) | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly spawn?: LaptopSpawnOptions;
}

/** How a run ended that was to fail. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  /** From the start of the process to its end. */
  readonly ms: number;
  readonly run: InterceptRun;
}

/** A namespace and a laptop for runs that must fail and leave everything as it was. */
export class FailingBench implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly namespace: TestNamespace;
  readonly laptop: Laptop;
  /** What no output may hold. */
  readonly secrets = new Set<string>();
  #files = 0;
  /** Taken once: every run must leave the cluster as the first one found it. */
  #before: unknown;

  private constructor(cluster: TestCluster, namespace: TestNamespace, laptop: Laptop) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.laptop = laptop;
  }

  static async open(cluster: TestCluster, prefix: string): Promise<FailingBench> {
    const [namespace, laptop] = await Promise.all([cluster.createNamespace(prefix), startLaptop(cluster)]);
    return new FailingBench(cluster, namespace, laptop);
  }

  /** The developer's kubeconfig on the laptop, to be changed. */
  config(): TestKubeconfig {
    return JSON.parse(this.namespace.kubeconfigFor(this.laptop.apiUrl));
  }

  /** Writes a file of the ordinary user into the laptop's home. @returns its path */
  async write(name: string, text: string, mode = 0o600): Promise<string> {
    const file = join(this.laptop.home, name);
    await writeFile(file, text, { mode });
    await chown(file, this.laptop.uid, this.laptop.uid);
    return file;
  }

  /** Starts `intercept … --json` with the agent's image of the cluster unless the arguments name one. */
  async start(args: readonly string[], options: FailOptions = {}): Promise<InterceptRun> {
    const { namespace, laptop } = this;
    const config = options.kubeconfig?.(this.config()) ?? this.config();
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    const file = await this.write(`kubeconfig-${this.#files++}`, text);
    for (const user of typeof config === 'string' ? [] : config.users)
      if (typeof user.user.token === 'string') this.secrets.add(user.user.token);
    const env = { KUBECONFIG: file, ...options.env };
    return await startIntercept(laptop, args, { ...options.spawn, namespace, env });
  }

  /**
   * Runs `intercept … --json` to its end: it must fail with one error event that agrees with the exit code, say nothing it
   * should not, and leave cluster and laptop as they were.
   */
  async fail(args: readonly string[], options: FailOptions = {}): Promise<Failure> {
    this.#before ??= await this.snapshot();
    const sent = this.laptop.relay.bytes().up;
    const startedAt = performance.now();
    const run = await this.start(args, options);
    try {
      const failure = await this.failed(run, startedAt, options.timeoutMs);
      // What sent nothing changed nothing; asking anyway would take most of the time of these tests.
      if (this.laptop.relay.bytes().up !== sent) assert.deepEqual(await this.snapshot(), this.#before, run.transcript);
      await this.expectNothingLeft(run);
      return failure;
    } catch (error) {
      await this.#startAnew();
      throw error;
    }
  }

  /** After a failed test, which has told what was wrong: the next one is not to be judged by what this one has left. */
  async #startAnew(): Promise<void> {
    await untilNoProcess(this.laptop, RESTORE_MS).catch(() => {}); // a guardian that still restores
    const folder = join(this.laptop.home, '.local/state/kube-intercept');
    await Promise.all((await filesOn(this.laptop)).map((file) => rm(join(folder, file), { force: true })));
    this.#before = undefined;
  }

  /** Waits for the end of a run that must fail. @returns its error event */
  async failed(run: InterceptRun, startedAt: number, timeoutMs = 60_000): Promise<Failure> {
    const code = await this.ended(run, timeoutMs);
    const ms = performance.now() - startedAt;
    const errors = run.events.filter((event) => event.event === 'error');
    assert.equal(errors.length, 1, run.transcript);
    const [error] = errors;
    assert.ok(error !== undefined && run.events.at(-1) === error, run.transcript);
    assert.equal(error.exitCode, ERRORS[error.code].exitCode, run.transcript);
    assert.equal(code, error.exitCode, run.transcript);
    assert.notEqual(error.code, 'INTERNAL', run.transcript);
    this.expectDiscreet(run);
    return { code: error.code, message: error.message, hint: error.hint ?? '', ms, run };
  }

  /** The exit code of a run; one that has not ended in time is ended, restores what it changed, and fails the test. */
  async ended(run: InterceptRun, timeoutMs = 60_000): Promise<number | null> {
    let isLate = false;
    const end = setTimeout(() => {
      isLate = true;
      run.child.kill('SIGINT');
    }, timeoutMs);
    const insist = setTimeout(() => run.child.kill('SIGKILL'), timeoutMs + RESTORE_MS);
    const { code, signal } = await run.exited;
    clearTimeout(end);
    clearTimeout(insist);
    assert.ok(!isLate, `not ended after ${timeoutMs} ms:\n${run.transcript}`);
    assert.equal(signal, null, run.transcript);
    return code;
  }

  /** No stack trace, no warning of Node, no token and no value of an agent's Secret in what was printed. */
  expectDiscreet(run: InterceptRun): void {
    const printed = `${run.transcript}\n${run.stdout}`;
    assert.doesNotMatch(printed, /^\s+at .+:\d+/m);
    assert.doesNotMatch(printed, /\(node:\d+\)/);
    for (const secret of this.secrets) assert.ok(!printed.includes(secret), 'a secret was printed');
  }

  /** Learns the values of the agents' Secrets that are there now. @returns how many */
  async learnSecrets(): Promise<number> {
    const { items } = await this.namespace.get<{
      items: { metadata: { name: string }; data?: Record<string, string> }[];
    }>('secrets');
    const ours = items.filter(({ metadata }) => metadata.name.startsWith('kube-intercept-'));
    for (const { data = {} } of ours)
      for (const value of [data.key, data['tls.key']])
        if (value !== undefined) {
          this.secrets.add(value);
          // of PEM, the lines: a whole one would not be found in JSON, where line ends are escaped
          for (const line of Buffer.from(value, 'base64').toString('utf8').split('\n'))
            if (line.length > 20 && !line.startsWith('-----')) this.secrets.add(line);
        }
    return ours.length;
  }

  /** Workloads and Services without what the server sets, and the names of ours among ConfigMaps, Secrets and ReplicaSets. */
  async snapshot(): Promise<unknown> {
    type Item = { kind: string; metadata: { name: string } };
    const { items } = await this.namespace.get<{ items: Item[] }>(WATCHED);
    const of = (...kinds: string[]): Item[] => items.filter(({ kind }) => kinds.includes(kind));
    const names = (found: Item[]): string[] => found.map(({ metadata }) => metadata.name);
    return {
      objects: of('Deployment', 'StatefulSet', 'DaemonSet', 'Service').map(withoutServerMetadata),
      ours: names(of('ConfigMap', 'Secret')).filter((name) => name.includes('kube-intercept')),
      history: names(of('ReplicaSet').filter((set) => JSON.stringify(set).includes('kube-intercept'))),
    };
  }

  /** The laptop holds no session file or socket any more, and no process of ours. */
  async expectNothingLeft(run: InterceptRun): Promise<void> {
    const files = await readdir(this.laptop.home, { recursive: true, withFileTypes: true });
    const state = files.filter((entry) => !entry.isDirectory() && entry.parentPath.includes('kube-intercept'));
    assert.deepEqual(
      state.map(({ name }) => name),
      [],
      run.transcript,
    );
    await waitFor(
      async () => ((await tryRun(['ip', 'netns', 'pids', this.laptop.netns])).stdout.trim() === '' ? true : undefined),
      { timeoutMs: 10_000, onTimeout: () => new Error(`processes are left on the laptop after\n${run.transcript}`) },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.laptop.dispose(), this.namespace.dispose()]);
  }
}
