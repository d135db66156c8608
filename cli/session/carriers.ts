import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Transport } from '../../src/mux/transport.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import type { AgentAddress, AgentTunnel } from './agent-tunnel.ts';

/** How a tunnel reaches its agent through the API server. */
export type Carrier = 'proxy' | 'port-forward';
export type TunnelOption = 'auto' | Carrier;

/** Dials one agent over one carrier. @throws InterceptorError TUNNEL_REFUSED, TUNNEL_LOST, CLUSTER_* */
export async function dialCarrier(
  access: KubeAccess,
  address: AgentAddress,
  carrier: Carrier,
  signal: AbortSignal,
): Promise<Transport> {
  void access;
  void address;
  void carrier;
  void signal;
  throw new InterceptorError('INTERNAL', 'not built yet');
}

/**
 * Which carrier the session's tunnels use. With `auto` pods/proxy is tried first and port-forward when that is refused; the
 * one that worked first is used from then on.
 */
export class CarrierChoice {
  readonly #option: TunnelOption;
  #worked: Carrier | undefined;

  constructor(option: TunnelOption) {
    this.#option = option;
  }

  async connect(dial: (carrier: Carrier) => Promise<AgentTunnel>): Promise<AgentTunnel> {
    if (this.#option !== 'auto') return await dial(this.#option);
    if (this.#worked !== undefined) return await dial(this.#worked);
    let tunnel: AgentTunnel;
    try {
      tunnel = await dial('proxy');
    } catch (refusal) {
      if (!isCarrierRefusal(refusal)) throw refusal;
      tunnel = await dial('port-forward').catch((error: unknown) => {
        throw new InterceptorError('TUNNEL_REFUSED', `${errorText(error)} (and pods/proxy: ${errorText(refusal)})`, {
          cause: error,
        });
      });
    }
    this.#worked ??= tunnel.carrier;
    return tunnel;
  }
}

/** Whether another carrier may fare better: this one was answered with a refusal, or cannot get to the pod. */
function isCarrierRefusal(error: unknown): boolean {
  if (!(error instanceof InterceptorError)) return false;
  return error.code === 'TUNNEL_REFUSED' || error.code === 'CLUSTER_FORBIDDEN';
}
