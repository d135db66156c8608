import { InterceptorError } from '../../src/errors.ts';
import { codeConfigMap, credentialsSecret, parseCredentials } from './agent-objects.ts';
import { ANNOTATION_PATH, readInstall, recordText } from './annotation.ts';
import { applyChanges } from './changes.ts';
import {
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  type KubeObject,
  KubeStatusError,
  resourcePath,
} from './client.ts';
import { type AgentCredentials, makeCredentials } from './credentials.ts';
import type { Extension } from './extension.ts';
import { corePath, guardedPatch, readOrUndefined, workloadPath } from './guarded-patch.ts';
import { newInstallId } from './names.ts';
import { type NetworkPolicy, networkPolicyWarnings } from './network-policies.ts';
import { type Workload, type WorkloadRef, workloadText } from './objects.ts';
import type { InstallPlan, InstallRequest } from './plan.ts';
import { planInstall } from './plan-install.ts';
import type { InstallRecord } from './record.ts';
import { withServerFacts } from './server-version.ts';

export interface CallControl {
  readonly signal?: AbortSignal | undefined;
}

/** An agent in the workload's template: `reused` when it was there before (no rollout of ours). */
export interface Installed {
  readonly ref: WorkloadRef;
  readonly workload: Workload;
  readonly record: InstallRecord;
  readonly credentials: AgentCredentials;
  readonly reused: boolean;
  /** Set where it was there before and has been made to serve this request too: withdrawExtension(). */
  readonly extension?: Extension;
  readonly warnings: readonly string[];
}

/** What `install` would do now, with no change made: for --dry-run (see diff.ts). */
export async function prepareInstall(
  client: KubeClient,
  given: InstallRequest,
  { signal }: CallControl = {},
): Promise<InstallPlan> {
  const request = await withServerFacts(client, given, signal);
  const workload = await readWorkload(client, request, signal);
  const plan = planInstall(workload, request, new Date().toISOString());
  return { ...plan, warnings: [...plan.warnings, ...(await policyWarnings(client, plan, request.namespace, signal))] };
}

/**
 * Brings the agent into the workload: Secret and ConfigMap, then one patch guarded by resourceVersion (a conflict
 * is planned again). An agent that fits is used as it is; one that can serve the request too is extended. Does not wait for the rollout and does not touch the Service.
 * @throws InterceptorError TARGET_IN_USE (an agent that does not fit), TARGET_*, CLUSTER_*
 */
export async function install(
  client: KubeClient,
  given: InstallRequest,
  { signal }: CallControl = {},
): Promise<Installed> {
  const facts = await withServerFacts(client, given, signal);
  const request = { ...facts, installId: given.installId ?? newInstallId() };
  const createdAt = new Date().toISOString();
  const workload = await readWorkload(client, request, signal);
  const plan = planInstall(workload, request, createdAt);
  if (plan.action === 'reuse') return reuse(client, request, plan, signal);
  if (plan.action === 'extend') return extend(client, request, workload, createdAt, signal);

  // What has been sent is waited for, whatever the signal says: a create or patch that was given up on might still be
  // carried out, behind the back of whoever takes the install back.
  const credentials = makeCredentials(request.name);
  let latest = plan;
  let mayBePatched = false;
  try {
    const [warnings] = await allOrFirstFailure([
      policyWarnings(client, plan, request.namespace, signal),
      createAfresh(client, 'configmaps', codeConfigMap(workload, plan.record, request.agent.code)),
      credentials.then((made) => createAfresh(client, 'secrets', credentialsSecret(workload, plan.record, made))),
    ]);
    const patched = await guardedPatch<Workload>(
      client,
      workloadPath(request),
      (current) => {
        mayBePatched = false; // asked again: the one before was refused
        signal?.throwIfAborted();
        latest = planInstall(current, request, createdAt);
        mayBePatched = true;
        return latest.workload.after;
      },
      { known: workload },
    );
    if (patched === undefined) throw gone(request);
    if (latest.action !== 'install') {
      // somebody was first
      await deleteObjects(client, request.namespace, plan.record);
      const there = await reuse(client, request, latest, signal);
      return latest.action === 'reuse' ? there : extended(there, latest, patched.object);
    }
    return {
      ref: refOf(request),
      workload: patched.object,
      record: latest.record,
      credentials: await credentials,
      reused: false,
      warnings: [...latest.warnings, ...warnings],
    };
  } catch (failure) {
    // A refusal means that nothing was patched. After a lost answer the patch may stand, and its pods need the objects.
    const refused =
      failure instanceof KubeStatusError || (failure instanceof InterceptorError && failure.code.startsWith('TARGET_'));
    if (refused || !mayBePatched) await withdraw(client, request.namespace, plan.record);
    throw failure;
  }
}

/** Makes the agent that is there serve the request too: one patch, no object of its own. */
async function extend(
  client: KubeClient,
  request: InstallRequest,
  known: Workload,
  createdAt: string,
  signal: AbortSignal | undefined,
): Promise<Installed> {
  let latest: InstallPlan | undefined;
  const patched = await guardedPatch<Workload>(
    client,
    workloadPath(request),
    (current) => {
      signal?.throwIfAborted();
      latest = planInstall(current, request, createdAt);
      // taken out meanwhile: to install it anew needs objects, so it begins again
      return latest.action === 'install' ? undefined : latest.workload.after;
    },
    { known },
  );
  if (patched === undefined || latest === undefined) throw gone(request);
  if (latest.action === 'install') return install(client, request, { signal });
  const warnings = await policyWarnings(client, latest, request.namespace, signal);
  const there = await reuse(client, request, latest, signal);
  if (latest.action === 'reuse') return there;
  return { ...extended(there, latest, patched.object), warnings: [...there.warnings, ...warnings] };
}

