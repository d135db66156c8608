import { InterceptorError } from '../../src/errors.ts';
import type { ChangeList } from './change-list.ts';
import type { PathStep } from './changes.ts';
import { AGENT_CONTAINER } from './names.ts';
import type { Container, EnvVariable, Workload } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { containerPath } from './plan-ports.ts';

const SPEC: readonly PathStep[] = ['spec', 'template', 'spec'];
/** From which port on a process without capabilities may listen; of the pod's own network. */
const PORT_SYSCTL = 'net.ipv4.ip_unprivileged_port_start';

/**
 * Takes the app's container out of the template. References of others to its resources are pointed to the agent, which has its place.
 * @returns the place it had among the containers
 */
export function takeOut(list: ChangeList<Workload>, app: Container): number {
  const { template } = list.object.spec;
  const place = template.spec.containers.findIndex(({ name }) => name === app.name);
  for (const container of [...template.spec.containers, ...(template.spec.initContainers ?? [])]) {
    if (container.name === app.name) continue;
    const path = containerPath(template, container);
    for (const variable of container.env ?? [])
      if (resourcesOf(variable) === app.name)
        list.set(
          [...path, 'env', { match: { name: variable.name } }, 'valueFrom', 'resourceFieldRef', 'containerName'],
          AGENT_CONTAINER,
        );
  }
  for (const { name, ...volume } of template.spec.volumes ?? [])
    for (const path of referencePaths(volume, app.name))
      list.set([...SPEC, 'volumes', { match: { name } }, ...path, 'containerName'], AGENT_CONTAINER);
  list.set(containerPath(template, app), undefined);
  return place;
}

function resourcesOf(variable: EnvVariable): string | undefined {
  return variable.valueFrom?.resourceFieldRef?.containerName;
}

/** Where in a volume (downwardAPI, projected or not) a resourceFieldRef names the container. */
function referencePaths(value: unknown, container: string): PathStep[][] {
  if (Array.isArray(value))
    return value.flatMap((item: unknown, nth) =>
      referencePaths(item, container).map((path) => [{ match: {}, nth }, ...path]),
    );
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([field, inner]) => {
    if (field !== 'resourceFieldRef') return referencePaths(inner, container).map((path) => [field, ...path]);
    const { containerName } = (inner ?? {}) as { containerName?: unknown };
    return containerName === container ? [[field]] : [];
  });
}

/**
 * Lets a process without capabilities listen on ports below 1024 in this pod: the agent has none.
 * @throws InterceptorError TARGET_UNSUPPORTED where the cluster does not take the setting
 */
export function allowLowPorts(list: ChangeList<Workload>, { portSysctl, name }: InstallRequest): void {
  if (portSysctl !== true)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `the app of "${name}" listens on a port below 1024, where an agent without capabilities cannot take its place: the sysctl ${PORT_SYSCTL} is allowed since Kubernetes 1.22`,
      {
        hint: 'take it with --capture redirect, or without either where its Service is not headless; or let the app listen on a port from 1024 on',
      },
    );
  const path = [...SPEC, 'securityContext', 'sysctls', { match: { name: PORT_SYSCTL } }];
  list.set(path, { name: PORT_SYSCTL, value: '0' });
}
