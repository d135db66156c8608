import type { Container, Service, Workload, WorkloadKind } from './objects.ts';
import type { PortChoice } from './ports.ts';
import type { InstallRecord } from './record.ts';

/** Everything an install needs beside the workload itself. */
export interface InstallRequest {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly name: string;
  /** Undefined where no traffic is to be taken (`run`): the agent gets no routes. */
  readonly service: Service | undefined;
  /** The ports to intercept now; the install covers all TCP ports of the Service. */
  readonly ports: readonly PortChoice[];
  readonly agent: AgentOptions;
  readonly createdBy: { readonly user: string; readonly host: string };
  readonly keepAgent: boolean;
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

/** The exact outcome of an install, before anything is written. */
export interface InstallPlan {
  /** `reuse`: the agent there fits, nothing is written to the workload. */
  readonly action: 'install' | 'reuse';
  readonly workload: { readonly before: Workload; readonly after: Workload };
  /** Undefined when no target port is numeric. */
  readonly service: { readonly before: Service; readonly after: Service } | undefined;
  /** Ports of the Service that are retargeted without being asked for: the agent passes them on to the app. */
  readonly passedPorts: readonly number[];
  readonly record: InstallRecord;
  /** The sidecar, as it stands in the template. */
  readonly container: Container;
  readonly warnings: readonly string[];
}
