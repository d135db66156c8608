import { InterceptorError } from '../../src/errors.ts';
import { isPort } from '../../src/protocol/agent-config.ts';
import { originalService, originalWorkload } from './annotation.ts';
import type { Container, PodTemplate, Service, ServicePort, Workload } from './objects.ts';

/** One `--port <local>[:<service port>]`. */
export interface PortOption {
  readonly localPort: number;
  readonly servicePort: number | string | undefined;
}

/** One Service port and where it goes in the pod, seen without our agent. */
export interface PortChoice {
  readonly servicePort: number;
  readonly servicePortName: string | undefined;
  /** Port of the process on the laptop. */
  readonly localPort: number;
  /** The app's port in the pod. */
  readonly appPort: number;
  /** The app's container, as far as it can be told. */
  readonly container: string;
  /** The Service's targetPort where it is a name; undefined for a number. */
  readonly targetName: string | undefined;
}

const DEFAULT_CONTAINER_ANNOTATION = 'kubectl.kubernetes.io/default-container';

/** @throws InterceptorError USAGE_BAD_PORT */
export function parsePortOption(text: string): PortOption {
  const [local = '', service, ...rest] = text.split(':');
  const localPort = portNumber(local);
  const servicePort = service === undefined ? undefined : (portNumber(service) ?? service);
  const badName = typeof servicePort === 'string' && !/^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(servicePort);
  if (localPort === undefined || badName || rest.length > 0)
    throw new InterceptorError('USAGE_BAD_PORT', `"${text}" is not a port: <local>[:<service port name or number>]`, {
      hint: 'for example --port 3000, --port 3000:80 or --port 3000:http',
    });
  return { localPort, servicePort };
}

function portNumber(text: string): number | undefined {
  const value = /^[0-9]{1,5}$/.test(text) ? Number(text) : undefined;
  return isPort(value) ? value : undefined;
}

/**
 * The Service ports to intercept. Works on objects with and without our agent (their originals are looked at).
 * @param options all --port options; none: the only TCP port of the Service, on its own number
 * @throws InterceptorError USAGE_BAD_PORT (must name one of several; no such port; UDP), TARGET_UNSUPPORTED (the named
 *   targetPort is declared by no container)
 */
export function choosePorts(service: Service, workload: Workload, options: readonly PortOption[]): PortChoice[] {
  const plainService = originalService(service);
  const template = originalWorkload(workload).spec.template;
  const wanted = options.length === 0 ? [{ localPort: undefined, servicePort: undefined }] : options;
  const choices = wanted.map(({ localPort, servicePort }) => {
    const port = pickPort(plainService, servicePort);
    const target = targetOf(port, template);
    if (target === undefined)
      throw new InterceptorError(
        'TARGET_UNSUPPORTED',
        `service "${service.metadata.name}" sends port ${port.port} to the port named "${String(port.targetPort)}", which no container of "${workload.metadata.name}" declares`,
        {
          hint: 'callers get no answer from this port now: declare the name in the workload, or give the Service a number',
        },
      );
    return { ...target, localPort: localPort ?? target.appPort };
  });
  for (const [index, choice] of choices.entries()) {
    const other = choices.findIndex(({ appPort }) => appPort === choice.appPort);
    if (other < index)
      throw new InterceptorError(
        'USAGE_BAD_PORT',
        `two --port options lead to the same port ${choice.appPort} of the app`,
        { hint: 'give each port of the app once' },
      );
  }
  return choices;
}

/** Every TCP port of the Service that leads somewhere, chosen or not: what one install covers. */
export function allPorts(service: Service, workload: Workload): PortChoice[] {
  const template = originalWorkload(workload).spec.template;
  return (originalService(service).spec.ports ?? []).filter(isTcp).flatMap((port) => {
    const target = targetOf(port, template);
    return target === undefined ? [] : [{ ...target, localPort: target.appPort }];
  });
}

function pickPort(service: Service, wanted: number | string | undefined): ServicePort {
  const ports = service.spec.ports ?? [];
  const tcp = ports.filter(isTcp);
  const name = `service "${service.metadata.name}"`;
  if (wanted === undefined) {
    const [only, ...others] = tcp;
    if (only === undefined)
      throw new InterceptorError('TARGET_UNSUPPORTED', `${name} has no TCP port (${list(ports)})`, {
        hint: 'only TCP can be intercepted in this version',
      });
    if (others.length > 0)
      throw new InterceptorError('USAGE_BAD_PORT', `${name} has several ports: ${list(tcp)}`, {
        hint: `say which one: --port <local>:${only.name ?? only.port}`,
      });
    return only;
  }
  const found = ports.filter((port) => port.port === wanted || port.name === wanted);
  const [port] = [...found.filter(isTcp), ...found];
  if (port === undefined)
    throw new InterceptorError('USAGE_BAD_PORT', `${name} has no port ${wanted}; it has ${list(ports)}`, {
      hint: 'the part after the colon is the port of the Service, by name or number',
    });
  if (!isTcp(port))
    throw new InterceptorError(
      'USAGE_BAD_PORT',
      `port ${wanted} of ${name} is ${port.protocol}; only TCP can be intercepted in this version`,
      {
        hint: tcp.length === 0 ? 'the Service has no TCP port' : `its TCP ports: ${list(tcp)}`,
      },
    );
  return port;
}

function list(ports: readonly ServicePort[]): string {
  if (ports.length === 0) return 'no ports';
  return ports
    .map(
      (port) =>
        `${port.name === undefined ? '' : `${port.name} `}${port.port}${isTcp(port) ? '' : `/${port.protocol}`}`,
    )
    .join(', ');
}

function isTcp(port: { readonly protocol?: string }): boolean {
  return (port.protocol ?? 'TCP') === 'TCP';
}

/** As the endpoints controller does: a name is looked for in the containers in order, with its protocol. */
function targetOf(port: ServicePort, template: PodTemplate): Omit<PortChoice, 'localPort'> | undefined {
  const targetPort = port.targetPort ?? port.port;
  const base = { servicePort: port.port, servicePortName: port.name };
  for (const container of portContainers(template))
    for (const declared of container.ports ?? [])
      if (isTcp(declared) && (typeof targetPort === 'string' ? declared.name : declared.containerPort) === targetPort)
        return {
          ...base,
          appPort: declared.containerPort,
          container: container.name,
          targetName: typeof targetPort === 'string' ? targetPort : undefined,
        };
  if (typeof targetPort === 'string') return undefined;
  return { ...base, appPort: targetPort, container: defaultContainer(template), targetName: undefined };
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
