import { InterceptorError } from '../../src/errors.ts';
import { originalService, originalWorkload } from './annotation.ts';
import type { Container, PodTemplate, Service, ServicePort, Workload } from './objects.ts';
import type { PortChoice } from './ports.ts';

/** One Service port, or a port of the pod that no Service leads to, and where it is in the pod; seen without our agent. */
export type PodPort = Omit<PortChoice, 'localPort'>;
export type Protocol = PortChoice['protocol'];

const DEFAULT_CONTAINER_ANNOTATION = 'kubectl.kubernetes.io/default-container';

/** @returns undefined for what cannot be intercepted (SCTP) */
export function protocolOf(port: { readonly protocol?: string }): Protocol | undefined {
  const name = port.protocol ?? 'TCP';
  if (name === 'TCP') return 'tcp';
  return name === 'UDP' ? 'udp' : undefined;
}

/** `TCP`, as objects say it. */
export function protocolName(protocol: Protocol): 'TCP' | 'UDP' {
  return protocol === 'tcp' ? 'TCP' : 'UDP';
}

/** Every TCP and UDP port of the Services that leads somewhere, chosen or not: what one install covers. Pure. */
export function allPorts(services: readonly Service[], workload: Workload, container?: string): PodPort[] {
  const { template } = originalWorkload(workload).spec;
  return services.flatMap((service) =>
    (originalService(service).spec.ports ?? []).flatMap((port) => targetOf(service, port, template, container) ?? []),
  );
}

/** The ports that containers declare, TCP and UDP: what callers of the pods' own addresses know. Pure. */
export function declaredPorts(containers: readonly Container[]): PodPort[] {
  return containers.flatMap(({ name: container, ports = [] }) =>
    ports.flatMap((port): PodPort[] => {
      const protocol = protocolOf(port);
      if (protocol === undefined) return [];
      const { name, containerPort } = port;
      const base = { service: undefined, servicePort: containerPort, servicePortName: name };
      return [{ ...base, appPort: containerPort, protocol, container, targetName: undefined }];
    }),
  );
}

/**
 * Where a Service's port leads in the pod. As the endpoints controller does: a name is looked for in the containers in order,
 * with its protocol. Pure.
 * @param container the app's, for a number that nobody declares
 * @returns undefined for a name that nobody declares, and for SCTP
 */
export function targetOf(
  service: Service,
  port: ServicePort,
  template: PodTemplate,
  container?: string,
): PodPort | undefined {
  const protocol = protocolOf(port);
  if (protocol === undefined) return undefined;
  const targetPort = port.targetPort ?? port.port;
  const base = { service: service.metadata.name, servicePort: port.port, servicePortName: port.name, protocol };
  for (const { name, ports = [] } of portContainers(template))
    for (const declared of ports)
      if (
        protocolOf(declared) === protocol &&
        (typeof targetPort === 'string' ? declared.name : declared.containerPort) === targetPort
      )
        return {
          ...base,
          appPort: declared.containerPort,
          container: name,
          targetName: typeof targetPort === 'string' ? targetPort : undefined,
        };
  if (typeof targetPort === 'string') return undefined;
  return { ...base, appPort: targetPort, container: container ?? defaultContainer(template), targetName: undefined };
}

/** Containers whose port names count for Services: the ordinary ones, then sidecars (init containers that keep running). */
export function portContainers(template: PodTemplate): Container[] {
  const sidecars = (template.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...template.spec.containers, ...sidecars];
}

/** The app's container where no port tells (an undeclared one, or none at all): kubectl's default container, else the first. */
export function defaultContainer(template: PodTemplate): string {
  const marked = template.metadata?.annotations?.[DEFAULT_CONTAINER_ANNOTATION];
  const [first] = template.spec.containers;
  return template.spec.containers.find(({ name }) => name === marked)?.name ?? first?.name ?? '';
}

/** @throws InterceptorError USAGE_BAD_OPTION when `--container` names none of the pod's containers */
export function requireContainer(template: PodTemplate, container: string): void {
  const names = portContainers(template).map(({ name }) => name);
  if (names.includes(container)) return;
  const isInit = template.spec.initContainers?.some(({ name }) => name === container) === true;
  throw new InterceptorError(
    'USAGE_BAD_OPTION',
    `--container ${container}: ${isInit ? 'that is an init container, which is over when the app runs' : 'the pods have no such container'}`,
    { hint: `they have ${names.join(', ')}` },
  );
}
