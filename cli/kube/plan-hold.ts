import { ANNOTATION_PATH, readInstall, recordText } from './annotation.ts';
import { ChangeList } from './change-list.ts';
import { applyChanges, asJson, type Change, revertChanges, storedChange } from './changes.ts';
import { isHeadless, type Workload, type WorkloadKind, wantedPods } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { containerPath } from './plan-ports.ts';
import { protocolName } from './pod-ports.ts';
import type { RouteRecord } from './record.ts';

/** With more replicas all new pods beside all old ones are too much to ask of a cluster. */
export const MAX_HELD_REPLICAS = 20;
/** How long the old pods stay although nobody lets them go (killed with its guardian): then the controller goes on by itself. */
export const HOLD_SECONDS = 300;
/** A Deployment's own progressDeadlineSeconds, which must be above minReadySeconds, is raised where it is no longer than this. */
const DEADLINE_SECONDS = 600;
const DEFAULT_DEADLINE_SECONDS = 600;

/**
 * The name of an agent's port, which no pod without this agent has: a Service that targets it leads to agents only, while pods of
 * the old template go on. Pure.
 */
export function portAlias({ port, protocol }: Pick<RouteRecord, 'port' | 'protocol'>): string {
  return protocol === 'tcp' ? `ki-${port}` : `ki-${port}-udp`;
}

/** Whether a fresh install can keep the old pods until no caller comes to them. Pure. */
export function canBeHeld(request: InstallRequest, original: Workload): boolean {
  const { kind, mode, ports, services } = request;
  if (request.holdOldPods !== true) return false;
  if (kind !== 'Deployment' || mode.kind !== 'sidecar' || ports.every(({ service }) => service === undefined))
    return false;
  if (original.spec.strategy?.type === 'Recreate' || original.spec.paused === true) return false;
  const wanted = wantedPods(kind, original);
  return wanted > 0 && wanted <= MAX_HELD_REPLICAS && services.some((service) => !isHeadless(service));
}

/**
 * Has all new pods made at once, beside all old ones, which stay: new ones are not "available" for HOLD_SECONDS, and nothing else lets
 * the controller scale the old ReplicaSet down. @returns the changes
 */
export function holdOldPods(workload: Workload): ChangeList<Workload> {
  const list = new ChangeList(workload);
  const { minReadySeconds = 0, progressDeadlineSeconds = DEFAULT_DEADLINE_SECONDS } = workload.spec;
  const ready = Math.max(HOLD_SECONDS, minReadySeconds);
  list.set(['spec', 'strategy', 'rollingUpdate', 'maxSurge'], '100%');
  list.set(['spec', 'strategy', 'rollingUpdate', 'maxUnavailable'], 0);
  list.set(['spec', 'minReadySeconds'], ready);
  if (progressDeadlineSeconds <= ready) list.set(['spec', 'progressDeadlineSeconds'], ready + DEADLINE_SECONDS);
  return list;
}

/** The workload with its old pods let go: what holdOldPods() has changed is as it was. Safe to repeat. Pure. */
export function released(workload: Workload, installId: string): Workload {
  const install = readInstall(workload);
  if (!('record' in install) || install.record.installId !== installId || install.record.hold === undefined)
    return workload;
  const { hold, ...record } = install.record;
  return applyChanges(revertChanges(workload, hold), [{ path: ANNOTATION_PATH, now: recordText(record, workload) }]);
}

/** What is kept of the changes of a hold. */
export function storedHold(list: ChangeList<Workload>): readonly Change[] {
  return list.changes.map(storedChange);
}

/**
 * Names the agent's ports by their aliases on the app's container, where the agent's own entry has the Service's name: one port
 * twice in one container is what patches by key stumble over. Needed by Deployments, whose old pods may be held, and where a
 * Service has the same port by its number.
 */
export function addAliases(
  list: ChangeList<Workload>,
  kind: WorkloadKind,
  container: string,
  routes: readonly RouteRecord[],
): void {
  const { template } = list.object.spec;
  const app = template.spec.containers.find(({ name }) => name === container);
  if (app === undefined) return;
  const numeric = routes.filter(({ targetName }) => targetName === undefined).map(portAlias);
  const named = routes.filter(
    (route) => route.targetName !== undefined && (kind === 'Deployment' || numeric.includes(portAlias(route))),
  );
  const byAlias = new Map(named.map((route) => [portAlias(route), route]));
  for (const [name, { port, protocol }] of byAlias) {
    const match = { containerPort: port, protocol: protocolName(protocol) };
    list.own([...containerPath(template, app), 'ports', { match }], asJson({ name, ...match }));
  }
}
