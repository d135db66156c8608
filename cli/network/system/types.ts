// What the command and the parts of system mode share.
import type { Log } from '../../../src/log.ts';
import type { PodNetwork } from '../../../src/protocol/control.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Report } from '../../ui/events.ts';
import type { Egress, Resolver } from '../types.ts';

export interface SystemModeOptions {
  readonly client: KubeClient;
  /** The pod's own: its Services go by their short name. */
  readonly namespace: string;
  readonly egress: Egress;
  /**
   * Must not ask the laptop by getaddrinfo (that comes back here): give it serversBefore() as the laptop's servers, and the
   * API server's host as a name of the laptop's own, so that a lost tunnel can be dialled again.
   */
  readonly resolver: Resolver;
  readonly podNetwork: PodNetwork;
  readonly report: Report;
  readonly log: Log;
  /** Ends the following of the cluster; close() is still due. */
  readonly signal: AbortSignal;
  /** Who holds the laptop, for the one that comes second: `connect -n shop`. */
  readonly title: string;
}

/** What is true of a running system mode, for its ready line. */
export interface SystemModeFacts {
  /** `127.64.0.53` */
  readonly dnsAddress: string;
  /** `/etc/resolv.conf`, `systemd-resolved`, `/etc/resolver`, `NRPT` */
  readonly resolverBy: string;
  readonly services: number;
  /** Of all namespaces, or only of the one given (no right to list more). */
  readonly allNamespaces: boolean;
}

export interface SystemMode {
  readonly facts: SystemModeFacts;
  /** Puts everything back, last change first. May be called twice. @throws InterceptorError RESTORE_INCOMPLETE */
  close(): Promise<void>;
}
