import { AGENT_APP_ENV_PREFIX, RUNTIME_VARIABLES } from '../src/protocol/agent-config.ts';

const OWN_PREFIX = 'KUBE_INTERCEPT_';

/**
 * The app container's environment, from the agent's own: the agent's container has the same `env` and `envFrom`.
 * Variables that would change this runtime were blanked and travel as KUBE_INTERCEPT_APP_X; the agent's own are left out.
 */
export function appEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const blanked: readonly string[] = RUNTIME_VARIABLES;
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || name.startsWith(OWN_PREFIX)) continue;
    if (value === '' && blanked.includes(name)) continue;
    variables[name] = value;
  }
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith(AGENT_APP_ENV_PREFIX)) continue;
    const original = name.slice(AGENT_APP_ENV_PREFIX.length);
    // With envFrom every blanked variable is passed on as `$(X)`; the kubelet leaves that text where there is no X.
    if (value !== `$(${original})`) variables[original] = value;
  }
  return variables;
}
