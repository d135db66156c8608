import assert from 'node:assert/strict';
import { chown, copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { waitFor } from '../cluster/exec.ts';
import { type Caller, type TestCluster, type TestNamespace, useCluster } from './cluster.ts';
import { type Laptop, startLaptop } from './laptop.ts';
import type { NamespaceOptions } from './test-namespace.ts';
import { APP_CODE, type WorkloadOptions, withoutServerMetadata, workload } from './workloads.ts';

/** Who answered how many requests, and what went wrong with the others. */
export interface Tally {
  /** By the first word of the answer: `app`, `laptop`, … */
  readonly by: Readonly<Record<string, number>>;
  /** Names of the hosts that answered. */
  readonly hosts: readonly string[];
  readonly failures: readonly string[];
}

/** Runs in the caller pod: <url> <count> <at once>, each request on a connection of its own. */
const CALL_CODE = `
const http = require('node:http');
const [url, count, atOnce] = process.argv.slice(1);
const by = {}, hosts = new Set(), failures = [];
let left = Number(count);
const one = () => new Promise((resolve) => {
  const fail = (error) => { failures.push(String(error.code ?? error.message)); resolve(); };
  const request = http.get(url, { agent: false, timeout: 20000 }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; }).on('error', fail).on('end', () => {
      const [who, host] = body.split(' ');
      by[who] = (by[who] ?? 0) + 1;
      hosts.add(host);
      resolve();
    });
  });
  request.on('timeout', () => request.destroy(new Error('timeout'))).on('error', fail);
});
const worker = async () => { while (left-- > 0) await one(); };
Promise.all(Array.from({ length: Number(atOnce) }, worker)).then(() =>
  console.log(JSON.stringify({ by, hosts: [...hosts], failures })));
`;

const CALLS_AT_ONCE = 8;

/** The cluster, or undefined where there is none; the reason is printed once, and vitest reports the tests as skipped. */
export async function clusterOrUndefined(): Promise<TestCluster | undefined> {
  const cluster = await useCluster();
  if (!('notRun' in cluster)) return cluster;
  console.error(`not run: ${cluster.notRun}`);
  return undefined;
}

/** A namespace with workloads and a caller, and a laptop with the process to run there. */
export class Scene {
  readonly cluster: TestCluster;
  readonly namespace: TestNamespace;
  readonly laptop: Laptop;
  /** The process on the laptop: `node` runs it; the same text as the app, plus what was given to open(). */
  readonly processFile: string;
  readonly #caller: Caller;

  private constructor(
    cluster: TestCluster,
    namespace: TestNamespace,
    laptop: Laptop,
    caller: Caller,
    processFile: string,
  ) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.laptop = laptop;
    this.#caller = caller;
    this.processFile = processFile;
  }

  static async open(
    cluster: TestCluster,
    prefix: string,
    processCode = APP_CODE,
    options: NamespaceOptions = {},
  ): Promise<Scene> {
    const [namespace, laptop] = await Promise.all([cluster.createNamespace(prefix, options), startLaptop(cluster)]);
    const processFile = join(laptop.home, 'process.cjs');
    await writeFile(processFile, processCode);
    await chown(processFile, laptop.uid, laptop.uid);
    return new Scene(cluster, namespace, laptop, await namespace.caller(), processFile);
  }

  get caller(): Caller {
    return this.#caller;
  }

  /** Puts the process on another laptop. @returns its path there */
  async copyProcess(laptop: Laptop): Promise<string> {
    const file = join(laptop.home, 'process.cjs');
    await copyFile(this.processFile, file);
    await chown(file, laptop.uid, laptop.uid);
    return file;
  }

  /** Applies workloads and waits until all are rolled out. */
  async deploy(...all: readonly Omit<WorkloadOptions, 'image'>[]): Promise<void> {
    await this.namespace.apply(all.flatMap((options) => workload({ image: this.cluster.nodeImage, ...options })));
    await Promise.all(
      all.map(({ kind = 'Deployment', name }) => this.namespace.rolledOut(`${kind.toLowerCase()}/${name}`)),
    );
  }

  /** Sends requests through a Service (or to any URL), each on a fresh connection. */
  async call(target: string, count = 20): Promise<Tally> {
    const url = target.startsWith('http:') ? target : `http://${target}/`;
    const result = await this.caller.exec(['node', '-e', CALL_CODE, url, String(count), String(CALLS_AT_ONCE)], {
      timeoutMs: 90_000,
    });
    if (result.code !== 0) throw new Error(`calls to ${url} ended with ${result.code}: ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  /** The text a GET through a Service is answered with. */
  async get(url: string): Promise<string> {
    const code = `fetch(${JSON.stringify(url)}).then((r) => r.text()).then((t) => process.stdout.write(t))`;
    const result = await this.caller.exec(['node', '-e', code]);
    if (result.code !== 0) throw new Error(`GET ${url}: ${result.stderr}`);
    return result.stdout;
  }

  /** Objects as they must be again after an intercept: `deployment/web`, `service/web`. */
  async snapshot(...resources: readonly string[]): Promise<unknown[]> {
    return await Promise.all(
      resources.map(async (resource) => withoutServerMetadata(await this.namespace.get(resource))),
    );
  }

  /** Our ConfigMaps and Secrets in the namespace, one name a line. */
  async leftovers(): Promise<string> {
    const selector = 'app.kubernetes.io/managed-by=kube-intercept';
    return await this.namespace.kubectl(['get', 'configmaps,secrets', '-l', selector, '-o', 'name']);
  }

  /**
   * Waits until objects are as before and nothing of ours is left, where somebody restores in the background: what is last to be
   * put back (settings, annotation) comes behind ConfigMap and Secret.
   */
  async untilRestored(
    resources: readonly string[],
    before: readonly unknown[],
    shown: () => string = () => '',
  ): Promise<void> {
    let now: unknown[] = [];
    const isBack = async (): Promise<true | undefined> => {
      now = await this.snapshot(...resources);
      return isDeepStrictEqual(now, before) && (await this.leftovers()) === '' ? true : undefined;
    };
    await waitFor(isBack, { timeoutMs: 90_000, onTimeout: () => new Error('late') }).catch(async (late: unknown) => {
      assert.deepEqual(now, before, shown());
      assert.equal(await this.leftovers(), '', shown());
      throw late;
    });
  }

  /** Waits until all callers of a Service are answered: the node's proxy and DNS follow the readiness of its pods. */
  async untilAnswered(target: string): Promise<void> {
    await waitFor(async () => ((await this.call(target)).failures.length === 0 ? true : undefined), {
      timeoutMs: 60_000,
      onTimeout: () => new Error(`${target} does not answer`),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.laptop.dispose(), this.namespace.dispose()]);
  }
}
