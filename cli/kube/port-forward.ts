import { Duplex } from 'node:stream';
import type { RawMessage, RawWebSocket } from '../../src/net/transport/raw-websocket.ts';
import { resourcePath, withQuery } from './client-paths.ts';
import { openWebSocket } from './client-websocket.ts';
import type { KubeAccess } from './kubeconfig-types.ts';

/** Kubelets accept no later version for port-forward (only exec knows v5). */
const SUBPROTOCOL = 'v4.channel.k8s.io';
const DATA_CHANNEL = 0;
const ERROR_CHANNEL = 1;
/** The first message of each channel is the port, as uint16. */
const PORT_BYTES = 2;
/** Written together as one message; also what one forward may hold unsent. */
const HIGH_WATER_BYTES = 1024 * 1024;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const MAX_ERROR_CHARACTERS = 1_000;

export interface PortForwardTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  readonly signal: AbortSignal;
}

/**
 * One connection to a port of a pod through pods/portforward. That the port refuses is known later: the stream is destroyed with
 * the kubelet's error. No half-close: end() closes both directions, as the protocol has no other way.
 * @returns a Duplex that also serves as socket (`tls.connect({ socket })`); the signal ends only the opening
 * @throws as openWebSocket()
 */
export async function openPortForward(access: KubeAccess, target: PortForwardTarget): Promise<Duplex> {
  const { namespace, pod, port, signal } = target;
  const pods = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace, name: pod, subresource: 'portforward' });
  const webSocket = await openWebSocket(access, {
    path: withQuery(pods, { ports: port }),
    protocols: [SUBPROTOCOL],
    maxPayloadBytes: MAX_MESSAGE_BYTES,
    signal,
  });
  return new PortForwardStream(webSocket, `${namespace}/${pod}:${port}`);
}

class PortForwardStream extends Duplex {
  readonly #webSocket: RawWebSocket;
  readonly #name: string;
  readonly #portRead = [false, false];

  constructor(webSocket: RawWebSocket, name: string) {
    super({ writableHighWaterMark: HIGH_WATER_BYTES, readableHighWaterMark: HIGH_WATER_BYTES, allowHalfOpen: false });
    this.#webSocket = webSocket;
    this.#name = name;
    webSocket.binaryType = 'nodebuffer';
    webSocket.on('message', (data) => this.#receive(data));
    webSocket.on('error', (error) => this.destroy(error));
    webSocket.on('close', (code) => {
      // 1000 and an absent code are orderly; anything else cut the stream.
      if (code === 1000 || code === 1005) this.push(null);
      else this.destroy(this.#error(`the connection was lost (${code})`));
    });
  }

  override _read(): void {
    this.#webSocket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([chunk], chunk.byteLength, done);
  }

  override _writev(parts: readonly { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const chunks = parts.map(({ chunk }) => chunk);
    this.#send(
      chunks,
      chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#webSocket.close(1000);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { readyState, CONNECTING, OPEN } = this.#webSocket;
    // After _final the closing handshake is on its way; ws ends it by itself after its own time-out.
    if (error !== null || readyState === OPEN || readyState === CONNECTING) this.#webSocket.terminate();
    else this.#webSocket.resume(); // a paused socket would never see the peer's close frame
    done(error);
  }

  #send(chunks: readonly Buffer[], bytes: number, done: (error?: Error | null) => void): void {
    const message = Buffer.allocUnsafe(bytes + 1);
    message[0] = DATA_CHANNEL;
    let at = 1;
    for (const chunk of chunks) {
      message.set(chunk, at);
      at += chunk.byteLength;
    }
    // Called once the OS has taken it: this is the backpressure.
    this.#webSocket.send(message, { binary: true }, (error) => done(error ?? null));
  }

  #receive(data: RawMessage): void {
    if (!Buffer.isBuffer(data) || data.byteLength === 0) return;
    const channel = data[0];
    if (channel !== DATA_CHANNEL && channel !== ERROR_CHANNEL) return;
    const first = this.#portRead[channel] === false;
    this.#portRead[channel] = true;
    const payload = data.subarray(first ? 1 + PORT_BYTES : 1);
    if (payload.byteLength === 0) return;
    if (channel === ERROR_CHANNEL) {
      this.destroy(this.#error(payload.toString('utf8').trim().slice(0, MAX_ERROR_CHARACTERS)));
    } else if (!this.push(payload)) this.#webSocket.pause();
  }

  #error(text: string): Error {
    return Object.assign(new Error(`port-forward to ${this.#name}: ${text}`), { code: 'ECONNRESET' });
  }

  // What http.Agent and tls call on a socket.
  setKeepAlive(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}
