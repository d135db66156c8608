import type { Change } from './changes.ts';
import type { WorkloadKind } from './objects.ts';

/** One intercepted target (name or number) of the Service's ports, as installed. Several may share an appPort. */
export interface RouteRecord {
  /** The agent's port in the pod. */
  readonly port: number;
  /** The app's port in the pod; what claims and routes of the tunnel name. */
  readonly appPort: number;
  /** The Service's ports that lead here. */
  readonly servicePorts: readonly number[];
  /** Set when the Service's targetPort is this name, which the agent has taken over; else the Service is retargeted. */
  readonly targetName?: string;
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
  /** Undefined where the agent takes no traffic: installed by `run`. */
  readonly service: string | undefined;
  /** The app's container: whose environment and mounts the agent has. */
  readonly container: string;
  readonly tunnelPort: number;
  readonly routes: readonly RouteRecord[];
  readonly configMap: string;
  readonly secret: string;
  /** --keep-agent: a session's end leaves the agent in; `leave` takes it out all the same. */
  readonly keepAgent: boolean;
  readonly changes: readonly Change[];
}

/** Content of INTERCEPT_ANNOTATION on a Service whose numeric target ports point to the agent. */
export interface RetargetRecord {
  readonly version: 1;
  readonly installId: string;
  readonly workload: { readonly kind: WorkloadKind; readonly name: string };
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
