import { InterceptorError } from '../../src/errors.ts';
import { readInstall } from '../kube/annotation.ts';
import { KubeClient } from '../kube/client.ts';
import { execInPod } from '../kube/exec.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isPodReady, workloadText } from '../kube/objects.ts';
import { parseTarget, type ResolvedTarget, resolveTarget } from '../kube/target.ts';
import type { ClusterOptions } from '../program.ts';
import { askAgents } from '../session/ask-agent.ts';
import { formatDotenv, selectVariables } from '../session/environment.ts';
import { newIdentity } from '../session/identity.ts';
import { laptopLog } from '../ui/laptop-log.ts';

export interface EnvOptions extends ClusterOptions {
  readonly service?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

const EXEC_TIMEOUT_MS = 10_000;

/** `intercept env`: the app's environment, from its agent or else from a running pod. @returns the exit code */
export async function env(targetText: string, options: EnvOptions): Promise<number> {
  const target = parseTarget(targetText);
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const resolved = await resolveTarget(client, { target, namespace, service: options.service });
  const variables = selectVariables(
    (await fromAgent(client, resolved, options.debug === true)) ?? (await fromPod(client, resolved)),
  );
  process.stdout.write(options.json === true ? `${JSON.stringify(variables, null, 2)}\n` : formatDotenv(variables));
  return 0;
}

async function fromAgent(
  client: KubeClient,
  resolved: ResolvedTarget,
  debug: boolean,
): Promise<Readonly<Record<string, string>> | undefined> {
  const install = readInstall(resolved.workload);
  if (install.state !== 'installed') return undefined;
  const question = { method: 'environment', params: {} } as const;
  const answers = await askAgents(client, resolved.workload, install.record, newIdentity(), question, laptopLog(debug));
  return answers[0]?.variables;
}

async function fromPod(client: KubeClient, resolved: ResolvedTarget): Promise<Record<string, string>> {
  const name = workloadText({ kind: resolved.kind, name: resolved.workload.metadata.name });
  const pod = resolved.pods.find(isPodReady);
  const [container] = resolved.workload.spec.template.spec.containers;
  if (pod === undefined || container === undefined)
    throw new InterceptorError('TARGET_NOT_READY', `${name} has no ready pod to read the environment from`, {
      hint: `kubectl get pods -n ${resolved.namespace} shows why`,
    });
  const result = await execInPod(client.access, {
    namespace: resolved.namespace,
    pod: pod.metadata.name,
    container: container.name,
    command: ['cat', '/proc/1/environ'],
    signal: AbortSignal.timeout(EXEC_TIMEOUT_MS),
  });
  if (result.exitCode !== 0)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `cannot read the environment of pod/${pod.metadata.name}: ${result.stderr.trim()}`,
      {
        hint: `an image without "cat" tells it only to an agent: run "intercept ${name} --env-file .env" in another terminal`,
      },
    );
  return parseEnviron(result.stdout);
}

/** NUL-separated NAME=value pairs (proc(5) environ). */
export function parseEnviron(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split('\0').flatMap((pair) => {
      const at = pair.indexOf('=');
      return at <= 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)]];
    }),
  );
}
