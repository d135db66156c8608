import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DRAIN_MAX_MS } from '../src/protocol/agent-config.ts';
import { DRAIN_MIN_MS, DRAIN_QUIET_MS, MAX_DRAIN_PEERS, STOP_SIGNAL_WAIT_MS } from './limits.ts';
import { UnauthenticatedPeers } from './unauthenticated-peers.ts';

export interface DrainPortOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** When the last caller came to a route: Date.now(), or 0. */
  readonly lastCallerMs: () => number;
  /** Tests make these short. */
  readonly limits?: Partial<DrainLimits>;
}

export interface DrainLimits {
  /** Never sooner after the pod was told to stop: nodes' proxies have to hear of it. */
  readonly minMs: number;
  /** Nor while callers came within this time. */
  readonly quietMs: number;
  readonly maxMs: number;
  /** Who asks in a pod that is not being stopped is answered after this: its container alone is to end (a failed liveness probe). */
  readonly signalWaitMs: number;
}

/**
 * What the app's containers have as their preStop hook: plain HTTP that is answered once callers have had the time to hear that
 * the pod goes; behind the answer the kubelet sends SIGTERM. It tells nothing and changes nothing, so it needs no authentication (and
 * a kubelet has none to give, nor does that of 1.20 speak TLS to a hook); who holds connections open loses its own first.
 */
export class DrainPort {
  readonly #server: Server;
  readonly #options: DrainPortOptions;
  readonly #limits: DrainLimits;
  readonly #peers: UnauthenticatedPeers;
  readonly #waiting = new Map<ServerResponse, NodeJS.Timeout | undefined>();
  /** Resolves once the pod is being stopped and its hooks are answered, or nobody is to be answered any more. */
  readonly answered: Promise<void>;
  #haveAnswered: () => void = () => {};
  #stoppedMs: number | undefined;
  #check: NodeJS.Timeout | undefined;

  /** Use startDrainPort. */
  constructor(options: DrainPortOptions) {
    this.#options = options;
    this.answered = new Promise((resolve) => {
      this.#haveAnswered = resolve;
    });
    this.#limits = {
      minMs: DRAIN_MIN_MS,
      quietMs: DRAIN_QUIET_MS,
      maxMs: DRAIN_MAX_MS,
      signalWaitMs: STOP_SIGNAL_WAIT_MS,
      ...options.limits,
    };
    this.#peers = new UnauthenticatedPeers(MAX_DRAIN_PEERS, this.#limits.maxMs + this.#limits.signalWaitMs);
    // The path does not count: the kubelet of 1.20 puts a slash of its own before it.
    this.#server = createServer((_request, response) => this.#take(response));
    this.#server.on('connection', (socket) => this.#peers.add(socket));
    this.#server.on('clientError', (_failure, socket) => socket.destroy());
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws the system's error when the port cannot be bound */
  async listen(): Promise<void> {
    this.#server.listen(this.#options.port);
    await once(this.#server, 'listening');
    this.#server.on('error', () => {}); // accept() failed (EMFILE): a hook that fails ends its container at once, as without us
  }

  /** The pod is being stopped. */
  stopping(): void {
    if (this.#stoppedMs !== undefined) return;
    this.#stoppedMs = Date.now();
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#judge();
  }

  close(): void {
    clearTimeout(this.#check);
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    this.#peers.close();
    this.#server.close();
    this.#haveAnswered();
  }

  #take(response: ServerResponse): void {
    response.setHeader('Connection', 'close');
    const timer =
      this.#stoppedMs === undefined ? setTimeout(() => this.#answer(response), this.#limits.signalWaitMs) : undefined;
    this.#waiting.set(response, timer);
    response.once('close', () => {
      clearTimeout(timer);
      this.#waiting.delete(response);
    });
    if (this.#stoppedMs !== undefined) this.#judge();
  }

  #judge(): void {
    if (this.#stoppedMs === undefined) return;
    clearTimeout(this.#check);
    const { minMs, quietMs, maxMs } = this.#limits;
    const quietAtMs = Math.max(this.#stoppedMs + minMs, this.#options.lastCallerMs() + quietMs);
    const leftMs = Math.min(quietAtMs, this.#stoppedMs + maxMs) - Date.now();
    if (leftMs > 0) {
      this.#check = setTimeout(() => this.#judge(), leftMs);
      return;
    }
    for (const response of [...this.#waiting.keys()]) this.#answer(response);
    this.#haveAnswered();
  }

  #answer(response: ServerResponse): void {
    this.#waiting.delete(response);
    response.writeHead(204).end();
  }
}

/** Binds the port. @throws the system's error when it cannot be bound */
export async function startDrainPort(options: DrainPortOptions): Promise<DrainPort> {
  const port = new DrainPort(options);
  await port.listen();
  return port;
}
