import type { ChangeList } from './change-list.ts';
import type { PathStep } from './changes.ts';
import { freePortName } from './names.ts';
import type { Container, PodTemplate, Probe, Workload } from './objects.ts';
import { type PortChoice, portContainers } from './ports.ts';
import type { RouteRecord } from './record.ts';

const TEMPLATE_SPEC: readonly PathStep[] = ['spec', 'template', 'spec'];

/**
 * Gives the agent a port for its tunnel and one for each distinct target of the Service's ports, away from every port that
 * the pod declares or the Service leads to. Pure.
 */
export function planRoutes(
  template: PodTemplate,
  ports: readonly PortChoice[],
  firstPort: number,
): { tunnelPort: number; routes: RouteRecord[] } {
  const taken = new Set(ports.map(({ appPort }) => appPort));
  for (const container of [...template.spec.containers, ...(template.spec.initContainers ?? [])])
    for (const { containerPort } of container.ports ?? []) taken.add(containerPort);
  let next = firstPort;
  const freePort = (): number => {
    while (taken.has(next)) next++;
    return next++;
  };
  const tunnelPort = freePort();
  const byTarget = new Map<string | number, RouteRecord>();
  for (const { appPort, servicePort, targetName } of ports) {
    const key = targetName ?? appPort;
    const route = byTarget.get(key) ?? { port: freePort(), appPort, servicePorts: [] };
    byTarget.set(key, {
      ...route,
      servicePorts: [...route.servicePorts, servicePort],
      ...(targetName === undefined ? {} : { targetName }),
    });
  }
  return { tunnelPort, routes: [...byTarget.values()] };
}

/**
 * Takes the name off every TCP port that has it, in all containers whose names count for Services, so that the agent's port,
 * which comes last, is the one found. The app's port gets a free name, and probes and hooks of its container that use the old name
 * get the new one: they keep going to the app.
 */
export function takeOverName(list: ChangeList<Workload>, targetName: string): void {
  const template = list.object.spec.template;
  const taken = new Set(
    portContainers(template).flatMap((container) => (container.ports ?? []).flatMap(({ name }) => name ?? [])),
  );
  for (const container of portContainers(template)) {
    const { ports = [] } = container;
    for (const [index, port] of ports.entries()) {
      if (port.name !== targetName || (port.protocol ?? 'TCP') !== 'TCP') continue;
      const newName = freePortName(targetName, taken);
      taken.add(newName);
      const same = ports.slice(0, index).filter((other) => samePort(other, port)).length;
      const match = {
        containerPort: port.containerPort,
        ...(port.protocol === undefined ? {} : { protocol: port.protocol }),
      };
      const path = containerPath(template, container);
      list.set([...path, 'ports', same === 0 ? { match } : { match, nth: same }, 'name'], newName);
      renameInProbes(list, path, container, targetName, newName);
    }
  }
}

function samePort(a: { containerPort: number; protocol?: string }, b: typeof a): boolean {
  return a.containerPort === b.containerPort && (b.protocol === undefined || a.protocol === b.protocol);
}

function containerPath(template: PodTemplate, container: Container): PathStep[] {
  const field = template.spec.containers.includes(container) ? 'containers' : 'initContainers';
  return [...TEMPLATE_SPEC, field, { match: { name: container.name } }];
}

function renameInProbes(
  list: ChangeList<Workload>,
  path: readonly PathStep[],
  container: Container,
  from: string,
  to: string,
): void {
  const users: [readonly string[], Probe | undefined][] = [
    [['livenessProbe'], container.livenessProbe],
    [['readinessProbe'], container.readinessProbe],
    [['startupProbe'], container.startupProbe],
    [['lifecycle', 'postStart'], container.lifecycle?.postStart],
    [['lifecycle', 'preStop'], container.lifecycle?.preStop],
  ];
  for (const [field, probe] of users)
    for (const action of ['httpGet', 'tcpSocket', 'grpc'] as const)
      if (probe?.[action]?.port === from) list.set([...path, ...field, action, 'port'], to);
}
