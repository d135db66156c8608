import type { ChangeList } from './change-list.ts';
import type { PathStep } from './changes.ts';
import { freePortName } from './names.ts';
import type { Container, PodTemplate, Probe, Workload } from './objects.ts';
import { type PodPort, type Protocol, portContainers, protocolOf } from './pod-ports.ts';
import type { InstallMode, InstallRecord, RouteRecord } from './record.ts';

const TEMPLATE_SPEC: readonly PathStep[] = ['spec', 'template', 'spec'];

export interface RoutePlan {
  readonly tunnelPort: number;
  readonly routes: readonly RouteRecord[];
  /** Another port that nothing in the pod uses. */
  readonly freePort: () => number;
}

/**
 * Gives the agent a port for its tunnel and one for each port of the app that is wanted, by whatever names and numbers, away from
 * every port that the pod declares or a Service leads to; in mode replace the app's own. A name that both a TCP and a UDP target have is taken over for
 * the first only, as the agent can have it once. Pure, but for freePort().
 * @param existing of the install that is extended: its ports stay what they are
 */
export function planRoutes(
  mode: InstallMode,
  template: PodTemplate,
  wanted: readonly PodPort[],
  firstPort: number,
  existing?: Pick<InstallRecord, 'tunnelPort' | 'drainPort' | 'routes'>,
): RoutePlan {
  const taken = new Set(wanted.map(({ appPort }) => appPort));
  for (const container of [...template.spec.containers, ...(template.spec.initContainers ?? [])])
    for (const { containerPort } of container.ports ?? []) taken.add(containerPort);
  for (const { port } of existing?.routes ?? []) taken.add(port);
  if (existing !== undefined) taken.add(existing.tunnelPort).add(existing.drainPort ?? existing.tunnelPort);
  let next = firstPort;
  const freePort = (): number => {
    while (taken.has(next)) next++;
    return next++;
  };
  const keyOf = (port: Pick<RouteRecord, 'appPort' | 'protocol' | 'targetName'>): string =>
    `${port.protocol}/${(mode.kind === 'sidecar' ? port.targetName : undefined) ?? port.appPort}`;
  const tunnelPort = existing?.tunnelPort ?? freePort();
  const routes = new Map((existing?.routes ?? []).map((route) => [keyOf(route), route]));
  const portFor = (appPort: number, protocol: Protocol): number =>
    [...routes.values()].find((route) => route.appPort === appPort && route.protocol === protocol)?.port ?? freePort();
  for (const port of wanted) {
    const { appPort, protocol, service, servicePort } = port;
    const key = keyOf({ appPort, protocol, ...(port.targetName === undefined ? {} : { targetName: port.targetName }) });
    const targetName = mode.kind === 'sidecar' ? port.targetName : undefined;
    const names = [...routes].filter(([other]) => other !== key).flatMap(([, route]) => route.targetName ?? []);
    if (targetName !== undefined && names.includes(targetName)) continue;
    const found = routes.get(key);
    const known = found?.servicePorts ?? [];
    const isKnown = service === undefined || known.some((one) => one.service === service && one.port === servicePort);
    routes.set(key, {
      port: found?.port ?? (mode.kind === 'replace' ? appPort : portFor(appPort, protocol)),
      appPort,
      protocol,
      servicePorts: isKnown ? known : [...known, { service, port: servicePort }],
      ...(targetName === undefined ? {} : { targetName }),
    });
  }
  return { tunnelPort, routes: [...routes.values()], freePort };
}

/** The route that takes a port's traffic, in whatever mode. Pure. */
export function routeOf(
  { mode, routes }: Pick<InstallRecord, 'mode' | 'routes'>,
  port: Pick<PodPort, 'appPort' | 'protocol' | 'targetName'>,
): RouteRecord | undefined {
  return routes.find(
    (route) =>
      route.appPort === port.appPort &&
      route.protocol === port.protocol &&
      (mode.kind !== 'sidecar' || route.targetName === port.targetName),
  );
}

/**
 * Takes the name off every port of the protocol that has it, in all containers whose names count for Services, so that the
 * agent's port, which comes last, is the one found. The app's port gets a free name, and probes and hooks of its container that
 * use the old name get the new one: they keep going to the app.
 */
export function takeOverName(list: ChangeList<Workload>, targetName: string, protocol: Protocol): void {
  const template = list.object.spec.template;
  const taken = new Set(
    portContainers(template).flatMap((container) => (container.ports ?? []).flatMap(({ name }) => name ?? [])),
  );
  for (const container of portContainers(template)) {
    const { ports = [] } = container;
    for (const [index, port] of ports.entries()) {
      if (port.name !== targetName || protocolOf(port) !== protocol) continue;
      const newName = freePortName(targetName, taken);
      taken.add(newName);
      const same = ports.slice(0, index).filter((other) => samePort(other, port)).length;
      const match = {
        containerPort: port.containerPort,
        ...(port.protocol === undefined ? {} : { protocol: port.protocol }),
      };
      const path = containerPath(template, container);
      list.set([...path, 'ports', same === 0 ? { match } : { match, nth: same }, 'name'], newName);
      for (const user of portUsers(container))
        if (user.port === targetName) list.set([...path, ...user.path, 'port'], newName);
    }
  }
}

function samePort(a: { containerPort: number; protocol?: string }, b: typeof a): boolean {
  return a.containerPort === b.containerPort && (b.protocol === undefined || a.protocol === b.protocol);
}

/** Where a container is in its workload. */
export function containerPath(template: PodTemplate, container: Container): PathStep[] {
  const field = template.spec.containers.some(({ name }) => name === container.name) ? 'containers' : 'initContainers';
  return [...TEMPLATE_SPEC, field, { match: { name: container.name } }];
}

/** Who of a container names a port: a probe's or a lifecycle hook's action. */
export interface PortUser {
  /** Below the container. */
  readonly path: readonly string[];
  readonly port: number | string;
  /** Set where the action goes to another host than the pod. */
  readonly host: string | undefined;
}

/** The probes and hooks of a container that name a port. Pure. */
export function portUsers(container: Container): PortUser[] {
  const users: [readonly string[], Probe | undefined][] = [
    [['livenessProbe'], container.livenessProbe],
    [['readinessProbe'], container.readinessProbe],
    [['startupProbe'], container.startupProbe],
    [['lifecycle', 'postStart'], container.lifecycle?.postStart],
    [['lifecycle', 'preStop'], container.lifecycle?.preStop],
  ];
  return users.flatMap(([field, probe]) =>
    (['httpGet', 'tcpSocket', 'grpc'] as const).flatMap((action): PortUser[] => {
      const found = probe?.[action];
      if (found === undefined) return [];
      const host = 'host' in found && typeof found.host === 'string' && found.host !== '' ? found.host : undefined;
      return [{ path: [...field, action], port: found.port, host }];
    }),
  );
}
