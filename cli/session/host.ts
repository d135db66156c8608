import type { InterceptorError } from '../../src/errors.ts';
import type { AgentStatus } from '../../src/protocol/control.ts';
import type { KubeObject } from '../kube/client.ts';
import type { AgentCredentials } from '../kube/credentials.ts';
import type { WorkloadKind } from '../kube/objects.ts';

/** Where a session's agents run: names what its guardian and its record have to find again. */
export interface HostRef {
  readonly kind: WorkloadKind | 'Pod';
  readonly namespace: string;
  readonly name: string;
}

/** The agents have been brought in; they may not run yet. */
export interface Brought {
  readonly credentials: AgentCredentials;
  /** Pods with an agent, once all run. */
  readonly wanted: number;
  /** Whether a pod carries one of these agents. */
  readonly belongs: (pod: KubeObject) => boolean;
}

export interface HostHandlers {
  readonly onPod: (type: 'ADDED' | 'MODIFIED' | 'DELETED', pod: KubeObject) => void;
  readonly onWanted: (replicas: number) => void;
  /** The agents are over: deleted, or taken out by somebody. @param error where that is to be the session's failure */
  readonly onGone: (reason: string, error?: InterceptorError) => void;
}

/** How a session ends, as far as it matters for what was brought into the cluster. */
export interface HostEnd {
  /** What failed. */
  readonly error: unknown;
  /** What the agents said last of who else uses them; empty where none could be asked. */
  readonly statuses: readonly AgentStatus[];
  /** Own sessions whose claims were inherited. */
  readonly replaces: readonly string[];
  /** Aborted: stop waiting. */
  readonly signal: AbortSignal;
}

/**
 * The place of a session's agents in the cluster: a workload whose pods get one each (WorkloadHost), or a pod of the
 * session's own (PodHost).
 */
export interface AgentHost {
  readonly ref: HostRef;
  /** Names what bring() makes, for whoever cleans up behind it. */
  readonly installId: string;
  /** Whether bring() has come to its end. */
  readonly brought: boolean;
  /** Changes the cluster; what has been sent is waited for, whatever the signal says. */
  bring(signal: AbortSignal): Promise<Brought>;
  /** Resolves when the agents run. @param onWait what is waited for, for the status */
  untilUp(signal: AbortSignal, onWait: (what: string) => void): Promise<void>;
  /** Follows the pods until the signal; ends without error. */
  follow(signal: AbortSignal, handlers: HostHandlers): Promise<void>;
  /** The session holds its agents: notes of it that the host has to make. */
  held(): Promise<void>;
  /**
   * Takes the agents out again, unless somebody else still uses them.
   * @returns `unsure`: it is not known yet whether somebody does; the guardian has to look again
   * @throws what is left, and why
   */
  handBack(end: HostEnd): Promise<'settled' | 'unsure'>;
}
