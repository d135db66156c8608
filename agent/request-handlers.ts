import type { Mux } from '../src/mux/mux.ts';
import { VERSION } from '../src/version.ts';
import { appEnvironment } from './app-environment.ts';
import type { AgentSettings } from './config.ts';
import type { OutgoingOptions } from './outgoing/outgoing.ts';
import { readPodNetwork } from './pod-network.ts';
import { type ArmedProofs, prove, proveByDatagram } from './proof.ts';
import type { RequestHandlers } from './requests.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import { withTlsTexts } from './tls-material.ts';
import type { SessionVolumes } from './volumes/volumes.ts';

/** What requests of all sessions are about. */
export interface RequestedAgent {
  readonly settings: AgentSettings;
  /** The agent's own environment, from which the app's is told. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly places: Pick<OutgoingOptions, 'resolvConf' | 'volumePlaces'>;
  readonly sessions: Sessions<Mux>;
  readonly proofs: ArmedProofs;
  /** Aborted when the agent closes. */
  readonly stopped: AbortSignal;
  readonly openConnections: () => number;
  readonly isDraining: () => boolean;
}

/**
 * What the agent does for one session, by control method (PROTOCOL.md); params are parsed and bounded (requests.ts).
 * @param volumes of this tunnel: they are what `files` watches
 * @returns handlers that throw RequestFailure for what is refused, and the system's error where the pod cannot be read
 */
export function requestHandlers(
  agent: RequestedAgent,
  session: Session<Mux>,
  tunnel: Mux,
  volumes: SessionVolumes,
): RequestHandlers {
  const { settings, places, sessions, proofs } = agent;
  const { key } = settings.credentials;
  return {
    claim: async (wish) => {
      const intercepts = await withTlsTexts(wish.intercepts, places.volumePlaces);
      sessions.claim(session, { ...wish, intercepts });
      return {};
    },
    route: ({ appPort, protocol, to }) => {
      sessions.route(session, { appPort, protocol }, to);
      return {};
    },
    release: () => {
      sessions.release(session);
      return {};
    },
    environment: () => ({ variables: appEnvironment(agent.env) }),
    network: () => readPodNetwork(settings.podIp, places.resolvConf),
    files: (params) => volumes.files(params),
    status: () => ({
      pod: settings.podName,
      agentVersion: VERSION,
      ...sessions.status(),
      openConnections: agent.openConnections(),
      draining: agent.isDraining(),
    }),
    expectProof: ({ nonce, ttlMs }) => {
      const onProved = (appPort: number): void =>
        tunnel.sendControl({ type: 'event', event: 'proved', nonce, appPort });
      proofs.arm(nonce, ttlMs, onProved);
      return {};
    },
    prove: ({ nonce, protocol, host, port, timeoutMs }) => {
      const signal = AbortSignal.any([agent.stopped, AbortSignal.timeout(timeoutMs)]);
      return (protocol === 'udp' ? proveByDatagram : prove)({ host, port }, nonce, key, signal);
    },
    evict: ({ by, sessionIds }) => ({ sessions: sessions.evict(session, by, sessionIds) }),
  };
}
