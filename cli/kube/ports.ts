import { InterceptorError } from '../../src/errors.ts';
import { isPort } from '../../src/protocol/agent-config.ts';
import { originalService, originalWorkload } from './annotation.ts';
import type { PodTemplate, Service, ServicePort, Workload } from './objects.ts';
import { declaredPorts, type PodPort, portContainers, protocolOf, requireContainer, targetOf } from './pod-ports.ts';
import type { InstallMode } from './record.ts';

/** One `--port <local>[:[<service>/]<port>[/udp]]`. */
export interface PortOption {
  readonly localPort: number;
  /** The Service whose port is meant; undefined: those that are intercepted. */
  readonly service: string | undefined;
  /** Name or number; undefined: the only one. */
  readonly servicePort: number | string | undefined;
  /** Undefined: TCP where there is a choice. */
  readonly protocol: 'tcp' | 'udp' | undefined;
}

/** One Service port and where it goes in the pod, seen without our agent. */
export interface PortChoice {
  /** Undefined for a port of the pod that is taken without a Service: modes replace and redirect. */
  readonly service: string | undefined;
  /** Without a Service: the same as `appPort`. */
  readonly servicePort: number;
  readonly servicePortName: string | undefined;
  /** Port of the process on the laptop. */
  readonly localPort: number;
  /** The app's port in the pod. */
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** The app's container, as far as it can be told. */
  readonly container: string;
  /** The Service's targetPort where it is a name; undefined for a number. */
  readonly targetName: string | undefined;
}

/** Where ports are looked for. Objects with and without our agent will do (their originals are looked at). */
export interface PortSources {
  readonly workload: Workload;
  /** All Services that select the workload. */
  readonly services: readonly Service[];
  /** Names of the Services that are intercepted: meant where an option names none. None: a workload without a Service. */
  readonly through: readonly string[];
  readonly mode: InstallMode;
  /** `--container`. */
  readonly container?: string | undefined;
}

const PORT_NAME = /^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SERVICE_NAME = /^[a-z]([a-z0-9-]*[a-z0-9])?$/;

/** @throws InterceptorError USAGE_BAD_PORT */
export function parsePortOption(text: string): PortOption {
  const [local = '', target, ...rest] = text.split(':');
  const localPort = portNumber(local);
  const parts = target?.split('/') ?? [];
  const last = parts.at(-1);
  const protocol = parts.length > 1 && (last === 'udp' || last === 'tcp') ? last : undefined;
  const [port, service, ...more] = (protocol === undefined ? parts : parts.slice(0, -1)).reverse();
  const servicePort = port === undefined ? undefined : (portNumber(port) ?? port);
  const badName = typeof servicePort === 'string' && !PORT_NAME.test(servicePort);
  const badService = service !== undefined && !SERVICE_NAME.test(service);
  if (localPort === undefined || badName || badService || more.length > 0 || rest.length > 0)
    throw new InterceptorError(
      'USAGE_BAD_PORT',
      `"${text}" is not a port: <local>[:[<service>/]<service port name or number>[/udp]]`,
      { hint: 'for example --port 3000, --port 3000:80, --port 3000:http, --port 3000:web/http or --port 5353:53/udp' },
    );
  return { localPort, service, servicePort, protocol };
}

function portNumber(text: string): number | undefined {
  const value = /^[0-9]{1,5}$/.test(text) ? Number(text) : undefined;
  return isPort(value) ? value : undefined;
}

/**
 * The ports to intercept.
 * @param options all --port options; none: the only TCP port (or the only UDP one) of each Service, on its own number. Without a
 *   Service they name ports of the pod; where no option is given, none is chosen, in mode redirect the only one declared.
 * @throws InterceptorError USAGE_BAD_PORT (must name one of several; no such port; SCTP; two lead to one port of the app),
 *   USAGE_BAD_OPTION (no such container), TARGET_UNSUPPORTED (the named targetPort is declared by no container)
 */
