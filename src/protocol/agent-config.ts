import { InterceptorError } from '../errors.ts';
import { shown } from './shown.ts';

/**
 * What the installing session tells the agent through its container: the only contract between `cli/kube` and `agent/`
 * besides the tunnel. Written as JSON into the environment variable AGENT_CONFIG_ENV.
 */
export interface AgentConfig {
  readonly version: 1;
  /** TLS port of the tunnel and of GET /readyz, in the pod. */
  readonly tunnelPort: number;
  /** The app's container. */
  readonly container: string;
  /** `replaced`: that container is not in the pod, nobody answers in its place; then `port` and `appPort` of a route are the same. */
  readonly app: 'present' | 'replaced';
  readonly routes: readonly AgentRoute[];
  /** Plain-HTTP port of the preStop hooks, in the pod; none where no container has one. */
  readonly drainPort?: number;
  /** The agent ends itself (exit code 0) once no session has used it for this long: a pod that nobody else would end. */
  readonly exitIdleMs?: number;
}

/** One intercepted port: the agent listens on `port` and hands over to the laptop or to the app on `appPort`. */
export interface AgentRoute {
  readonly port: number;
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
}

export const AGENT_CONFIG_ENV = 'KUBE_INTERCEPT_AGENT';
export const AGENT_POD_NAME_ENV = 'KUBE_INTERCEPT_POD_NAME';
export const AGENT_POD_IP_ENV = 'KUBE_INTERCEPT_POD_IP';
export const AGENT_NAMESPACE_ENV = 'KUBE_INTERCEPT_NAMESPACE';
export const AGENT_LOG_LEVEL_ENV = 'KUBE_INTERCEPT_LOG_LEVEL';
/** An app variable that would change the agent's own runtime travels under this prefix: KUBE_INTERCEPT_APP_NODE_OPTIONS. */
export const AGENT_APP_ENV_PREFIX = 'KUBE_INTERCEPT_APP_';
/** Variables that change how Node or the loader starts; blanked in the agent (see AGENT_APP_ENV_PREFIX). */
export const RUNTIME_VARIABLES = [
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_EXTRA_CA_CERTS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'NODE_REPL_EXTERNAL_MODULE',
  'NODE_V8_COVERAGE',
  'NODE_DEBUG',
  'LD_PRELOAD',
  'LD_LIBRARY_PATH',
  'LD_AUDIT',
  'OPENSSL_CONF',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'SSLKEYLOGFILE',
  'UV_THREADPOOL_SIZE',
] as const;

/** Folder of the agent's code (ConfigMap key agent.mjs) and of its credentials (Secret keys key, tls.key, tls.crt). */
export const AGENT_CODE_DIR = '/kube-intercept/code';
export const AGENT_CODE_FILE = 'agent.mjs';
export const AGENT_CREDENTIALS_DIR = '/kube-intercept/credentials';
/** The app's volume mounts appear below this folder in the agent. */
export const AGENT_VOLUMES_DIR = '/kube-intercept/volumes';

/** How long a preStop hook is answered at the latest: the pods' grace period is longer by this. */
export const DRAIN_MAX_MS = 10_000;

/** Paths served on the tunnel port. */
export const TUNNEL_PATH = '/tunnel';
export const READY_PATH = '/readyz';
/** Of the preStop hooks, on the drain port. */
export const DRAIN_PATH = '/drain';

/** @throws InterceptorError INTERNAL naming what is wrong with the text */
export function parseAgentConfig(text: string): AgentConfig {
  const bad = (what: string): InterceptorError =>
    new InterceptorError('INTERNAL', `${AGENT_CONFIG_ENV} is not an agent configuration: ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InterceptorError('INTERNAL', `${AGENT_CONFIG_ENV} is not JSON`, { cause });
  }
  if (typeof value !== 'object' || value === null) throw bad('no object');
  const { version, tunnelPort, container, app, routes, drainPort, exitIdleMs } = value as Record<string, unknown>;
  if (version !== 1) throw bad(`version ${shown(version)}`);
  if (!isPort(tunnelPort)) throw bad('tunnelPort');
  if (typeof container !== 'string') throw bad('container');
  if (app !== 'present' && app !== 'replaced') throw bad('app');
  if (!Array.isArray(routes)) throw bad('routes');
  const parsed = routes.map((route: unknown): AgentRoute => {
    if (typeof route !== 'object' || route === null) throw bad('route');
    const { port, appPort, protocol } = route as Record<string, unknown>;
    if (!isPort(port) || !isPort(appPort)) throw bad('route ports');
    if (protocol !== 'tcp' && protocol !== 'udp') throw bad('route protocol');
    return { port, appPort, protocol };
  });
  if (drainPort !== undefined && !isPort(drainPort)) throw bad('drainPort');
  if (exitIdleMs !== undefined && (typeof exitIdleMs !== 'number' || !(exitIdleMs > 0))) throw bad('exitIdleMs');
  return {
    version,
    tunnelPort,
    container,
    app,
    routes: parsed,
    ...(drainPort === undefined ? {} : { drainPort }),
    ...(exitIdleMs === undefined ? {} : { exitIdleMs }),
  };
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}
