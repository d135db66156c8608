// Where the cells of the matrix take place: one cluster, one caller, and a namespace with a workload that is used again
// as long as the cells leave it as it was.
import type { Caller, TestCluster, TestNamespace } from '../support/cluster.ts';
import { laptopProgram, programWorkload } from '../support/program-workload.ts';
import { Scene } from '../support/scene.ts';

export const WORKLOAD = 'web';
export const OBJECTS = [`deployment/${WORKLOAD}`, `service/${WORKLOAD}`] as const;
const REPLICAS = 2;

/** A workload and a laptop with the same program. */
export interface Place {
  readonly scene: Scene;
  readonly processFile: string;
  /** The Service by its address: 200 look-ups a second would measure the DNS server. */
  readonly url: string;
}

export class Setting implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly caller: Caller;
  readonly #callers: TestNamespace;
  #place: Place | undefined;

  private constructor(cluster: TestCluster, callers: TestNamespace, caller: Caller) {
    this.cluster = cluster;
    this.#callers = callers;
    this.caller = caller;
  }

  /** The caller stands in a namespace of its own, which no fault touches. */
  static async open(cluster: TestCluster): Promise<Setting> {
    const callers = await cluster.createNamespace('faults-caller');
    return new Setting(cluster, callers, await callers.caller());
  }

  /** The place of the cell before, or a new one. */
  async place(): Promise<Place> {
    this.#place ??= await this.#open();
    return this.#place;
  }

  /** The next cell gets a new place: this one is not as it was. */
  async leavePlace(): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    // A namespace that a fault has taken, and rights that an API server denies while it starts, are told and no more.
    await place?.scene[Symbol.asyncDispose]().catch((error: unknown) => console.log(String(error)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leavePlace();
    await this.#callers.dispose();
  }

  async #open(): Promise<Place> {
    const scene = await Scene.open(this.cluster, 'faults');
    try {
      // A numeric target port is the harder way: the Service is changed, too.
      const program = await programWorkload(scene, 'fault-server');
      await scene.deploy({ name: WORKLOAD, ports: 'numeric', replicas: REPLICAS, ...program });
      const processFile = await laptopProgram(scene.laptop, 'fault-server');
      const { spec } = await scene.namespace.get<{ spec: { clusterIP: string } }>(`service/${WORKLOAD}`);
      return { scene, processFile, url: `http://${spec.clusterIP}` };
    } catch (error) {
      await scene[Symbol.asyncDispose]();
      throw error;
    }
  }
}
