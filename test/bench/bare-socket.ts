import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { WebSocket } from 'ws';
import { openWebSocket, podProxyPath } from '../../cli/kube/client-websocket.ts';
import { makeCredentials } from '../../cli/kube/credentials.ts';
import { loadKubeConfig } from '../../cli/kube/kubeconfig.ts';
import type { KubeAccess } from '../../cli/kube/kubeconfig-types.ts';
import type { TestCluster, TestNamespace } from '../support/cluster.ts';

const PORT = 8443;
const CHUNK = Buffer.alloc(64 * 1024);
const HIGH_WATER_BYTES = 1024 * 1024;
const MAX_PAYLOAD_BYTES = 1024 * 1024;

/** A bare WebSocket over pods/proxy to a pod: what any tunnel through the API server is measured against. */
export class BareSocket {
  readonly #access: KubeAccess;
  readonly #namespace: string;

  private constructor(access: KubeAccess, namespace: string) {
    this.#access = access;
    this.#namespace = namespace;
  }

  /** Starts the pod. */
  static async start(cluster: TestCluster, namespace: TestNamespace): Promise<BareSocket> {
    const entry = fileURLToPath(new URL('./bare-server.mjs', import.meta.url));
    const bundle = await build({
      entryPoints: [entry],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      minify: true,
      write: false,
    });
    const { tlsKey, tlsCert } = await makeCredentials('bare');
    const data = { 'server.cjs': bundle.outputFiles[0]?.text, 'tls.key': tlsKey, 'tls.crt': tlsCert };
    const container = {
      name: 'bare',
      image: cluster.nodeImage,
      imagePullPolicy: 'IfNotPresent',
      command: ['node', '/bench/server.cjs'],
      readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
      volumeMounts: [{ name: 'bench', mountPath: '/bench' }],
    };
    await namespace.apply([
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bare' }, data },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'bare' },
        spec: { containers: [container], volumes: [{ name: 'bench', configMap: { name: 'bare' } }] },
      },
    ]);
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/bare', '--timeout=60s'], { timeoutMs: 65_000 });
    return new BareSocket(await loadKubeConfig({ kubeconfig: namespace.developerKubeconfig }), namespace.name);
  }

  /** Round trips of a small message, one after another, in milliseconds. */
  async roundTrips(count: number): Promise<number[]> {
    const socket = await this.#open('echo/0');
    const trips: number[] = [];
    for (let i = 0; i < count; i++) {
      const started = performance.now();
      socket.send('x'.repeat(100));
      await once(socket, 'message');
      trips.push(performance.now() - started);
    }
    socket.terminate();
    return trips;
  }

  /** MiB/s from here to the pod. */
  async upload(bytes: number): Promise<number> {
    const socket = await this.#open(`sink/${bytes}`);
    const started = performance.now();
    const done = once(socket, 'message');
    for (let left = bytes; left > 0; left -= CHUNK.length) {
      if (socket.bufferedAmount < HIGH_WATER_BYTES) socket.send(CHUNK);
      else await new Promise((resolve) => socket.send(CHUNK, resolve));
    }
    await done;
    socket.terminate();
    return mebibytesPerSecond(bytes, started);
  }

  /** MiB/s from the pod to here. */
  async download(bytes: number): Promise<number> {
    const socket = await this.#open(`source/${bytes}`);
    const started = performance.now();
    let left = bytes;
    await new Promise<void>((resolve, reject) => {
      socket.on('message', (message: Buffer) => {
        left -= message.length;
        if (left <= 0) resolve();
      });
      socket.once('error', reject);
    });
    socket.terminate();
    return mebibytesPerSecond(bytes, started);
  }

  async #open(mode: string): Promise<WebSocket> {
    const path = podProxyPath({ namespace: this.#namespace, pod: 'bare', port: PORT, path: mode });
    const signal = AbortSignal.timeout(30_000);
    const socket = await openWebSocket(this.#access, { path, maxPayloadBytes: MAX_PAYLOAD_BYTES, signal });
    // once() waits for a message or an error: one that is closed on the way says neither.
    let cause: unknown;
    socket.on('error', (error) => {
      cause ??= error;
    });
    socket.once('close', (code, reason) => {
      socket.emit('error', new Error(`the bare WebSocket closed early: ${code} ${reason}`, { cause }));
    });
    socket.resume();
    return socket;
  }
}

export function mebibytesPerSecond(bytes: number, startedMs: number): number {
  return bytes / 2 ** 20 / ((performance.now() - startedMs) / 1000);
}
