import { InterceptorError } from '../../src/errors.ts';
import { ANNOTATION_PATH, originalService, recordText } from './annotation.ts';
import { ChangeList } from './change-list.ts';
import { ownChange, revertChanges, storedChange } from './changes.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import type { Service, ServicePort, WorkloadRef } from './objects.ts';
import type { InstallRecord, RetargetRecord } from './record.ts';

/**
 * The Service with its numeric target ports pointed to the agent: every one, asked for or not, as the agent has a port for each;
 * it passes those not asked for on to the app. Planned from its original, so repeating changes nothing. Pure.
 * @returns undefined when the install has no numeric route
 * @throws InterceptorError CLUSTER_CONFLICT when a target port has been changed by somebody since the install
 */
export function planService(
  service: Service,
  ref: Omit<WorkloadRef, 'namespace'>,
  record: InstallRecord,
): Service | undefined {
  const numeric = record.routes.filter(({ targetName }) => targetName === undefined);
  if (numeric.length === 0) return undefined;
  const original = originalService(service);
  const list = new ChangeList(original);
  for (const route of numeric)
    for (const number of route.servicePorts) {
      const port = original.spec.ports?.find((p) => p.port === number && isTcp(p));
      const target = port?.targetPort ?? port?.port;
      if (port === undefined || (target !== route.appPort && target !== route.port))
        throw new InterceptorError(
          'CLUSTER_CONFLICT',
          `port ${number} of service "${service.metadata.name}" ${port === undefined ? 'is gone' : `goes to ${target} now`}; it went to ${route.appPort}`,
          { hint: 'somebody has changed the Service meanwhile: intercept again' },
        );
      list.set(['spec', 'ports', portStep(port), 'targetPort'], route.port);
    }
  const annotation = storedChange(ownChange(list.object, ANNOTATION_PATH, ''));
  const retarget: RetargetRecord = {
    version: 1,
    installId: record.installId,
    workload: { kind: ref.kind, name: ref.name },
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
  for (const route of record?.routes ?? [])
    for (const number of route.targetName === undefined ? route.servicePorts : []) {
      const port = original.spec.ports?.find((p) => p.port === number && isTcp(p));
      if (port?.targetPort === route.port) list.set(['spec', 'ports', portStep(port), 'targetPort'], route.appPort);
    }
  return list.object;
}

/** Whether any port of the Service leads to an agent's port of this install, annotated or not. Pure. */
export function isRetargetedFor(service: Service, record: InstallRecord): boolean {
  if (service.metadata.annotations?.[INTERCEPT_ANNOTATION] !== undefined) return true;
  return record.routes.some(
    ({ port, servicePorts, targetName }) =>
      targetName === undefined &&
      servicePorts.some((number) => service.spec.ports?.some((p) => p.port === number && p.targetPort === port)),
  );
}

/** What restoring takes back from the workload's template alone; strategy and annotation stay for later. */
export function withoutAgent<T>(workload: T, record: InstallRecord): T {
  return revertChanges(
    workload,
    record.changes.filter(({ path }) => path[0] === 'spec' && path[1] === 'template'),
  );
}

function portStep(port: ServicePort): { match: Record<string, string | number> } {
  return { match: { port: port.port, ...(port.protocol === undefined ? {} : { protocol: port.protocol }) } };
}

function isTcp(port: ServicePort): boolean {
  return (port.protocol ?? 'TCP') === 'TCP';
}
