import { randomBytes } from 'node:crypto';
import { errorText } from '../../src/errors.ts';
import type { ControlMethods } from '../../src/protocol/control.ts';
import type { Service } from '../kube/objects.ts';
import type { PortChoice } from '../kube/ports.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import { pause } from './backoff.ts';

/** kube-proxy may take a moment to follow the endpoints; on a large cluster seconds. */
const PROOF_DEADLINE_MS = 15_000;
const PROOF_TRY_MS = 2_000;
/** A datagram that went elsewhere, or was lost, is answered by nobody. */
const DATAGRAM_PROOF_TRY_MS = 500;
const PROOF_POLL_MS = 50;
/**
 * The Service picks an endpoint for each request: while a node's rules still hold a pod of the old template, one proof may
 * pass by luck. With half of the endpoints old, twelve in a row do so once in 4096 times.
 */
const PROOFS_IN_A_ROW = 12;

export type ProofResult =
  | { readonly proved: true; readonly from: number; readonly pod: string }
  | { readonly proved: false; readonly reason: string };

/**
 * Sends requests through the Service from every agent's pod, so from every node that has one, until agents have
 * answered PROOFS_IN_A_ROW from each. The answer cannot come from anybody without the Secret.
 * @param tunnels the agents at this moment
 */
export async function proveThroughService(
  tunnels: readonly AgentTunnel[],
  service: Service,
  choice: PortChoice,
  signal: AbortSignal,
): Promise<ProofResult> {
  const host = service.spec.clusterIP;
  if (host === undefined || host === '' || host === 'None')
    return { proved: false, reason: `service/${service.metadata.name} has no cluster IP to send a request to` };
  const nonce = randomBytes(16).toString('hex');
  await Promise.all(
    tunnels.map((tunnel) => tunnel.control.request('expectProof', { nonce, ttlMs: PROOF_DEADLINE_MS + PROOF_TRY_MS })),
  );
  const deadline = Date.now() + PROOF_DEADLINE_MS;
  const { protocol, servicePort: port } = choice;
  const timeoutMs = protocol === 'udp' ? DATAGRAM_PROOF_TRY_MS : PROOF_TRY_MS;
  const proofs = await Promise.all(
    tunnels.map((tunnel) => proveFrom(tunnel, { nonce, protocol, host, port, timeoutMs }, deadline, signal)),
  );
  await Promise.allSettled(tunnels.map((tunnel) => tunnel.control.request('expectProof', { nonce, ttlMs: 1 })));
  const failed = proofs.find((proof) => !proof.proved);
  if (failed !== undefined) return failed;
  const [first] = proofs;
  return first?.proved === true
    ? { ...first, from: proofs.length }
    : { proved: false, reason: 'no agent is connected' };
}

async function proveFrom(
  tunnel: AgentTunnel,
  params: ControlMethods['prove']['params'],
  deadline: number,
  signal: AbortSignal,
): Promise<ProofResult> {
  for (let inARow = 0; ; ) {
    try {
      const { pod } = await tunnel.control.request('prove', params);
      inARow += 1;
      if (inARow === PROOFS_IN_A_ROW) return { proved: true, from: 1, pod };
      continue;
    } catch (error) {
      inARow = 0;
      if (Date.now() >= deadline || signal.aborted)
        return { proved: false, reason: `from pod/${tunnel.pod}: ${errorText(error)}` };
    }
    await pause(PROOF_POLL_MS, signal);
  }
}
