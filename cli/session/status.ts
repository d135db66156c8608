import type { Filter } from '../../src/http/filter.ts';
import type { RouteTo } from '../../src/protocol/control.ts';
import type { Inside } from '../network/types.ts';
import type { PortReport } from '../ui/events.ts';

/** An agent keeps a claim for at most so long behind a lost tunnel, and --no-fallback with it (the agents' own limit). */
export const CLAIM_KEPT_MS = 30_000;

/** A session's answer on its control socket. */
export interface SessionStatus {
  /** `reconnecting`: it was ready, and there is no way to any of its pods. */
  readonly state: 'starting' | 'ready' | 'reconnecting' | 'leaving';
  readonly waitingFor?: string;
  readonly ports: readonly PortStatus[];
  /** Absent: everything on the ports. */
  readonly filter?: Filter;
  /** Copies only. */
  readonly mirror?: boolean;
  /** Nobody answers what the laptop does not. */
  readonly fallback?: 'refuse';
  readonly pods: readonly PodStatus[];
  /** Absent where the process is left where it is, and until it is started. */
  readonly network?: NetworkStatus;
  /** What other processes of the user need to be inside, too: of a proxy port; where the copies of files are. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** How the process is inside the cluster. */
export interface NetworkStatus {
  readonly mode: Inside['mode'] | 'system';
  /** Why it is not the mode that is preferred. */
  readonly reason?: string;
  /** Of mode `proxy`: the address of the SOCKS5 and HTTP proxy. */
  readonly proxy?: string;
  /** Of mode `system`: what is reached, and by which resolver, for people. */
  readonly system?: string;
}

export interface PortStatus extends PortReport {
  readonly routedTo: RouteTo;
  readonly listening: boolean;
  readonly openConnections: number;
  /** Connections (with a filter: requests) that agents have handed over so far, and copies cut short; absent: none has told yet. */
  readonly taken?: number;
  readonly dropped?: number;
}

/** The way to one agent. Unless it is connected, its callers have the app (with --no-fallback: an error). */
export interface PodStatus {
  readonly pod: string;
  /** The kind of its carrier, or of the last one. */
  readonly carrier?: string;
  /** `reconnecting`: what is open waits; `disconnected`: it was reset, and a new tunnel is dialled. */
  readonly state: 'connected' | 'reconnecting' | 'disconnected';
  /** How long it has not been connected, and why. */
  readonly forMs?: number;
  readonly reason?: string;
  readonly roundTripMs?: number;
}
