import type { PortReport } from '../ui/events.ts';

/** A session's answer on its control socket. */
export interface SessionStatus {
  readonly state: 'starting' | 'ready' | 'leaving';
  readonly waitingFor?: string;
  readonly ports: readonly PortStatus[];
  readonly pods: readonly PodStatus[];
}

export interface PortStatus extends PortReport {
  readonly routedTo: 'laptop' | 'app';
  readonly listening: boolean;
  readonly openConnections: number;
}

export interface PodStatus {
  readonly pod: string;
  readonly carrier: string;
  readonly roundTripMs?: number;
}