export function choosePorts(sources: PortSources, options: readonly PortOption[]): PortChoice[] {
  const { through, container } = sources;
  const { template } = originalWorkload(sources.workload).spec;
  if (container !== undefined) requireContainer(template, container);
  if (options.length === 0) {
    // without a Service a worker that is replaced need not have a port; to redirect there has to be one
    const of = through.length === 0 && sources.mode.kind === 'redirect' ? [[]] : through.map((name) => [name]);
    const all = of.flatMap((names) => pick(sources, template, names, undefined, undefined));
    const choices = new Map(all.map((port) => [`${port.appPort}/${port.protocol}`, port]));
    return [...choices.values()].map((port) => ({ ...port, localPort: port.appPort }));
  }
  const choices = options.map(({ localPort, service, servicePort, protocol }) => {
    const found = pick(sources, template, service === undefined ? through : [service], servicePort, protocol);
    const [first, other] = new Map(found.map((port) => [`${port.appPort}/${port.protocol}`, port])).values();
    if (first === undefined) throw noPort(sources, template, servicePort);
    if (other !== undefined)
      throw new InterceptorError(
        'USAGE_BAD_PORT',
        `port ${servicePort ?? localPort} is ${found.map((port) => `port ${port.appPort} of the app through service "${port.service}"`).join(', ')}`,
        { hint: `say which one: --port ${localPort}:${first.service}/${servicePort ?? first.servicePort}` },
      );
    return { ...first, localPort };
  });
  for (const [index, choice] of choices.entries()) {
    const other = choices.findIndex((c) => c.appPort === choice.appPort && c.protocol === choice.protocol);
    if (other < index)
      throw new InterceptorError(
        'USAGE_BAD_PORT',
        `two --port options lead to the same port ${choice.appPort} of the app`,
        { hint: 'give each port of the app once' },
      );
  }
  return choices;
}

/** What one option means in each of the Services; then, in the modes that can, a port of the pod itself. */
function pick(
  sources: PortSources,
  template: PodTemplate,
  names: readonly string[],
  wanted: number | string | undefined,
  protocol: PodPort['protocol'] | undefined,
): PodPort[] {
  const services = names.map((name) => serviceNamed(sources, name));
  const found = services.flatMap((service) => {
    const port = pickServicePort(service, wanted, protocol);
    return port === undefined ? [] : [requireTarget(sources, service, port, template)];
  });
  if (found.length > 0) return found;
  if (sources.mode.kind === 'sidecar') throw noPort({ ...sources, services }, template, wanted);
  const containers = portContainers(template).filter(({ name }) => name === (sources.container ?? name));
  const declared = declaredPorts(containers).filter(
    ({ appPort, servicePortName }) => wanted === undefined || appPort === wanted || servicePortName === wanted,
  );
  if (wanted === undefined && declared.length !== 1) throw noPort({ ...sources, services }, template, wanted);
  const chosen = preferTcp(declared, protocol);
  if (chosen !== undefined) return [chosen];
  if (services.length > 0 || typeof wanted !== 'number') throw noPort({ ...sources, services }, template, wanted);
  const bare: ServicePort = { port: wanted, protocol: protocol === 'udp' ? 'UDP' : 'TCP' };
  const undeclared = targetOf({ metadata: { name: '' }, spec: {} }, bare, template, sources.container);
  return undeclared === undefined ? [] : [{ ...undeclared, service: undefined }];
}

function serviceNamed({ services, workload }: PortSources, wanted: string): Service {
  const found = services.find(({ metadata }) => metadata.name === wanted);
  if (found !== undefined) return originalService(found);
  const names = services.map(({ metadata }) => metadata.name);
  throw new InterceptorError('USAGE_BAD_PORT', `service "${wanted}" does not select "${workload.metadata.name}"`, {
    hint: names.length === 0 ? 'no Service does' : `these do: ${names.join(', ')}`,
  });
}

