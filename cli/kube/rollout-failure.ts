import { InterceptorError } from '../../src/errors.ts';
import { isNotFound, type KubeClient } from './client.ts';
import { corePath } from './guarded-patch.ts';
import { AGENT_CONTAINER } from './names.ts';
import { type Pod, type Workload, type WorkloadRef, workloadPath, workloadText } from './objects.ts';
import { type Problem, problemCode, problemText } from './reasons.ts';

const LOG_LINES = 5;
const MAX_LOG_BYTES = 4096;

/** The error of a rollout that failed: the cluster's reason, the image, and of a crash the container's last lines. */
export async function failureError(
  client: KubeClient,
  ref: WorkloadRef,
  { problem, pod }: { readonly problem: Problem; readonly pod: Pod | undefined },
  signal: AbortSignal,
): Promise<InterceptorError> {
  const { code, hint } = problemCode(problem);
  const image = [...(pod?.spec.containers ?? []), ...(pod?.spec.initContainers ?? [])].find(
    ({ name }) => name === problem.container,
  )?.image;
  if (code === 'AGENT_IMAGE_UNAVAILABLE')
    return new InterceptorError(code, `the agent's image "${image ?? ''}" cannot be pulled: ${problem.message}`, {
      ...(hint === undefined ? {} : { hint }),
    });
  const lines =
    pod === undefined || problem.exitCode === undefined ? [] : await lastLogLines(client, pod, problem, signal);
  const logs = lines.length === 0 ? '' : `\nits last lines:\n${lines.map((line) => `  ${line}`).join('\n')}`;
  const text = `${workloadText(ref)} cannot be rolled out: ${problemText(problem, pod?.metadata.name)}${logs}`;
  return new InterceptorError(code, text, { hint: hint ?? crashHint(ref, problem, pod) });
}

function crashHint(ref: WorkloadRef, problem: Problem, pod: Pod | undefined): string {
  if (pod === undefined) return `kubectl describe ${workloadText(ref)} -n ${ref.namespace}`;
  const { name } = pod.metadata;
  if (problem.container === AGENT_CONTAINER) return 'the agent itself failed: please report it with these lines';
  return `the workload is put back; see also: kubectl describe pod ${name} -n ${ref.namespace}`;
}

/** The end of the log of the container's last finished run; nothing where it cannot be had. */
async function lastLogLines(client: KubeClient, pod: Pod, problem: Problem, signal: AbortSignal): Promise<string[]> {
  const { name, namespace = '' } = pod.metadata;
  for (const previous of [true, false]) {
    try {
      const { text } = await client.request({
        method: 'GET',
        path: `${corePath('pods', namespace, name)}/log`,
        query: { container: problem.container, previous, tailLines: LOG_LINES, limitBytes: MAX_LOG_BYTES },
        signal,
      });
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      if (lines.length > 0) return lines.slice(-LOG_LINES);
    } catch (failure) {
      // no rights, no such run, or too slow: the reason is worth telling without the log
      if (!(failure instanceof Error)) throw failure;
    }
  }
  return [];
}

/** The workload. @throws InterceptorError TARGET_NOT_FOUND, CLUSTER_* */
export async function readFirst(
  client: KubeClient,
  ref: WorkloadRef,
  signal: AbortSignal | undefined,
): Promise<Workload> {
  try {
    return await client.get<Workload>(workloadPath(ref), { signal });
  } catch (failure) {
    throw isNotFound(failure) ? goneError(ref) : failure;
  }
}

/** A workload that was to be rolled out does not exist. */
export function goneError(ref: WorkloadRef): InterceptorError {
  return new InterceptorError(
    'TARGET_NOT_FOUND',
    `${workloadText(ref)} does not exist (any more) in namespace "${ref.namespace}"`,
  );
}
