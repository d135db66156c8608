import { InterceptorError } from '../../src/errors.ts';
import { isRecord } from '../../src/is-record.ts';
import type { ClusterOptions } from '../common-options.ts';
import { readInstall } from '../kube/annotation.ts';
import { KubeClient } from '../kube/client.ts';
import { execInPod } from '../kube/exec.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isPodReady, workloadText } from '../kube/objects.ts';
import { parseTarget, type ResolvedTarget, resolveTarget } from '../kube/target.ts';
import { askAgents } from '../session/ask-agent.ts';
import { askSession } from '../session/control-socket.ts';
import { dotenvWarning } from '../session/env-formats/dotenv.ts';
import { ENV_FORMATS, type EnvFormat } from '../session/env-formats/formats.ts';
import { selectVariables } from '../session/environment.ts';
import { newIdentity } from '../session/identity.ts';
import { isAlive, readSessionRecords } from '../session/state-files.ts';
import { laptopLog } from '../ui/laptop-log.ts';

export interface EnvOptions extends ClusterOptions {
  readonly service?: string;
  readonly format?: EnvFormat;
  /** As `--format json`. */
  readonly json?: boolean;
  readonly debug?: boolean;
}

const EXEC_TIMEOUT_MS = 10_000;
const SESSION_ANSWER_MS = 2_000;

/**
 * `intercept env`: the app's environment, from its agent or else from a running pod, and over it what a session of this
 * laptop has for other processes (a proxy port, $INTERCEPT_ROOT). @returns the exit code
 */
export async function env(targetText: string, options: EnvOptions): Promise<number> {
  const format = chooseFormat(options);
  const target = parseTarget(targetText);
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const resolved = await resolveTarget(client, { target, namespace, service: options.service });
  const [pod, session] = await Promise.all([
    fromAgent(client, resolved, options.debug === true).then((variables) => variables ?? fromPod(client, resolved)),
    fromSession(access.server, resolved),
  ]);
  const variables = { ...selectVariables(pod), ...session };
  const { text, leftOut } = ENV_FORMATS[format](variables);
  process.stdout.write(text);
  const misread = format === 'dotenv' ? dotenvWarning(variables) : undefined;
  if (misread !== undefined) process.stderr.write(`warning: ${misread}\n`);
  for (const { name, why } of leftOut) process.stderr.write(`warning: ${name} is left out: it ${why}\n`);
  if (format === 'vscode') process.stderr.write(`hint: ${envFileHint(targetText)}\n`);
  return 0;
}

function chooseFormat({ format, json }: EnvOptions): EnvFormat {
  if (json !== true) return format ?? 'dotenv';
  if (format === undefined || format === 'json') return 'json';
  throw new InterceptorError('USAGE_BAD_OPTION', `--json and --format ${format} exclude each other`, {
    hint: '--json is short for --format json',
  });
}

/** launch.json is often committed, and these values are the pod's. */
function envFileHint(target: string): string {
  const reference = '"envFile": "$' + '{workspaceFolder}/.env"';
  return `without the values in launch.json: intercept ${target} --env-file .env, and ${reference}`;
}

/** Of sessions of this laptop for the workload, what other processes need to stand inside as well. */
async function fromSession(server: string, resolved: ResolvedTarget): Promise<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const record of await readSessionRecords()) {
    if (record.server !== server || record.namespace !== resolved.namespace) continue;
    if (record.workloadKind !== resolved.kind || record.workloadName !== resolved.workload.metadata.name) continue;
    if (!(await isAlive(record))) continue;
    Object.assign(variables, sharedVariables(await askSession(record.socket, { method: 'status' }, SESSION_ANSWER_MS)));
  }
  return variables;
}

/** The part of a session's status that is for other processes; a session of an older version has none. Pure. */
export function sharedVariables(status: unknown): Record<string, string> {
  if (!isRecord(status) || !isRecord(status.variables)) return {};
  return Object.fromEntries(
    Object.entries(status.variables).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
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
    // Not of process 1, which is the pause container's where the pod shares its process namespace.
    command: ['cat', '/proc/self/environ'],
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