function extended(there: Installed, plan: InstallPlan, after: Workload): Installed {
  return { ...there, workload: after, reused: false, extension: { before: plan.workload.before, after } };
}

async function reuse(
  client: KubeClient,
  request: InstallRequest,
  plan: InstallPlan,
  signal: AbortSignal | undefined,
): Promise<Installed> {
  const credentials = await readCredentials(client, request.namespace, plan.record, { signal });
  const { record, warnings } = plan;
  return { ref: refOf(request), workload: plan.workload.before, record, credentials, reused: true, warnings };
}

/** Notes on an agent that was there before that it is to be kept; only once the session holds it. Safe to repeat. */
export async function markKept(client: KubeClient, ref: WorkloadRef, record: InstallRecord): Promise<void> {
  if (record.keepAgent) return;
  await guardedPatch<Workload>(client, workloadPath(ref), (current) => {
    const state = readInstall(current);
    if (!('record' in state) || state.record.installId !== record.installId) return undefined; // another install, or none
    const kept = recordText({ ...state.record, keepAgent: true }, current);
    return applyChanges(current, [{ path: ANNOTATION_PATH, now: kept }]);
  });
}

/** Reads the Secret of an installed agent. @throws InterceptorError TARGET_NOT_FOUND when it is gone, CLUSTER_* */
export async function readCredentials(
  client: KubeClient,
  namespace: string,
  record: InstallRecord,
  { signal }: CallControl = {},
): Promise<AgentCredentials> {
  const secret = await readOrUndefined(client, corePath('secrets', namespace, record.secret), signal);
  if (secret === undefined)
    throw new InterceptorError('TARGET_NOT_FOUND', `the agent's secret "${record.secret}" is gone`, {
      hint: `take the agent out and intercept again: intercept leave -n ${namespace} <target>`,
    });
  return parseCredentials(secret);
}

/** Deletes an install's ConfigMap and Secret; those that are gone are fine. @throws InterceptorError CLUSTER_* */
export async function deleteObjects(
  client: KubeClient,
  namespace: string,
  record: { readonly configMap: string; readonly secret: string },
  { signal }: CallControl = {},
): Promise<void> {
  await allOrFirstFailure([
    client.delete(corePath('configmaps', namespace, record.configMap), { signal }),
    client.delete(corePath('secrets', namespace, record.secret), { signal }),
  ]);
}

/**
 * Deletes what a refused install had made. That this fails is not told: who may not create may not delete as a rule, and
 * the refusal is what the user has to hear. What is left goes with its owner, the workload, or with the next restore.
 */
async function withdraw(client: KubeClient, namespace: string, record: InstallRecord): Promise<void> {
  try {
    await deleteObjects(client, namespace, record);
  } catch (failure) {
    if (!(failure instanceof InterceptorError)) throw failure;
  }
}

/** As Promise.all, but settled: nothing goes on in the background when it throws. */
async function allOrFirstFailure<T extends readonly unknown[]>(
  tasks: readonly [...{ [K in keyof T]: Promise<T[K]> }],
): Promise<T> {
  await Promise.allSettled(tasks);
  return (await Promise.all(tasks)) as unknown as T;
}

/** Creates an object of ours; a left-over of the same name is replaced. */
async function createAfresh(client: KubeClient, resource: 'configmaps' | 'secrets', object: KubeObject): Promise<void> {
  const namespace = object.metadata.namespace ?? '';
  try {
    await client.create(corePath(resource, namespace), object);
  } catch (failure) {
    if (!isAlreadyExists(failure)) throw failure;
    await client.delete(corePath(resource, namespace, object.metadata.name));
    await client.create(corePath(resource, namespace), object);
  }
}

async function policyWarnings(
  client: KubeClient,
  plan: InstallPlan,
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  if (plan.action === 'reuse') return [];
  const path = resourcePath({ apiVersion: 'networking.k8s.io/v1', resource: 'networkpolicies', namespace });
  try {
    const policies = await client.list<NetworkPolicy>(path, { signal });
    const { labels } = plan.workload.after.spec.template.metadata ?? {};
    return networkPolicyWarnings(policies.items, labels, plan.record);
  } catch (failure) {
    // a user who may not list policies is not warned, and can intercept all the same
    if (failure instanceof KubeStatusError) return [];
    throw failure;
  }
}

async function readWorkload(
  client: KubeClient,
  request: InstallRequest,
  signal: AbortSignal | undefined,
): Promise<Workload> {
  try {
    return await client.get<Workload>(workloadPath(request), { signal });
  } catch (failure) {
    throw isNotFound(failure) ? gone(request) : failure;
  }
}

function gone(request: InstallRequest): InterceptorError {
  return new InterceptorError('TARGET_NOT_FOUND', `${workloadText(request)} has been deleted meanwhile`);
}

function refOf({ kind, namespace, name }: InstallRequest): WorkloadRef {
  return { kind, namespace, name };
}
