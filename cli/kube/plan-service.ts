import { InterceptorError } from '../../src/errors.ts';
import { ANNOTATION_PATH, originalService, readRetarget, recordText } from './annotation.ts';
import { ChangeList } from './change-list.ts';
import { ownChange, revertChanges, storedChange } from './changes.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import type { Service, ServicePort, WorkloadRef } from './objects.ts';
import { portAlias } from './plan-hold.ts';
import { protocolOf } from './pod-ports.ts';
import type { InstallRecord, RetargetRecord, RouteRecord } from './record.ts';

/**
 * The Service with its numeric target ports pointed to the agent, by a port name that only pods with the agent have: every one that
 * the agent has a port for, asked for or not; it passes those not asked for on to the app. While old pods are held, the named ones,
 * too. Planned from its original, so repeating changes nothing. Pure.
 * @param held whether it is so now; what its annotation says unless given
 * @returns undefined when none of its ports is to be pointed elsewhere
 * @throws InterceptorError CLUSTER_CONFLICT when a target port has been changed by somebody since the install, to one that the
 *   agent has no port for
 */
export function planService(
  service: Service,
  ref: Omit<WorkloadRef, 'namespace'>,
  record: InstallRecord,
  held: RetargetRecord['held'] | 'released' = readRetarget(service)?.held,
): Service | undefined {
  const original = originalService(service);
  const list = new ChangeList(original);
  const isHeld = held !== undefined && held !== 'released';
  let isPointed = false;
  for (const port of original.spec.ports ?? []) {
    const target = port.targetPort ?? port.port;
    const ofProtocol = record.routes.filter(({ protocol }) => protocol === protocolOf(port));
    const named = isHeld ? ofProtocol.find(({ targetName }) => targetName === target) : undefined;
    const route =
      named ?? numericRoutes(record).find((r) => ofProtocol.includes(r) && [r.appPort, portAlias(r)].includes(target));
    if (route !== undefined) {
      isPointed = true;
      list.set(['spec', 'ports', portStep(port), 'targetPort'], portAlias(route));
      continue;
    }
    const was = ofProtocol.find(({ servicePorts }) => leadsTo(servicePorts, service, port));
    if (
      was === undefined ||
      ofProtocol.some(({ targetName }) => targetName === target) ||
      record.mode.kind !== 'sidecar'
    )
      continue;
    throw new InterceptorError(
      'CLUSTER_CONFLICT',
      `port ${port.port} of service "${service.metadata.name}" goes to ${target} now; it went to ${was.targetName ?? was.appPort}`,
      { hint: 'somebody has changed the Service meanwhile: intercept again' },
    );
  }
  if (!isPointed) return undefined;
  const annotation = storedChange(ownChange(list.object, ANNOTATION_PATH, ''));
  const retarget: RetargetRecord = {
    version: 1,
    installId: record.installId,
    workload: { kind: ref.kind, name: ref.name },
    ...(isHeld ? { held } : {}),
    changes: [...list.changes, annotation],
  };
  list.own(ANNOTATION_PATH, recordText(retarget, original));
  return list.object;
}

/**
 * The Service without our retargeting: by its own annotation, and where that is lost by the routes of the workload's: a numeric
 * target port that still is the agent's goes back to the app's. Pure.
 */
export function restoredService(service: Service, record: InstallRecord | undefined): Service {
  const original = originalService(service);
  const list = new ChangeList(original);
  // an annotation that could not be read is not ours to remove by its changes: it is ours by its name
  if (original.metadata.annotations?.[INTERCEPT_ANNOTATION] !== undefined) list.set(ANNOTATION_PATH, undefined);
  for (const port of original.spec.ports ?? []) {
    const route = record === undefined ? undefined : agentRoute(record, service, port);
    if (route !== undefined)
      list.set(['spec', 'ports', portStep(port), 'targetPort'], route.targetName ?? route.appPort);
  }
  return list.object;
}

/**
 * Whether any port of the Service leads to an agent's port of this install, or it carries an annotation of ours that is to be
 * taken for one: of a Service that the install covers. Pure.
 */
export function isRetargetedFor(service: Service, record: InstallRecord): boolean {
  const isAnnotated = service.metadata.annotations?.[INTERCEPT_ANNOTATION] !== undefined;
  const { name } = service.metadata;
  if (isAnnotated && record.routes.some(({ servicePorts }) => servicePorts.some((one) => one.service === name)))
    return true;
  return (service.spec.ports ?? []).some((port) => agentRoute(record, service, port) !== undefined);
}

/** What restoring takes back from the workload at once: its template, and the hold on old pods; strategy and annotation stay for later. */
export function withoutAgent<T>(workload: T, { changes, hold = [] }: InstallRecord): T {
  const ofTemplate = changes.filter(({ path }) => path[0] === 'spec' && path[1] === 'template');
  return revertChanges(workload, [...ofTemplate, ...hold]);
}

/** The route whose agent's port a Service's port leads to: of a named one only while old pods are held. */
function agentRoute(record: InstallRecord, service: Service, port: ServicePort): RouteRecord | undefined {
  const { mode, routes } = record;
  return (mode.kind === 'sidecar' ? routes : []).find(
    (route) =>
      portAlias(route) === port.targetPort &&
      route.protocol === protocolOf(port) &&
      leadsTo(route.servicePorts, service, port),
  );
}

/** The routes to which Services are pointed. */
function numericRoutes({ mode, routes }: InstallRecord): RouteRecord[] {
  return mode.kind === 'sidecar' ? routes.filter(({ targetName }) => targetName === undefined) : [];
}

function leadsTo(servicePorts: RouteRecord['servicePorts'], service: Service, port: ServicePort): boolean {
  return servicePorts.some((one) => one.service === service.metadata.name && one.port === port.port);
}

function portStep(port: ServicePort): { match: Record<string, string | number> } {
  return { match: { port: port.port, ...(port.protocol === undefined ? {} : { protocol: port.protocol }) } };
}
