import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { LinkUnknownError, sessionHandshake } from '../../src/mux/handshake.ts';
import { Link } from '../../src/mux/link.ts';
import { Mux, type OpenInfo } from '../../src/mux/mux.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { Transport } from '../../src/mux/transport.ts';
import type { ControlEvent, SessionIdentity } from '../../src/protocol/control.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import { type AgentAddress, type Carrier, dialCarrier } from './carriers.ts';
import { ControlClient } from './control-client.ts';
import { firstOf } from './first-of.ts';
import { Standstill } from './standstill.ts';
import { whyUnknown } from './unknown-link.ts';

const HANDSHAKE_DEADLINE_MS = 5_000;
/** Of a carrier that replaces a lost one: what a link takes for a sign of death, too. */
const RESUME_HANDSHAKE_DEADLINE_MS = 2_500;
/** While a dial is not answered another one begins: what was sent while the network was away is sent again late by TCP. */
const REDIAL_EVERY_MS = 1_000;
const MAX_DIALS_AT_ONCE = 5;

export interface AgentTunnelOptions {
  readonly access: KubeAccess;
  readonly address: AgentAddress;
  /** The install's Secret key, 32 bytes. */
  readonly key: Uint8Array;
  readonly identity: SessionIdentity;
  /** How long the tunnel outlives a lost carrier; 0: not at all. */
  readonly resumeMs: number;
  readonly onOpen: (stream: MuxStream, info: OpenInfo) => void;
  readonly onEvent: (event: ControlEvent) => void;
  readonly log: Log;
}

/** One authenticated tunnel to one agent. It outlives its carriers, where somebody brings it another one in time. */
export interface AgentTunnel {
  readonly pod: string;
  /** The kind of the present carrier, or of the last one. */
  readonly carrier: Carrier;
  readonly mux: Mux;
  readonly control: ControlClient;
  /** Whether it leads to the agent now. */
  readonly isAttached: boolean;
  /** Nothing brings it back. */
  readonly isOver: boolean;
  /** Why its carrier was lost, and when (performance.now()); undefined while it is attached. */
  readonly detached: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** Resolves when it is not attached any more. */
  untilDetached(): Promise<void>;
  /**
   * Brings another carrier in place of the lost one.
   * @throws InterceptorError as connectAgentTunnel(); TUNNEL_LOST also when the agent does not know the tunnel any more: it is over
   */
  redial(carrier: Carrier, signal: AbortSignal): Promise<void>;
  /** Ends it, its streams with it. */
  close(): Promise<void>;
}

/**
 * Dials an agent over one carrier and proves both ends to each other.
 * @throws InterceptorError TUNNEL_REFUSED, TUNNEL_UNAUTHENTICATED, TUNNEL_VERSION, TUNNEL_LOST, CLUSTER_*
 */
export async function connectAgentTunnel(
  options: AgentTunnelOptions,
  carrier: Carrier,
  signal: AbortSignal,
): Promise<AgentTunnel> {
  const tunnel = new LinkedTunnel(options, carrier);
  try {
    await tunnel.begin(signal);
    return tunnel;
  } catch (error) {
    void tunnel.close();
    throw error;
  }
}

/** No carrier brings the tunnel back: the agent does not know it, or is another one. */
function isOver(error: unknown): error is InterceptorError {
  if (!(error instanceof InterceptorError)) return false;
  return error instanceof LinkUnknownError || ['TUNNEL_UNAUTHENTICATED', 'TUNNEL_VERSION'].includes(error.code);
}

class LinkedTunnel implements AgentTunnel {
  readonly pod: string;
  readonly mux: Mux;
  readonly control: ControlClient;
  carrier: Carrier;
  isOver = false;
  detached: AgentTunnel['detached'];
  readonly #options: AgentTunnelOptions;
  readonly #link: Link;
  readonly #waiters = new Set<() => void>();
  readonly #standstill = new Standstill();
  /** Date.now() when it was still seen to lead to the agent. */
  #awaySinceMs = Date.now();

  constructor(options: AgentTunnelOptions, carrier: Carrier) {
    const { address, onOpen, onEvent, resumeMs, log } = options;
    this.#options = options;
    this.pod = address.pod;
    this.carrier = carrier;
    this.#link = new Link({
      resumeForMs: resumeMs,
      log,
      onAttached: () => {
        this.detached = undefined;
      },
      onDetached: (reason) => {
        this.#awaySinceMs = Date.now() - this.#standstill.recentMs;
        this.detached = { reason: errorText(reason), sinceMs: performance.now() };
        this.#wake();
      },
    });
    this.control = new ControlClient(
      (message) => this.mux.sendControl(message),
      onEvent,
      () => !this.isAttached,
    );
    this.mux = new Mux(this.#link, {
      side: 'session',
      onOpen,
      onControl: (message) => this.control.receive(message),
      log,
    });
    void this.mux.closed.then((error) => this.#ended(error));
  }

  get isAttached(): boolean {
    return this.#link.isAttached;
  }

  async begin(signal: AbortSignal): Promise<void> {
    const { access, address } = this.#options;
    const transport = await dialCarrier(access, address, this.carrier, signal);
    await this.#attach(transport, HANDSHAKE_DEADLINE_MS, signal);
  }

  async redial(carrier: Carrier, signal: AbortSignal): Promise<void> {
    const { access, address } = this.#options;
    const transport = await firstOf((given) => dialCarrier(access, address, carrier, given), {
      everyMs: REDIAL_EVERY_MS,
      atOnce: MAX_DIALS_AT_ONCE,
      drop: (late) => late.terminate(),
      signal,
    });
    await this.#attach(transport, RESUME_HANDSHAKE_DEADLINE_MS, signal);
    this.carrier = carrier;
  }

  async untilDetached(): Promise<void> {
    if (!this.isAttached) return;
    await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  close(): Promise<void> {
    return this.mux.close();
  }

  async #attach(transport: Transport, deadlineMs: number, signal: AbortSignal): Promise<void> {
    const { key, identity } = this.#options;
    const link = this.#link;
    try {
      const shaken = await sessionHandshake(transport, { key, session: identity, link, deadlineMs, signal });
      link.attach(shaken.transport, shaken.at);
    } catch (thrown) {
      transport.terminate();
      const isUnknown = thrown instanceof LinkUnknownError;
      const error = isUnknown
        ? new LinkUnknownError(whyUnknown(Date.now() - this.#awaySinceMs, link.resumeMs))
        : thrown;
      if (isOver(error)) link.fail(error);
      throw error;
    }
  }

  #ended(error: Error | undefined): void {
    this.isOver = true;
    this.#standstill[Symbol.dispose]();
    const text = error === undefined ? 'the agent closed the tunnel' : errorText(error);
    this.control.close(new InterceptorError('TUNNEL_LOST', `tunnel to pod/${this.pod}: ${text}`, { cause: error }));
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }
}
