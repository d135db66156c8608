import type { KubeObject } from './client-types.ts';
import { type LabelSelector, matchesSelector } from './objects.ts';
import { protocolName } from './pod-ports.ts';
import type { InstallRecord, RouteRecord } from './record.ts';

/** networking.k8s.io/v1 NetworkPolicy, as far as we read it. */
export interface NetworkPolicy extends KubeObject {
  spec: {
    podSelector?: LabelSelector;
    policyTypes?: string[];
    ingress?: { ports?: PolicyPort[]; [field: string]: unknown }[];
    [field: string]: unknown;
  };
}

interface PolicyPort {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

/**
 * The policies that select the pods and admit a port of the app without admitting the agent's port in its place: their callers
 * would be cut off. A rule that names the port by the name which the agent takes over follows by itself. In mode replace the agent
 * has the app's ports; in mode redirect the packets have them until they are in the pod. Pure.
 * @param podLabels of the pod template
 */
export function networkPolicyWarnings(
  policies: readonly NetworkPolicy[],
  podLabels: Readonly<Record<string, string>> | undefined,
  { mode, routes }: Pick<InstallRecord, 'mode' | 'routes'>,
): string[] {
  if (mode.kind !== 'sidecar') return [];
  return policies
    .filter(
      ({ spec }) =>
        matchesSelector(spec.podSelector, podLabels) && (spec.policyTypes ?? ['Ingress']).includes('Ingress'),
    )
    .flatMap(({ metadata, spec }) =>
      routes
        .filter((route) =>
          (spec.ingress ?? []).some(
            (rule) => admits(rule.ports, route.appPort, route) && !admits(rule.ports, route.port, route),
          ),
        )
        .map(
          ({ port, appPort }) =>
            `NetworkPolicy "${metadata.name}" admits port ${appPort} of the pods and not the agent's port ${port}: where policies are enforced its callers are cut off; add port ${port} to it`,
        ),
    );
}

function admits(ports: readonly PolicyPort[] | undefined, port: number, route: RouteRecord): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some((entry) => {
    if ((entry.protocol ?? 'TCP') !== protocolName(route.protocol)) return false;
    if (entry.port === undefined) return true;
    // by name: before, it is the app's port, afterwards the agent's
    if (typeof entry.port === 'string') return entry.port === route.targetName;
    return port >= entry.port && port <= (entry.endPort ?? entry.port);
  });
}
