import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import type { UdpFlow } from '../types.ts';
import { type AgentWay, checkDestination, openAgentDatagrams } from './agent-dial.ts';

/** Unsent datagrams of one flow; what finds no room is dropped. */
const MAX_UNSENT_BYTES = 512 * 1024;
/** Datagrams that wait for the name of their destination. */
const MAX_WAITING_DATAGRAMS = 64;
/** What a NAT keeps a flow for at least (RFC 4787 REQ-5), both ways silent. */
const IDLE_MS = 120_000;

/** What a flow is made of: how to send, how to end. */
interface Path {
  send(datagram: Buffer): void;
  close(): void;
}

/** Idle time, and the end told once, for both kinds of flow. */
class Flow implements UdpFlow {
  onMessage: ((datagram: Buffer) => void) | undefined;
  onClose: (() => void) | undefined;
  #path: Path | undefined;
  #waiting: Buffer[] = [];
  #closed = false;
  readonly #idle: NodeJS.Timeout;

  constructor() {
    this.#idle = setTimeout(() => this.end(), IDLE_MS).unref();
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** The way is there: what waited goes out. */
  attach(path: Path): void {
    if (this.#closed) {
      path.close();
      return;
    }
    this.#path = path;
    for (const datagram of this.#waiting) path.send(datagram);
    this.#waiting = [];
  }

  send(datagram: Buffer): void {
    if (this.#closed) return;
    this.#idle.refresh();
    if (this.#path !== undefined) this.#path.send(datagram);
    else if (this.#waiting.length < MAX_WAITING_DATAGRAMS) this.#waiting.push(Buffer.from(datagram));
  }

  receive(datagram: Buffer): void {
    if (this.#closed) return;
    this.#idle.refresh();
    this.onMessage?.(datagram);
  }

  /** Ended by the path or by silence. */
  end(): void {
    if (this.#closed) return;
    this.close();
    this.onClose?.();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#idle);
    this.#waiting = [];
    this.#path?.close();
  }
}

/** A flow whose way is found out later; `choose` rejecting ends it. */
export function openLaterFlow(choose: () => Promise<UdpFlow>): UdpFlow {
  const flow = new Flow();
  const start = async (): Promise<void> => {
    const inner = await choose();
    inner.onMessage = (datagram) => flow.receive(datagram);
    inner.onClose = () => flow.end();
    flow.attach({ send: (datagram) => inner.send(datagram), close: () => inner.close() });
  };
  start().catch(() => flow.end()); // there is no such name, or no way: a network would be silent, too
  return flow;
}

/** Datagrams from the pod. @throws DialError */
export function openAgentFlow(way: AgentWay, host: string, port: number): UdpFlow {
  const stream = openAgentDatagrams(way, host, port);
  const flow = new Flow();
  const reader = new LengthPrefixReader();
  stream.on('data', (chunk: Buffer) => {
    for (const datagram of reader.push(chunk)) flow.receive(datagram);
  });
  stream.once('end', () => flow.end());
  stream.once('close', () => flow.end());
  flow.attach({
    send: (datagram) => {
      if (stream.writableLength + datagram.byteLength <= MAX_UNSENT_BYTES) stream.write(withLength(datagram));
    },
    close: () => stream.resetAndDestroy(),
  });
  return flow;
}

/** Datagrams from the laptop. @throws DialError */
export function openLaptopFlow(host: string, port: number): UdpFlow {
  checkDestination(host, port);
  const flow = new Flow();
  const start = async (): Promise<void> => {
    const { address, family } = isIP(host) === 0 ? await lookup(host) : { address: host, family: isIP(host) };
    if (flow.isClosed) return;
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    let connected = false;
    socket.on('error', () => {
      // ECONNREFUSED by ICMP, no route, …
      if (!connected) socket.close();
      flow.end();
    });
    socket.on('message', (datagram) => flow.receive(datagram));
    // Connected: datagrams of strangers do not come in.
    socket.once('connect', () => {
      connected = true;
      flow.attach({
        send: (datagram) => {
          if (socket.getSendQueueSize() + datagram.byteLength <= MAX_UNSENT_BYTES) socket.send(datagram, () => {});
        },
        close: () => socket.close(),
      });
    });
    socket.connect(port, address); // without a callback: it would get the errors
  };
  start().catch(() => flow.end());
  return flow;
}
