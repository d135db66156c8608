import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { sessionHandshake } from '../../src/mux/handshake.ts';
import { Mux, type OpenInfo } from '../../src/mux/mux.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { Transport } from '../../src/mux/transport.ts';
import type { ControlEvent, SessionIdentity } from '../../src/protocol/control.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import { type AgentAddress, type Carrier, dialCarrier } from './carriers.ts';
import { ControlClient } from './control-client.ts';

const HANDSHAKE_DEADLINE_MS = 5_000;

export interface AgentTunnelOptions {
  readonly access: KubeAccess;
  readonly address: AgentAddress;
  /** The install's Secret key, 32 bytes. */
  readonly key: Uint8Array;
  readonly identity: SessionIdentity;
  readonly carrier: Carrier;
  readonly onOpen: (stream: MuxStream, info: OpenInfo) => void;
  readonly onEvent: (event: ControlEvent) => void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** One authenticated tunnel to one agent. */
export interface AgentTunnel {
  readonly pod: string;
  readonly carrier: Carrier;
  readonly mux: Mux;
  readonly control: ControlClient;
  close(): Promise<void>;
}

/**
 * Dials an agent over one carrier and proves both ends to each other.
 * @throws InterceptorError TUNNEL_REFUSED, TUNNEL_UNAUTHENTICATED, TUNNEL_VERSION, TUNNEL_LOST, CLUSTER_*
 */
export async function connectAgentTunnel(options: AgentTunnelOptions): Promise<AgentTunnel> {
  const { address, identity, key, log, signal } = options;
  const transport = await dialCarrier(options.access, address, options.carrier, signal);
  try {
    await sessionHandshake(transport, { key, session: identity, deadlineMs: HANDSHAKE_DEADLINE_MS, signal });
  } catch (error) {
    transport.terminate();
    throw error;
  }
  return openTunnel(transport, options, log);
}

function openTunnel(transport: Transport, options: AgentTunnelOptions, log: Log): AgentTunnel {
  const control = new ControlClient((message) => mux.sendControl(message), options.onEvent);
  const mux = new Mux(transport, {
    side: 'session',
    onOpen: options.onOpen,
    onControl: (message) => control.receive(message),
    log,
  });
  void mux.closed.then((error) => {
    const text = error === undefined ? 'the agent closed the tunnel' : errorText(error);
    control.close(
      new InterceptorError('TUNNEL_LOST', `tunnel to pod/${options.address.pod}: ${text}`, { cause: error }),
    );
  });
  return { pod: options.address.pod, carrier: options.carrier, mux, control, close: () => mux.close() };
}
