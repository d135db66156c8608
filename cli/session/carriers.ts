import { connect as connectTls } from 'node:tls';
import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Transport } from '../../src/mux/transport.ts';
import { connectWebSocket, webSocketTransport } from '../../src/net/transport/websocket.ts';
import { TUNNEL_PATH } from '../../src/protocol/agent-config.ts';
import { MAX_MESSAGE_BYTES } from '../../src/protocol/limits.ts';
import { isForbidden, KubeStatusError } from '../kube/client.ts';
import { openWebSocket, podProxyPath } from '../kube/client-websocket.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import { openPortForward } from '../kube/port-forward.ts';

/** How a tunnel reaches its agent through the API server. */
export type Carrier = 'proxy' | 'port-forward';
export type TunnelOption = 'auto' | Carrier;

export interface AgentAddress {
  readonly namespace: string;
  readonly pod: string;
  readonly tunnelPort: number;
  /** PEM of the only certificate that is accepted from the agent, where the session sees it (port-forward). */
  readonly certificate: string;
}

const DIAL_DEADLINE_MS = 10_000;
/** An agent that has just started may not listen yet; only after this many refusals another carrier is tried. */
const PATIENCE = 5;

/** Dials one agent over one carrier. @throws InterceptorError TUNNEL_REFUSED, TUNNEL_LOST, CLUSTER_* */
export async function dialCarrier(
  access: KubeAccess,
  address: AgentAddress,
  carrier: Carrier,
  signal: AbortSignal,
): Promise<Transport> {
  return carrier === 'proxy' ? await dialProxy(access, address, signal) : await dialForward(access, address, signal);
}

async function dialProxy(access: KubeAccess, address: AgentAddress, signal: AbortSignal): Promise<Transport> {
  const { namespace, pod, tunnelPort: port } = address;
  const path = podProxyPath({ namespace, pod, port, path: TUNNEL_PATH });
  const webSocket = await openWebSocket(access, {
    path,
    maxPayloadBytes: MAX_MESSAGE_BYTES,
    signal,
    timeoutMs: DIAL_DEADLINE_MS,
  });
  const transport = webSocketTransport(webSocket);
  webSocket.resume();
  return transport;
}

async function dialForward(access: KubeAccess, address: AgentAddress, signal: AbortSignal): Promise<Transport> {
  const { namespace, pod, tunnelPort: port, certificate } = address;
  const forward = await openPortForward(access, { namespace, pod, port, signal });
  const tls = connectTls({
    socket: forward,
    ca: certificate,
    // The install's own certificate is the only authority here; its name says nothing about this pod.
    checkServerIdentity: () => undefined,
  });
  return await connectWebSocket({
    url: `wss://${pod}${TUNNEL_PATH}`,
    createConnection: () => tls,
    signal,
    deadlineMs: DIAL_DEADLINE_MS,
  });
}

/**
 * Which carrier the session's tunnels use. With `auto` pods/proxy is tried first and port-forward when that is refused; the
 * one that worked first is used from then on.
 */
export class CarrierChoice {
  readonly #option: TunnelOption;
  #worked: Carrier | undefined;
  #refusals = 0;

  constructor(option: TunnelOption) {
    this.#option = option;
  }

  /** Dials by the kind that worked before, or by those there are until one works. @throws what `dial` throws */
  async dial<T>(dial: (carrier: Carrier) => Promise<T>): Promise<T> {
    if (this.#option !== 'auto') return await dial(this.#option);
    if (this.#worked !== undefined) return await this.#again(this.#worked, dial);
    try {
      const made = await dial('proxy');
      this.#worked ??= 'proxy';
      return made;
    } catch (refusal) {
      if (!isCarrierRefusal(refusal)) throw refusal;
      this.#refusals += 1;
      if (mayPass(refusal) && this.#refusals < PATIENCE) throw refusal;
      const made = await dial('port-forward').catch((error: unknown) => {
        throw neither(refusal, error);
      });
      this.#worked ??= 'port-forward';
      return made;
    }
  }

  /** What worked may be refused from now on: rights change, and so do proxies in front of an API server. */
  async #again<T>(worked: Carrier, dial: (carrier: Carrier) => Promise<T>): Promise<T> {
    try {
      const made = await dial(worked);
      this.#refusals = 0;
      return made;
    } catch (error) {
      if (isCarrierRefusal(error)) this.#refusals += 1;
      if (this.#refusals >= PATIENCE && this.#worked === worked) this.#worked = undefined;
      throw error;
    }
  }
}

/** Why no carrier works. Missing rights for both are final (CLUSTER_FORBIDDEN): dialling again does not cure them. */
function neither(proxy: unknown, forward: unknown): InterceptorError {
  if (isForbidden(proxy) && isForbidden(forward))
    return new InterceptorError('CLUSTER_FORBIDDEN', `no way to the agent: ${proxy.message}, and ${forward.message}`, {
      hint: `one of them is enough; ${proxy.hint ?? ''}`,
      cause: forward,
    });
  return new InterceptorError('TUNNEL_REFUSED', `${errorText(forward)} (and pods/proxy: ${errorText(proxy)})`, {
    cause: forward,
  });
}

/** Whether another carrier may fare better: this one was answered with a refusal, or cannot get to the pod. */
function isCarrierRefusal(error: unknown): boolean {
  return error instanceof KubeStatusError || (error instanceof InterceptorError && error.code === 'TUNNEL_REFUSED');
}

/** A 5xx says that the API server did not get through to the pod now: it may not listen yet. */
function mayPass(error: unknown): boolean {
  return error instanceof KubeStatusError && error.status >= 500;
}
