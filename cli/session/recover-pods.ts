import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Pod } from '../kube/objects.ts';
import { listOwnPods, removeOwnPod } from '../kube/own-pod.ts';
import type { InstallRecord } from '../kube/record.ts';
import { DEFAULT_ROLLOUT_DEADLINE_MS } from '../kube/rollout.ts';
import { askPods } from './ask-agent.ts';
import { otherHolders } from './hand-back.ts';
import { ABANDONED_AFTER_MS } from './recover.ts';

/** A session that waits for its pod has given up before the pod is this old. */
const NEVER_STARTED_AFTER_MS = DEFAULT_ROLLOUT_DEADLINE_MS + 60_000;

/**
 * Removes pods that sessions without a workload left in the namespace: this laptop's own at once, anybody's when they have
 * ended or no session has used them for ABANDONED_AFTER_MS.
 * @param dead names of pods whose sessions on this laptop are gone
 * @param except the caller's own
 * @returns the names of the removed ones
 */
export async function removeLeftPods(
  client: KubeClient,
  namespace: string,
  dead: ReadonlySet<string>,
  except: string | undefined,
  context: { readonly identity: SessionIdentity; readonly log: Log },
): Promise<string[]> {
  const removed: string[] = [];
  for (const { pod, record } of await listOwnPods(client, namespace)) {
    const { name, deletionTimestamp } = pod.metadata;
    if (deletionTimestamp !== undefined || name === except) continue;
    if (!dead.has(name) && !(await isLeft(client, pod, record, context))) continue;
    await removeOwnPod(client, { pod, record });
    removed.push(name);
  }
  return removed;
}

async function isLeft(
  client: KubeClient,
  pod: Pod,
  record: InstallRecord | undefined,
  { identity, log }: { readonly identity: SessionIdentity; readonly log: Log },
): Promise<boolean> {
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed') return true;
  if (record === undefined) return false; // a newer version's: it ends by itself
  const ageMs = Date.now() - Date.parse(pod.metadata.creationTimestamp ?? '');
  if (phase !== 'Running') return ageMs > NEVER_STARTED_AFTER_MS;
  const [status] = await askPods(client, [pod], record, identity, { method: 'status', params: {} }, log);
  if (status === undefined) return false; // out of reach: it ends by itself
  return otherHolders([status], []).length === 0 && status.idleMs >= ABANDONED_AFTER_MS;
}
