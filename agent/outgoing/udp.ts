import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { systemErrorCode } from '../../src/errors.ts';
import type { MuxStream } from '../../src/mux/mux.ts';
import { LengthPrefixReader, MAX_PREFIXED_BYTES, withLength } from '../../src/net/length-prefix.ts';
import type { ResetReason } from '../../src/protocol/frames.ts';
import { MAX_UDP_UNSENT_BYTES, UDP_ANSWERED_IDLE_MS, UDP_ENDED_IDLE_MS, UDP_IDLE_MS } from '../limits.ts';
import { dialFailureReason } from './dial-failure.ts';
import { type Lookup, lookUpFirst } from './lookup.ts';

/**
 * Serves a stream of kind `udp`: a connected socket, so that only its peer's datagrams come back, and an ICMP error does.
 * What finds no room either way is dropped. Silence for long ends the stream with `timeout`.
 * @returns once both are closed; never rejects
 */
export async function serveUdp(stream: MuxStream, lookup: Lookup, idleMs = UDP_IDLE_MS): Promise<void> {
  const { host, port } = stream.info;
  let socket: Socket | undefined;
  try {
    const address = await lookUpFirst(lookup, host);
    if (stream.destroyed) return;
    socket = await connectUdp(address, port);
  } catch (failure) {
    stream.refuse(dialFailureReason(failure));
    return;
  }
  if (stream.destroyed) socket.close();
  else await new UdpFlow(stream, socket, idleMs).over;
}

/** @throws the system's error: no route, no more sockets */
async function connectUdp(address: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('connect', resolve); // a callback in its place would get the errors
      socket.connect(port, address);
    });
    socket.removeAllListeners('error');
    return socket;
  } catch (failure) {
    socket.close();
    throw failure;
  }
}

class UdpFlow {
  /** Both are closed. */
  readonly over: Promise<void>;
  readonly #stream: MuxStream;
  readonly #socket: Socket;
  readonly #reader = new LengthPrefixReader();
  readonly #idleMs: number;
  #answered = false;
  #timer: NodeJS.Timeout;

  constructor(stream: MuxStream, socket: Socket, idleMs: number) {
    this.#stream = stream;
    this.#socket = socket;
    this.#idleMs = idleMs;
    this.#timer = this.#newTimer();
    socket.on('message', (datagram) => this.#fromPeer(datagram));
    socket.on('error', (failure) => this.#end(dialFailureReason(failure)));
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of this.#reader.push(chunk)) this.#toPeer(datagram);
    });
    stream.on('end', () => this.#touch());
    this.over = new Promise((resolve) => {
      socket.on('close', resolve);
      stream.on('close', () => {
        clearTimeout(this.#timer);
        socket.close();
      });
    });
    stream.accept();
  }

  #fromPeer(datagram: Buffer): void {
    this.#answered = true;
    this.#touch();
    if (this.#stream.writableNeedDrain || datagram.byteLength > MAX_PREFIXED_BYTES) return;
    this.#stream.write(withLength(datagram));
  }

  #toPeer(datagram: Buffer): void {
    this.#touch();
    if (this.#socket.getSendQueueSize() > MAX_UDP_UNSENT_BYTES) return;
    this.#socket.send(datagram, (failure) => {
      // EMSGSIZE, ENOBUFS: this datagram is lost, as in a network; the flow is not.
      const code = systemErrorCode(failure);
      if (code === undefined || code === 'EMSGSIZE' || code === 'ENOBUFS') return;
      this.#end(dialFailureReason(failure));
    });
  }

  #touch(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#newTimer();
  }

  #newTimer(): NodeJS.Timeout {
    const usual = this.#answered ? (this.#idleMs * UDP_ANSWERED_IDLE_MS) / UDP_IDLE_MS : this.#idleMs;
    const idleMs = this.#stream.readableEnded ? Math.min(UDP_ENDED_IDLE_MS, usual) : usual;
    return setTimeout(() => this.#end('timeout'), idleMs);
  }

  #end(reason: ResetReason): void {
    if (reason === 'timeout' && this.#stream.readableEnded) this.#stream.end();
    else this.#stream.resetAndDestroy(reason);
  }
}
