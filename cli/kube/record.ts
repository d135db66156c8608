import type { Change } from './changes.ts';
import type { WorkloadKind } from './objects.ts';

/**
 * How callers come to the agent. `sidecar`: by a port name that it takes over, or a Service's targetPort that is set to its port.
 * `replace`: it has the app container's place and ports. `redirect`: an init container redirects the app's ports to it.
 */
export type InstallMode = { readonly kind: 'sidecar' } | { readonly kind: 'replace' } | { readonly kind: 'redirect' };

/** One intercepted target (name or number) of the Services' ports, as installed. Several may share an appPort, and with it the port. */
export interface RouteRecord {
  /** The agent's port in the pod. */
  readonly port: number;
  /** The app's port in the pod; with `protocol` what claims and routes of the tunnel name. */
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** The Services' ports that led here at install, of all Services of the workload. */
  readonly servicePorts: readonly ServicePortRef[];
  /** Mode sidecar: set when the targetPort is this name, which the agent has taken over; else Services are retargeted. */
  readonly targetName?: string;
}

/** A port of a Service, by its number; its protocol is the route's. */
export interface ServicePortRef {
  readonly service: string;
  readonly port: number;
}

/** Content of INTERCEPT_ANNOTATION on a workload: all that is needed to use the agent again and to take it out. */
export interface InstallRecord {
  readonly version: 1;
  readonly installId: string;
  readonly createdBy: { readonly user: string; readonly host: string };
  /** ISO 8601, the installing laptop's clock. */
  readonly createdAt: string;
  readonly image: string;
  /** contentHash() of the agent's code. */
  readonly codeHash: string;
  readonly mode: InstallMode;
  /** The app's container: whose environment and mounts the agent has. */
  readonly container: string;
  readonly tunnelPort: number;
  /** Of the preStop hooks; none where no pod has others beside it that answer. */
  readonly drainPort?: number;
  /** None where the agent takes no traffic: installed by `run`, or in the place of a worker. */
  readonly routes: readonly RouteRecord[];
  readonly configMap: string;
  readonly secret: string;
  /** --keep-agent: a session's end leaves the agent in; `leave` takes it out all the same. */
  readonly keepAgent: boolean;
  readonly changes: readonly Change[];
  /** Made after `changes`: what keeps the old pods until no caller comes to them; taken back alone when they may go. */
  readonly hold?: readonly Change[];
}

/** Names of the Services whose ports lead to the agent or can be led there, in order. Pure. */
export function recordServices({ routes }: Pick<InstallRecord, 'routes'>): string[] {
  return [...new Set(routes.flatMap(({ servicePorts }) => servicePorts.map(({ service }) => service)))];
}

/** Content of INTERCEPT_ANNOTATION on a Service whose target ports point to the agent. */
export interface RetargetRecord {
  readonly version: 1;
  readonly installId: string;
  readonly workload: { readonly kind: WorkloadKind; readonly name: string };
  /** While old pods are held: all of its ports point to the agent; when they are gone, the numeric ones of a Service that is `asked` for. */
  readonly held?: { readonly asked: boolean };
  readonly changes: readonly Change[];
}

/** What our annotation and the pod template say together. */
export type InstallState =
  | { readonly state: 'none' }
  | { readonly state: 'installed'; readonly record: InstallRecord }
  /** The record is there and the agent is not in the template: a restore has not come to its end, or somebody else took it out. */
  | { readonly state: 'restoring'; readonly record: InstallRecord }
  /** The annotation cannot be read (by this version). */
  | { readonly state: 'unreadable'; readonly reason: string };
