import type { Filter } from '../http/filter.ts';
import type { TlsLack } from '../http/routing.ts';

/**
 * Control messages: JSON in control frames on stream 0 (PROTOCOL.md "Control"). Requests go from session to agent, one
 * response each, matched by id; events go from agent to session. Unknown events and methods are answered or ignored,
 * never fatal, so that a newer peer can talk to an older one.
 */
export type ControlMessage = ControlRequest | ControlResponse | ControlEvent | HandshakeMessage;

export interface ControlRequest {
  readonly type: 'request';
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

export type ControlResponse =
  | { readonly type: 'response'; readonly id: number; readonly result: unknown }
  | { readonly type: 'response'; readonly id: number; readonly error: ControlError };

export interface ControlError {
  readonly code: string;
  readonly message: string;
  /** Who holds what was asked for (code TARGET_IN_USE). */
  readonly holder?: Holder;
  /** What of theirs is in the way; without a filter: the whole port. */
  readonly filter?: Filter;
  /** Who else is in the way, a few of them. */
  readonly others?: readonly InTheWay[];
  /** How many more there are. */
  readonly more?: number;
}

/** A session that holds what was asked for, and what it holds; without a filter: the whole port. */
export interface InTheWay {
  readonly holder: Holder;
  readonly filter?: Filter;
}

export type ControlEvent =
  /** Somebody ran `leave` for this workload, or (`takeOver`) took what this session held and did not use. */
  | { readonly type: 'event'; readonly event: 'evicted'; readonly by: string; readonly takeOver?: true }
  /** Callers of this port, on which the session has a filter, do not speak HTTP that can be read: the app got them. Told once. */
  | { readonly type: 'event'; readonly event: 'not-http'; readonly appPort: number; readonly speaks: 'tls' | 'other' }
  /**
   * The session's process does not speak TLS (`tls`), or not what a caller of the app has chosen in it: such callers have the app,
   * or an error with `fallback: 'refuse'`. Told once for each port and lack.
   */
  | { readonly type: 'event'; readonly event: 'tls-lacks'; readonly appPort: number; readonly lacks: TlsLack }
  /** A proof request came in on the agent's port for `appPort`. */
  | { readonly type: 'event'; readonly event: 'proved'; readonly nonce: string; readonly appPort: number }
  /** The pod is being stopped; open streams go on, the pod will vanish. */
  | { readonly type: 'event'; readonly event: 'draining' }
  /** Something changed in the app's volumes since `files` was asked with `watch`. */
  | { readonly type: 'event'; readonly event: 'files-changed' };

/** The three messages before anything else (PROTOCOL.md "Handshake"). All binary fields are base64url. */
export type HandshakeMessage =
  | {
      readonly type: 'hello';
      readonly versions: readonly number[];
      readonly nonce: string;
      readonly ecdh: string;
      readonly pod: string;
    }
  | {
      readonly type: 'proof';
      readonly version: number;
      readonly nonce: string;
      readonly ecdh: string;
      readonly session: SessionIdentity;
      readonly link: LinkOffer;
      readonly mac: string;
    }
  | ({ readonly type: 'welcome'; readonly mac: string } & LinkAnswer);

/** The tunnel that the session wants to begin or to go on with. */
export interface LinkOffer {
  readonly id: string;
  /** The session had it before: an agent that does not know it has lost its state. */
  readonly begun: boolean;
  /** Messages the session has received of it. */
  readonly received: number;
  /** How long both ends keep it without a carrier. */
  readonly resumeMs: number;
}

/** How many messages of the link the agent has received; unknown: it was begun and the agent has it no more. */
export type LinkAnswer = { readonly received: number } | { readonly unknown: true };

export interface SessionIdentity {
  readonly sessionId: string;
  readonly user: string;
  readonly host: string;
}

/** A session as others see it. Times are milliseconds since the epoch on the agent's clock. */
export interface Holder extends SessionIdentity {
  readonly sinceMs: number;
  readonly lastSeenMs: number;
  /** Whether its carrier is up now. */
  readonly connected: boolean;
  /** The carrier was lost a moment ago: the streams of the session wait for another one. */
  readonly reconnecting?: boolean;
  /** When the last request or connection of its intercepts ended; now while one is open; absent: none so far. */
  readonly lastActivityMs?: number;
}

/** A port of the app. */
export interface AppPort {
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
}

/** `held`: the process is away for a moment, callers wait for it. */
export type RouteTo = 'laptop' | 'held' | 'app';

/** What a session asks to have of one port. */
export interface Intercept extends AppPort {
  /** Undefined: everything on the port, and nobody else beside it. TCP only. */
  readonly filter?: Filter;
  /** Copies only: excludes nobody, and its answers are not wanted. TCP only. */
  readonly mirror: boolean;
  /** Who gets what the laptop cannot take: the app, or nobody (503 where it is HTTP, else a reset). */
  readonly fallback: 'app' | 'refuse';
  /** Whether responses of the process are marked with BY_FIELD; only requests that a filter took can be. */
  readonly mark: boolean;
  /** With a filter, on a port where callers speak TLS: what the agent ends it with. */
  readonly tls?: TlsMaterial;
  readonly to: RouteTo;
}

/** PEM texts, or paths of them in the app's volumes (in the app's terms). */
export type TlsMaterial =
  | { readonly certificate: string; readonly key: string }
  | { readonly certificatePath: string; readonly keyPath: string };

/** Methods: what the session asks and what the agent answers. */
export interface ControlMethods {
  /**
   * Takes all intercepts, or none; with none in the list the session only counts as one that uses the agent. They replace what
   * the session has. `replaces` are the caller's own dead sessions, whose claims it inherits. With `takeOver` sessions in the way
   * that are gone or idle are ended. Refused (TARGET_IN_USE) with who holds an unfiltered intercept of the port, or a filter that is
   * equal or overlaps without one being more specific than the other.
   */
  claim: {
    params: {
      intercepts: readonly Intercept[];
      replaces: readonly string[];
      takeOver: boolean;
      /** Sessions that are used on other pods, as these said: `takeOver` does not end them. */
      spares?: readonly string[];
      /** How long callers may wait while `held`. */
      holdMs: number;
    };
    result: Record<string, never>;
  };
  /** Says who answers what was claimed of a port from now on; resolves when new connections and requests follow it. */
  route: { params: AppPort & { to: RouteTo }; result: Record<string, never> };
  /** Gives all claims back; new connections go to the app. */
  release: { params: Record<string, never>; result: Record<string, never> };
  /** The app container's resolved environment. */
  environment: { params: Record<string, never>; result: { variables: Readonly<Record<string, string>> } };
  /** How the pod looks names up, and where it is. */
  network: { params: Record<string, never>; result: PodNetwork };
  /**
   * What is in the app's volumes, without the paths that `exclude` names (globs on absolute paths). With `watch` the agent
   * says `files-changed` from then on. Refused (FILES_LIMIT) where there is more than asked for.
   */
  files: {
    params: { exclude: readonly string[]; maxFiles: number; maxBytes: number; watch: boolean };
    result: { roots: readonly string[]; files: readonly PodFile[]; unreadable: readonly string[] };
  };
  status: { params: Record<string, never>; result: AgentStatus };
  /** Arms the agent for proof requests with this nonce for a while. */
  expectProof: { params: { nonce: string; ttlMs: number }; result: Record<string, never> };
  /** Sends the proof request, by UDP one datagram, from this pod to host:port (the Service's address). */
  prove: {
    params: { nonce: string; protocol: AppPort['protocol']; host: string; port: number; timeoutMs: number };
    result: { pod: string };
  };
  /** Ends sessions on this agent, all or those in the list; each is told by whom. */
  evict: { params: { by: string; sessionIds?: readonly string[] }; result: { sessions: readonly Holder[] } };
}

/** The pod's resolv.conf (resolv.conf(5)) and addresses. */
export interface PodNetwork {
  readonly addresses: readonly string[];
  readonly nameservers: readonly string[];
  /** Search domains without the last dot. */
  readonly search: readonly string[];
  readonly ndots: number;
}

/** One file of the app's volumes, links of the kubelet's making followed. `path` is the app's: `/etc/config/a.yaml`. */
export interface PodFile {
  readonly path: string;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  readonly mtimeMs: number;
  /** Tells two contents of one path apart: inode and change time. */
  readonly version: string;
}

export interface AgentStatus {
  readonly pod: string;
  readonly agentVersion: string;
  readonly sessions: readonly Holder[];
  /** Who holds what; ports that nobody holds are not among them. */
  readonly intercepts: readonly InterceptStatus[];
  /** Milliseconds since a session was last connected (since start when none was); 0 while one is. */
  readonly idleMs: number;
  readonly openConnections: number;
  readonly draining: boolean;
}

export interface InterceptStatus extends AppPort {
  readonly sessionId: string;
  readonly filter?: Filter;
  readonly mirror: boolean;
  /** `app` also where the carrier is gone. */
  readonly to: RouteTo;
  /** Connections (with a filter: requests) that have gone to the laptop since the claim, and those open now. */
  readonly taken: number;
  readonly open: number;
  /** Copies that were cut short or never made. */
  readonly dropped: number;
}

export type ControlMethod = keyof ControlMethods;
