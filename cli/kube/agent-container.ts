import {
  AGENT_APP_ENV_PREFIX,
  AGENT_CODE_DIR,
  AGENT_CODE_FILE,
  AGENT_CONFIG_ENV,
  AGENT_CREDENTIALS_DIR,
  AGENT_LOG_LEVEL_ENV,
  AGENT_NAMESPACE_ENV,
  AGENT_POD_IP_ENV,
  AGENT_POD_NAME_ENV,
  AGENT_VOLUMES_DIR,
  type AgentConfig,
  READY_PATH,
  RUNTIME_VARIABLES,
} from '../../src/protocol/agent-config.ts';
import { AGENT_CONTAINER, CODE_VOLUME, CREDENTIALS_VOLUME } from './names.ts';
import type { Container, ContainerPort, EnvVariable, PodTemplate, SecurityContext, VolumeMount } from './objects.ts';
import type { AgentOptions, AgentResources } from './plan.ts';

/** Small enough for any quota; memory is bounded by the agent's own limits (48 MB idle on Node 20). */
export const DEFAULT_RESOURCES: AgentResources = {
  requests: { cpu: '20m', memory: '64Mi' },
  limits: { cpu: '1', memory: '256Mi' },
};
/** Where the app's user is root or unknown: the usual "nonroot" of distroless images. */
const NON_ROOT_USER = 65532;

/**
 * The sidecar. Its own environment is the app's (same env, envFrom and downward fields), so that asking it is asking
 * the app; its mounts are the app's, read-only, under AGENT_VOLUMES_DIR. Fields that the server would default are explicit, so
 * that what is stored is what was planned. Pure.
 * @param app the app's container, without changes of ours
 */
export function agentContainer(
  app: Container,
  template: PodTemplate,
  config: AgentConfig,
  ports: ContainerPort[],
  options: AgentOptions,
): Container {
  const resources = options.resources ?? DEFAULT_RESOURCES;
  return {
    name: AGENT_CONTAINER,
    image: options.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', `${AGENT_CODE_DIR}/${AGENT_CODE_FILE}`],
    ...(app.envFrom === undefined ? {} : { envFrom: app.envFrom }),
    env: [
      ...appEnvironment(app, config.app === 'replaced' ? AGENT_CONTAINER : app.name),
      ...ownEnvironment(config, options),
    ],
    ports: ports.map(({ name, containerPort, protocol = 'TCP', hostPort, hostIP }) => ({
      ...(name === undefined ? {} : { name }),
      ...(hostPort === undefined ? {} : { hostPort }),
      ...(hostIP === undefined ? {} : { hostIP }),
      containerPort,
      protocol,
    })),
    resources: { requests: { ...resources.requests }, limits: { ...resources.limits } },
    securityContext: restrictedContext(app, template),
    readinessProbe: {
      httpGet: { path: READY_PATH, port: config.tunnelPort, scheme: 'HTTPS' },
      periodSeconds: 1,
      timeoutSeconds: 5,
      successThreshold: 1,
      failureThreshold: 3,
    },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: CODE_VOLUME, mountPath: AGENT_CODE_DIR, readOnly: true },
      { name: CREDENTIALS_VOLUME, mountPath: AGENT_CREDENTIALS_DIR, readOnly: true },
      ...(app.volumeMounts ?? []).map(readOnlyMount),
    ],
  };
}

function ownEnvironment(config: AgentConfig, options: AgentOptions): EnvVariable[] {
  const field = (name: string, fieldPath: string): EnvVariable => ({
    name,
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
  });
  return [
    { name: AGENT_CONFIG_ENV, value: JSON.stringify(config) },
    field(AGENT_POD_NAME_ENV, 'metadata.name'),
    field(AGENT_POD_IP_ENV, 'status.podIP'),
    field(AGENT_NAMESPACE_ENV, 'metadata.namespace'),
    ...(options.logLevel === undefined ? [] : [{ name: AGENT_LOG_LEVEL_ENV, value: options.logLevel }]),
  ];
}

/**
 * The app's env for the agent: what would change the agent's own runtime gets another name and is blanked, references to it
 * follow; resource fields name the app's container, or who has its place. With envFrom such a variable may come from there, unseen: it is passed on
 * by reference. (The kubelet leaves `$(X)` as it is where there is no X: the agent takes exactly that text for "not set".)
 */
export function appEnvironment(app: Container, resourcesOf = app.name): EnvVariable[] {
  const declared = app.env ?? [];
  const names = new Set(declared.map(({ name }) => name));
  const unseen = (app.envFrom ?? []).length > 0 ? RUNTIME_VARIABLES.filter((name) => !names.has(name)) : [];
  const passedOn = unseen.map((name) => ({ name: `${AGENT_APP_ENV_PREFIX}${name}`, value: `$(${name})` }));
  const renamed = declared.map((variable) =>
    withContainerName(renameRuntimeVariables(variable), app.name, resourcesOf),
  );
  const blank = RUNTIME_VARIABLES.filter((name) => names.has(name) || unseen.includes(name));
  return [...passedOn, ...renamed, ...blank.map((name) => ({ name, value: '' }))];
}

function renameRuntimeVariables(variable: EnvVariable): EnvVariable {
  const name = isRuntimeVariable(variable.name) ? `${AGENT_APP_ENV_PREFIX}${variable.name}` : variable.name;
  if (variable.value === undefined) return { ...variable, name };
  // "$$" is an escaped dollar sign (so "$$(X)" is no reference): taken as a whole first
  const value = variable.value.replaceAll(/\$\$|\$\(([^)]*)\)/g, (found: string, referred: string | undefined) =>
    referred !== undefined && isRuntimeVariable(referred) ? `$(${AGENT_APP_ENV_PREFIX}${referred})` : found,
  );
  return { ...variable, name, value };
}

function isRuntimeVariable(name: string): boolean {
  return (RUNTIME_VARIABLES as readonly string[]).includes(name);
}

/** A resourceFieldRef without a name means its own container: in the agent it must name the app's. */
function withContainerName(variable: EnvVariable, app: string, resourcesOf: string): EnvVariable {
  const reference = variable.valueFrom?.resourceFieldRef;
  if (reference === undefined || !['', app].includes(reference.containerName ?? '')) return variable;
  return {
    ...variable,
    valueFrom: { ...variable.valueFrom, resourceFieldRef: { ...reference, containerName: resourcesOf } },
  };
}

function readOnlyMount(mount: VolumeMount): VolumeMount {
  const { name, mountPath, subPath, subPathExpr } = mount;
  return {
    name,
    mountPath: `${AGENT_VOLUMES_DIR}${mountPath.startsWith('/') ? '' : '/'}${mountPath}`,
    readOnly: true,
    ...(subPath === undefined ? {} : { subPath }),
    ...(subPathExpr === undefined ? {} : { subPathExpr }),
  };
}

/** For every container of ours, whatever its user and capabilities are. */
export const CONFINED = {
  privileged: false,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/** What PodSecurity's "restricted" asks for; the app's user where it is not root, so that its files can be read. */
function restrictedContext(app: Container, template: PodTemplate): SecurityContext {
  const pod = template.spec.securityContext;
  const user = app.securityContext?.runAsUser ?? pod?.runAsUser ?? 0;
  const group = app.securityContext?.runAsGroup;
  return {
    runAsNonRoot: true,
    runAsUser: user === 0 ? NON_ROOT_USER : user,
    ...(group === undefined || group === 0 ? {} : { runAsGroup: group }),
    ...CONFINED,
    capabilities: { drop: ['ALL'] },
  };
}
