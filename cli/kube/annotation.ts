import { errorText, InterceptorError } from '../../src/errors.ts';
import { isRecord } from '../../src/is-record.ts';
import { isPort } from '../../src/protocol/agent-config.ts';
import { shown } from '../../src/protocol/shown.ts';
import { type Change, type PathStep, revertChanges } from './changes.ts';
import type { KubeObject } from './client-types.ts';
import { AGENT_CONTAINER, INTERCEPT_ANNOTATION } from './names.ts';
import { isWorkloadKind, type Service, type Workload } from './objects.ts';
import type {
  InstallMode,
  InstallRecord,
  InstallState,
  RetargetRecord,
  RouteRecord,
  ServicePortRef,
} from './record.ts';

/** All annotations of an object together may have 256 KiB (ValidateAnnotationsSize); room is left for others. */
export const MAX_ANNOTATION_BYTES = 200 * 1024;
/** Levels of objects and lists in an annotation; pod templates have about ten. */
const MAX_NESTING = 64;

export const ANNOTATION_PATH: readonly PathStep[] = ['metadata', 'annotations', INTERCEPT_ANNOTATION];

/** What the workload's annotation and template say about an agent of ours. */
export function readInstall(workload: Workload): InstallState {
  const text = workload.metadata.annotations?.[INTERCEPT_ANNOTATION];
  if (text === undefined) return { state: 'none' };
  let record: InstallRecord;
  try {
    record = parseInstallRecord(text);
  } catch (failure) {
    return { state: 'unreadable', reason: errorText(failure) };
  }
  const present = workload.spec.template.spec.containers.some(({ name }) => name === AGENT_CONTAINER);
  return { state: present ? 'installed' : 'restoring', record };
}

/** The Service's annotation, or undefined when there is none (or none that can be read). */
export function readRetarget(service: Service): RetargetRecord | undefined {
  const text = service.metadata.annotations?.[INTERCEPT_ANNOTATION];
  if (text === undefined) return undefined;
  try {
    return parseRetargetRecord(text);
  } catch {
    // not ours to judge: a newer version's record; the workload's own routes still say what to take back
    return undefined;
  }
}

/** What the annotation's text is about, of a workload or a Service; undefined where it cannot be read. */
export function recordSummary(text: string): { installId: string; changes: number } | undefined {
  try {
    const { installId, changes } = parseObject(text);
    return { installId: stringOf(installId, 'installId'), changes: parseChanges(changes).length };
  } catch {
    return undefined; // a newer version's, or not ours
  }
}

/** The workload as it is without our agent: all changes of its annotation, which is one of them, taken back. */
export function originalWorkload(workload: Workload): Workload {
  const install = readInstall(workload);
  if (!('record' in install)) return workload;
  const { changes, hold = [] } = install.record;
  return revertChanges(workload, [...changes, ...hold]);
}

/** The Service as it is without our retargeting. */
export function originalService(service: Service): Service {
  const retarget = readRetarget(service);
  return retarget === undefined ? service : revertChanges(service, retarget.changes);
}

/**
 * The annotation's text.
 * @throws InterceptorError TARGET_UNSUPPORTED when it would not fit beside the object's other annotations
 */
export function recordText(record: InstallRecord | RetargetRecord, object: KubeObject): string {
  const text = JSON.stringify(record);
  if (Buffer.byteLength(text) > MAX_ANNOTATION_BYTES)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `the changes to "${object.metadata.name}" do not fit into an annotation (${Buffer.byteLength(text)} bytes, at most ${MAX_ANNOTATION_BYTES})`,
    );
  return text;
}

