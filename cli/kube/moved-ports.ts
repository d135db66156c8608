import type { PodTemplate, Service, ServicePort } from './objects.ts';
import { portAlias } from './plan-hold.ts';
import { protocolOf, targetOf } from './pod-ports.ts';
import type { PortChoice } from './ports.ts';
import type { InstallRecord } from './record.ts';

/** A Service port that is intercepted. */
export type AskedPort = Pick<PortChoice, 'service' | 'servicePort' | 'appPort' | 'protocol'>;

/** Where an intercepted port of a Service leads: to the agent, to where it led before, or elsewhere by somebody's doing. */
export type PortWay =
  | { readonly leads: 'agent' | 'app'; readonly port: number }
  | {
      readonly leads: 'elsewhere';
      readonly port: number;
      readonly was: number | string;
      /** Undefined: the Service has no such port any more. */
      readonly now: number | string | undefined;
    };

/**
 * The ways of those ports that the Service has been asked for. Pure.
 * @param template the workload's, without the agent: what the Service's port names mean where the agent has the app's ports
 */
export function portWays(
  service: Service,
  record: InstallRecord,
  asked: readonly AskedPort[],
  template: PodTemplate,
): PortWay[] {
  const ours = asked.filter((one) => one.service === service.metadata.name);
  if (record.mode.kind === 'sidecar') return ours.flatMap((one) => wayOf(service, record, one) ?? []);
  if (service.spec.clusterIP === 'None') return []; // its callers come to the pods' addresses, whatever it says
  return ours.map((one) => wayInPod(service, template, one));
}

/** Where the agent has the app's ports, callers come to it as long as the Service leads to those. */
function wayInPod(
  service: Service,
  template: PodTemplate,
  { servicePort: port, appPort, protocol }: AskedPort,
): PortWay {
  const leads = (one: ServicePort): boolean => targetOf(service, one, template)?.appPort === appPort;
  const ports = (service.spec.ports ?? []).filter((one) => protocolOf(one) === protocol);
  const same = ports.find((one) => one.port === port);
  // Given another number it leads where it led; callers have to follow.
  if (same === undefined ? ports.some(leads) : leads(same)) return { leads: 'agent', port };
  return {
    leads: 'elsewhere',
    port,
    was: appPort,
    now: same === undefined ? undefined : (same.targetPort ?? same.port),
  };
}

function wayOf(service: Service, { routes }: InstallRecord, asked: AskedPort): PortWay | undefined {
  const { servicePort: port, appPort, protocol } = asked;
  const ours = routes.filter((route) => route.appPort === appPort && route.protocol === protocol);
  if (ours.length === 0) return undefined;
  const agents = ours.flatMap((route) => [portAlias(route), route.targetName]);
  const before = ours.map(({ targetName }) => targetName ?? appPort);
  const leads = (one: ServicePort): 'agent' | 'app' | undefined => {
    const target = one.targetPort ?? one.port;
    if (agents.includes(`${target}`)) return 'agent';
    return before.includes(target) ? 'app' : undefined;
  };
  const ports = (service.spec.ports ?? []).filter((one) => protocolOf(one) === protocol);
  const same = ports.find((one) => one.port === port);
  // Given another number it leads where it led; callers have to follow.
  const way = same === undefined ? ports.map(leads).find((one) => one !== undefined) : leads(same);
  if (way !== undefined) return { leads: way, port };
  const was = ours.find(({ servicePorts }) =>
    servicePorts.some((one) => one.service === asked.service && one.port === port),
  );
  const target = same === undefined ? undefined : (same.targetPort ?? same.port);
  const others = routes.find((route) => route.protocol === protocol && portAlias(route) === target); // pointed there by us
  const now = others === undefined ? target : (others.targetName ?? others.appPort);
  return { leads: 'elsewhere', port, was: was?.targetName ?? appPort, now };
}

/** `port 80 goes to 8081 now, not to the agent; it went to 8080`: of every port that leads elsewhere; empty where none does. Pure. */
export function movedText(ways: readonly PortWay[]): string {
  return ways
    .flatMap((way) => {
      if (way.leads !== 'elsewhere') return [];
      const { port, was, now } = way;
      return now === undefined
        ? `port ${port} is gone`
        : `port ${port} goes to ${now} now, not to the agent; it went to ${was}`;
    })
    .join(', ');
}

/** What is left to do for who has intercepted them. Pure. */
export function movedHint(ways: readonly PortWay[]): string {
  const each = ways.flatMap((way) => {
    if (way.leads !== 'elsewhere') return [];
    const { port, was, now } = way;
    if (now === undefined) return `port ${port} stays away: intercept another one, or have it put back`;
    return `port ${port} stays so, callers have what listens on ${now} in the pods, if anything does: intercept again to take that, or have it set to ${was} again`;
  });
  return each.join('; ');
}
