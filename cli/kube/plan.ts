import type { Container, Service, Workload, WorkloadKind } from './objects.ts';
import type { PortChoice } from './ports.ts';
import type { InstallMode, InstallRecord } from './record.ts';

/** Everything an install needs beside the workload itself. */
export interface InstallRequest {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly name: string;
  readonly mode: InstallMode;
  /** All Services that select the workload: one install covers them, whichever is asked for. */
  readonly services: readonly Service[];
  /** `--container`: the app's container; without it the one that the first of `ports` leads to, else the pod's default one. */
  readonly container?: string | undefined;
  /** The ports to intercept now; none (`run`, a worker): no traffic is moved. */
  readonly ports: readonly PortChoice[];
  readonly agent: AgentOptions;
  readonly createdBy: { readonly user: string; readonly host: string };
  readonly keepAgent: boolean;
  /** A Deployment's old pods are to stay until no caller comes to them, where that is possible: whoever asks for it lets them go. */
  readonly holdOldPods?: boolean | undefined;
  /**
   * Mode replace: whether the cluster takes the sysctl net.ipv4.ip_unprivileged_port_start (see server-version.ts); only asked
   * where a port below 1024 is replaced.
   */
  readonly portSysctl?: boolean | undefined;
  /** newInstallId() unless given. */
  readonly installId?: string | undefined;
}

export interface AgentOptions {
  readonly image: string;
  /** Text of the bundled agent. */
  readonly code: string;
  readonly logLevel?: string | undefined;
  /** Instead of DEFAULT_RESOURCES. */
  readonly resources?: AgentResources | undefined;
  /** Instead of DEFAULT_TUNNEL_PORT; ports from here on are used. */
  readonly firstPort?: number | undefined;
}

export interface AgentResources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

export interface ServicePlan {
  readonly before: Service;
  readonly after: Service;
  /** Ports that are retargeted without being asked for: the agent passes them on to the app. */
  readonly passedPorts: readonly number[];
}

/** The exact outcome of an install, before anything is written. */
export interface InstallPlan {
  /**
   * `reuse`: the agent there fits, nothing is written to the workload. `extend`: it is planned anew for this request besides what it
   * does now; same install id, Secret and ConfigMap, and its pods are rolled out.
   */
  readonly action: 'install' | 'extend' | 'reuse';
  readonly workload: { readonly before: Workload; readonly after: Workload };
  /** The Services that are retargeted after the rollout: those of the request with a numeric target port. */
  readonly services: readonly ServicePlan[];
  readonly record: InstallRecord;
  /** The sidecar, as it stands in the template. */
  readonly container: Container;
  readonly warnings: readonly string[];
}