/** Reads the annotation's text. @throws InterceptorError INTERNAL naming the field, SyntaxError */
export function parseInstallRecord(text: string): InstallRecord {
  const value = parseObject(text);
  const { installId, createdBy, createdAt, image, codeHash, mode, container, tunnelPort, drainPort } = value;
  const { routes, configMap, secret, keepAgent, changes, hold } = value;
  if (!isRecord(createdBy)) throw bad('createdBy');
  if (!isPort(tunnelPort)) throw bad('tunnelPort');
  if (drainPort !== undefined && !isPort(drainPort)) throw bad('drainPort');
  if (!Array.isArray(routes)) throw bad('routes');
  return {
    version: 1,
    installId: stringOf(installId, 'installId'),
    createdBy: { user: stringOf(createdBy.user, 'user'), host: stringOf(createdBy.host, 'host') },
    createdAt: stringOf(createdAt, 'createdAt'),
    image: stringOf(image, 'image'),
    codeHash: stringOf(codeHash, 'codeHash'),
    mode: parseMode(mode),
    container: stringOf(container, 'container'),
    tunnelPort,
    ...(drainPort === undefined ? {} : { drainPort }),
    routes: routes.map(parseRoute),
    configMap: stringOf(configMap, 'configMap'),
    secret: stringOf(secret, 'secret'),
    keepAgent: keepAgent === true,
    changes: parseChanges(changes),
    ...(hold === undefined ? {} : { hold: parseChanges(hold) }),
  };
}

function parseRetargetRecord(text: string): RetargetRecord {
  const { installId, workload, held, changes } = parseObject(text);
  if (!isRecord(workload)) throw bad('workload');
  const { kind, name } = workload;
  if (!isWorkloadKind(kind)) throw bad('workload kind');
  return {
    version: 1,
    installId: stringOf(installId, 'installId'),
    workload: { kind, name: stringOf(name, 'workload name') },
    ...(isRecord(held) ? { held: { asked: held.asked === true } } : {}),
    changes: parseChanges(changes),
  };
}

function parseRoute(route: unknown): RouteRecord {
  if (!isRecord(route)) throw bad('route');
  const { port, appPort, protocol, servicePorts, targetName } = route;
  if (!isPort(port) || !isPort(appPort)) throw bad('route ports');
  if (protocol !== 'tcp' && protocol !== 'udp') throw bad('route protocol');
  if (!Array.isArray(servicePorts)) throw bad('route servicePorts');
  return {
    port,
    appPort,
    protocol,
    servicePorts: servicePorts.map(parseServicePort),
    ...(targetName === undefined ? {} : { targetName: stringOf(targetName, 'targetName') }),
  };
}

function parseServicePort(value: unknown): ServicePortRef {
  if (!isRecord(value) || !isPort(value.port)) throw bad('route servicePorts');
  return { service: stringOf(value.service, 'route servicePorts'), port: value.port };
}

function parseMode(mode: unknown): InstallMode {
  const kind = isRecord(mode) ? mode.kind : undefined;
  if (kind !== 'sidecar' && kind !== 'replace' && kind !== 'redirect') throw bad('mode');
  return { kind };
}

function parseChanges(changes: unknown): Change[] {
  if (!Array.isArray(changes)) throw bad('changes');
  return changes.map((change: unknown) => {
    if (!isRecord(change) || !Array.isArray(change.path) || change.path.length === 0) throw bad('change');
    if (!(change.path as unknown[]).every(isStep)) throw bad('path');
    if (![change.made, change.at].every(isCountOrNone)) throw bad('change');
    return change as unknown as Change;
  });
}

/** Whether it is a PathStep. */
function isStep(step: unknown): boolean {
  if (typeof step === 'string') return true;
  if (!isRecord(step) || !isRecord(step.match) || !isCountOrNone(step.nth)) return false;
  return Object.values(step.match).every((value) => typeof value === 'string' || typeof value === 'number');
}

function isCountOrNone(value: unknown): boolean {
  return value === undefined || (Number.isInteger(value) && Number(value) >= 0);
}

/** Whether a parsed value has more levels than these. Not recursive: what is copied and compared later is, and may be a stranger's. */
function isDeep(value: unknown, levels: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > levels) return true;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}

function parseObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw bad('no object');
  if (isDeep(value, MAX_NESTING)) throw bad('nesting');
  if (value.version !== 1) throw bad(`version ${shown(value.version)}`);
  return value;
}

function stringOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw bad(what);
  return value;
}

function bad(what: string): InterceptorError {
  return new InterceptorError('INTERNAL', `annotation ${INTERCEPT_ANNOTATION}: ${what}`);
}