function pickServicePort(
  service: Service,
  wanted: number | string | undefined,
  protocol: PodPort['protocol'] | undefined,
): ServicePort | undefined {
  const ports = service.spec.ports ?? [];
  const name = `service "${service.metadata.name}"`;
  const usable = ports.filter(
    (port) => protocolOf(port) !== undefined && (protocol ?? protocolOf(port)) === protocolOf(port),
  );
  if (wanted === undefined) {
    const tcp = usable.filter((port) => protocolOf(port) === 'tcp');
    const [only, ...others] = tcp.length > 0 ? tcp : usable;
    if (only === undefined)
      throw new InterceptorError('TARGET_UNSUPPORTED', `${name} has no TCP or UDP port (${list(ports)})`, {
        hint: 'only TCP and UDP can be intercepted',
      });
    if (others.length > 0)
      throw new InterceptorError('USAGE_BAD_PORT', `${name} has several ports: ${list(usable)}`, {
        hint: `say which one: --port <local>:${only.name ?? only.port}`,
      });
    return only;
  }
  const found = ports.filter((port) => port.port === wanted || port.name === wanted);
  const port = preferTcp(
    found.filter((p) => usable.includes(p)),
    protocol,
  );
  if (port === undefined && found[0] !== undefined)
    throw new InterceptorError(
      'USAGE_BAD_PORT',
      `port ${wanted} of ${name} is ${found.map((p) => p.protocol ?? 'TCP').join(' and ')}`,
      {
        hint:
          protocol === undefined
            ? 'only TCP and UDP can be intercepted'
            : `leave "/${protocol}" out, or name another port`,
      },
    );
  return port;
}

function preferTcp<T extends { readonly protocol?: string }>(
  ports: readonly T[],
  protocol: PodPort['protocol'] | undefined,
): T | undefined {
  const isOf = (port: T, wanted: string): boolean => (port.protocol ?? 'TCP').toLowerCase() === wanted;
  if (protocol !== undefined) return ports.find((port) => isOf(port, protocol));
  return ports.find((port) => isOf(port, 'tcp')) ?? ports[0];
}

function requireTarget(
  { workload, container }: PortSources,
  service: Service,
  port: ServicePort,
  template: PodTemplate,
): PodPort {
  const target = targetOf(service, port, template, container);
  if (target !== undefined) return target;
  throw new InterceptorError(
    'TARGET_UNSUPPORTED',
    `service "${service.metadata.name}" sends port ${port.port} to the port named "${String(port.targetPort)}", which no container of "${workload.metadata.name}" declares`,
    {
      hint: 'callers get no answer from this port now: declare the name in the workload, or give the Service a number',
    },
  );
}

function noPort(
  { services, mode, workload }: PortSources,
  template: PodTemplate,
  wanted: number | string | undefined,
): InterceptorError {
  const has = services.map(
    ({ metadata, spec }) => `service "${metadata.name}" has no port ${wanted}; it has ${list(spec.ports ?? [])}`,
  );
  const declared = declaredPorts(portContainers(template)).map(
    ({ appPort, servicePortName, protocol }) =>
      ({
        port: appPort,
        protocol: protocol.toUpperCase(),
        ...(servicePortName === undefined ? {} : { name: servicePortName }),
      }) as ServicePort,
  );
  if (has.length === 0)
    return new InterceptorError(
      'USAGE_BAD_PORT',
      `"${workload.metadata.name}" has no port ${wanted ?? 'that an option could mean'}; its containers declare ${list(declared)}`,
      { hint: mode.kind === 'sidecar' ? 'no Service leads to it' : 'name one of them, or another by its number' },
    );
  return new InterceptorError('USAGE_BAD_PORT', has.join('; '), {
    hint: 'the part after the colon is the port of the Service, by name or number',
  });
}

function list(ports: readonly ServicePort[]): string {
  if (ports.length === 0) return 'no ports';
  return ports
    .map(
      (port) =>
        `${port.name === undefined ? '' : `${port.name} `}${port.port}${protocolOf(port) === 'tcp' ? '' : `/${port.protocol}`}`,
    )
    .join(', ');
}
