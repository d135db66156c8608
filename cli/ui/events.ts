import type { ErrorCode } from '../../src/errors.ts';
import type { Filter } from '../../src/http/filter.ts';

/** One `--port` of a session as users see it. */
export interface PortReport {
  readonly local: string;
  /** Absent: a port of the pod that is taken without a Service. */
  readonly service?: string;
  readonly servicePort: number | undefined;
  readonly servicePortName: string | undefined;
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
}

/** What a session takes. */
export interface Taken {
  /** The first of `services`; undefined: no Service leads to what is taken. */
  readonly service: string | undefined;
  /** Where there are several. */
  readonly services?: readonly string[];
  readonly ports: readonly PortReport[];
  /** How callers come to the agent, where it does not stand beside the app. */
  readonly mode?: 'replace' | 'redirect';
  /** Copies only. */
  readonly mirror?: boolean;
  /** --no-fallback: nobody answers while the process is down. */
  readonly fallback?: 'refuse';
  /** Absent: everything on the ports. */
  readonly filter?: Filter;
}

/**
 * What a session reports while it runs. With `--json` each is one line, `event` first (README "Events"); the names and
 * fields are a contract for scripts.
 */
export type SessionEvent =
  | ({
      readonly event: 'found';
      readonly namespace: string;
      readonly workload: string;
      readonly pods: number;
    } & Taken)
  | { readonly event: 'warning'; readonly message: string }
  /** --dry-run: what would be changed. */
  | { readonly event: 'plan'; readonly diff: string }
  | {
      readonly event: 'recovered';
      readonly workload: string;
      readonly namespace: string;
      /** Somebody had begun to restore it. */
      readonly unfinished?: true;
    }
  | { readonly event: 'patched'; readonly workload: string; readonly agentImage: string }
  | { readonly event: 'agent-present'; readonly workload: string }
  /** A pod of the session's own. */
  | {
      readonly event: 'created';
      readonly workload: string;
      readonly namespace: string;
      readonly agentImage: string;
    }
  | {
      readonly event: 'rollout';
      readonly ready: number;
      readonly wanted: number;
      /** What holds it up, in the cluster's own words. */
      readonly waitingFor?: string;
    }
  | {
      readonly event: 'waiting';
      readonly for: string;
      /** About how long at most, where that is known and may be long. */
      readonly seconds?: number;
    }
  | {
      readonly event: 'connected';
      readonly pod: string;
      readonly connected: number;
      readonly wanted: number;
      readonly carrier: string;
    }
  /** The way to an agent was lost: what is open waits for another one, new callers have the app. */
  | { readonly event: 'reconnecting'; readonly pod: string; readonly reason: string }
  /** There is one, after so long: what was open goes on. */
  | { readonly event: 'reconnected'; readonly pod: string; readonly ms: number }
  /** The tunnel is over, and what was open in it; another one is made. */
  | { readonly event: 'disconnected'; readonly pod: string; readonly reason: string }
  | { readonly event: 'retargeted'; readonly service: string }
  /** How the process is inside the cluster; `reason`: why not in the way that is preferred. */
  | {
      readonly event: 'network';
      readonly mode: 'namespace' | 'proxy' | 'system' | 'none';
      readonly reason?: string;
      /** Of mode `proxy`: host:port of the SOCKS5 and HTTP proxy. */
      readonly proxy?: string;
      /** Of mode `system`: what is reached, and by which resolver, for people. */
      readonly system?: string;
      /** Of mode `proxy` without a command: what programs need in their environment. */
      readonly variables?: Readonly<Record<string, string>>;
    }
  | { readonly event: 'files'; readonly root: string; readonly paths: readonly string[] }
  | { readonly event: 'command-started'; readonly pid: number }
  | { readonly event: 'listening'; readonly address: string }
  /** It did, and does not: callers wait up to `seconds` for it. */
  | { readonly event: 'held'; readonly address: string; readonly seconds: number }
  /** `answers`: who does until it listens (again). */
  | { readonly event: 'not-listening'; readonly address: string; readonly answers: 'app' | 'nobody' }
  | { readonly event: 'proved'; readonly servicePort: number; readonly from: number; readonly pod: string }
  | ({
      readonly event: 'ready';
      readonly namespace: string;
      readonly workload: string;
      readonly pods: number;
      /** The command has copies of the pod's files. */
      readonly files?: boolean;
      readonly elapsedMs: number;
    } & Taken)
  /** --personal: how to send requests that the session takes. */
  | {
      readonly event: 'personal';
      /** A request field that carries the key: `baggage: intercept=ann`. */
      readonly field: string;
      /** A command to try it with. */
      readonly curl: string;
      /** For a browser's console. */
      readonly cookie: string;
    }
  | {
      readonly event: 'request';
      readonly method: string;
      readonly path: string;
      readonly status: number | undefined;
      readonly ms: number;
    }
  | { readonly event: 'leaving'; readonly reason: string }
  | { readonly event: 'restoring'; readonly step: string }
  /** Somebody else has changed the object meanwhile, and that stays; `diff` is unified, of its YAML. */
  | { readonly event: 'kept'; readonly object: string; readonly diff: string }
  | { readonly event: 'restored'; readonly workload: string }
  /** A pod of the session's own is deleted. */
  | { readonly event: 'removed'; readonly workload: string }
  | { readonly event: 'agent-kept'; readonly namespace: string; readonly workload: string; readonly reason: string }
  | {
      readonly event: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint?: string;
      readonly exitCode: number;
    };

export type Report = (event: SessionEvent) => void;
