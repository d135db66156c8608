import { InterceptorError } from '../../src/errors.ts';
import type { AgentConfig, AgentRoute } from '../../src/protocol/agent-config.ts';
import { agentContainer } from './agent-container.ts';
import { ANNOTATION_PATH, originalWorkload, readInstall, recordText } from './annotation.ts';
import { requireAppContainer } from './app-container.ts';
import { ChangeList } from './change-list.ts';
import { applyChanges, asJson, ownChange, storedChange } from './changes.ts';
import {
  AGENT_CONTAINER,
  CODE_VOLUME,
  CREDENTIALS_VOLUME,
  contentHash,
  DEFAULT_TUNNEL_PORT,
  objectNames,
  REDIRECT_CONTAINER,
} from './names.ts';
import { type Container, type ContainerPort, type Workload, workloadText } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { drainBeforeStop, endsBesideOthers } from './plan-drain.ts';
import { addAliases, canBeHeld, holdOldPods, portAlias, storedHold } from './plan-hold.ts';
import { planRoutes, routeOf, takeOverName } from './plan-ports.ts';
import { redirectPorts } from './plan-redirect.ts';
import { allowLowPorts, takeOut } from './plan-replace.ts';
import { keepCountDuringRollout } from './plan-strategy.ts';
import { allPorts, declaredPorts, type PodPort, protocolName } from './pod-ports.ts';
import type { InstallRecord, RouteRecord } from './record.ts';

export interface WorkloadPlan {
  readonly after: Workload;
  readonly record: InstallRecord;
  readonly container: Container;
  readonly warnings: readonly string[];
}

const SPEC = ['spec', 'template', 'spec'] as const;

/**
 * The workload with the agent in it, planned from its original, so that what an unfinished restore has left is planned
 * away too. Pure.
 * @param createdAt ISO 8601
 * @param existing the install that is extended: its ports, objects and maker stay
 * @throws InterceptorError TARGET_UNSUPPORTED, USAGE_BAD_OPTION, USAGE_BAD_PORT
 */
export function planWorkload(
  workload: Workload,
  request: InstallRequest,
  installId: string,
  createdAt: string,
  existing?: InstallRecord,
): WorkloadPlan {
  const original = originalWorkload(workload);
  const { template } = original.spec;
  requireUntouched(request, original);
  const mode = existing?.mode ?? request.mode;
  const app = requireAppContainer(template, request, mode);
  const wanted = wantedPorts(original, app, { ...request, mode }, existing);
  const { tunnelPort, routes, freePort } = planRoutes(
    mode,
    template,
    wanted,
    request.agent.firstPort ?? DEFAULT_TUNNEL_PORT,
    existing,
  );
  for (const port of request.ports)
    if (routeOf({ mode, routes }, port) === undefined)
      throw new InterceptorError(
        'TARGET_UNSUPPORTED',
        `port ${port.servicePort} leads to a port named "${port.targetName}", as another port of the other protocol does`,
        { hint: 'give the one or the other a number as its targetPort' },
      );

  const drains = endsBesideOthers(request.kind, mode, original);
  const drainPort = drains ? (existing?.drainPort ?? freePort()) : undefined;
  const list = new ChangeList(original);
  const warnings = keepCountDuringRollout(request.kind, list);
  const agent = { ...request.agent, image: existing?.image ?? request.agent.image };
  const config: AgentConfig = {
    version: 1,
    tunnelPort,
    container: app.name,
    app: mode.kind === 'replace' ? 'replaced' : 'present',
    routes: agentRoutes(routes),
    ...(drainPort === undefined ? {} : { drainPort }),
  };
  const ports = [
    { name: 'ki-tunnel', containerPort: tunnelPort },
    ...(drainPort === undefined ? [] : [{ name: 'ki-drain', containerPort: drainPort }]),
    ...agentPorts(app, mode.kind, routes),
  ];
  const container = agentContainer(app, template, config, ports, agent);
  let place: number | undefined;
  switch (mode.kind) {
    case 'sidecar':
      for (const { targetName, protocol } of routes)
        if (targetName !== undefined) takeOverName(list, targetName, protocol);
      break;
    case 'replace':
      if (routes.some(({ port }) => port < 1024)) allowLowPorts(list, request);
      place = takeOut(list, app);
      break;
    case 'redirect':
      redirectPorts(list, routes, freePort, agent.image);
      break;
    default:
      mode satisfies never;
  }
  if (mode.kind === 'sidecar') addAliases(list, request.kind, app.name, routes);
  list.own([...SPEC, 'containers', { match: { name: AGENT_CONTAINER } }], asJson(container), place);
  if (drainPort !== undefined) drainBeforeStop(list, drainPort);
  const codeHash = existing?.codeHash ?? contentHash(request.agent.code);
  const { configMap, secret } = existing ?? objectNames(request.name, codeHash, installId);
  for (const volume of [
    { name: CODE_VOLUME, configMap: { name: configMap, defaultMode: 0o444 } },
    { name: CREDENTIALS_VOLUME, secret: { secretName: secret, defaultMode: 0o444 } },
  ])
    list.own([...SPEC, 'volumes', { match: { name: volume.name } }], volume);

  const hold = existing === undefined && canBeHeld(request, original) ? holdOldPods(list.object) : undefined;
  const annotation = storedChange(ownChange(list.object, ANNOTATION_PATH, ''));
  const record: InstallRecord = {
    version: 1,
    installId,
    createdBy: existing?.createdBy ?? { user: request.createdBy.user, host: request.createdBy.host },
    createdAt: existing?.createdAt ?? createdAt,
    image: agent.image,
    codeHash,
    mode,
    container: app.name,
    tunnelPort,
    ...(drainPort === undefined ? {} : { drainPort }),
    routes,
    configMap,
    secret,
    keepAgent: request.keepAgent || existing?.keepAgent === true,
    changes: [...list.changes.map(storedChange), annotation],
    ...(hold === undefined ? {} : { hold: storedHold(hold) }),
  };
  const after = applyChanges(hold?.object ?? list.object, [
    { path: ANNOTATION_PATH, now: recordText(record, original) },
  ]);
  return { after, record, container, warnings };
}

function requireUntouched({ kind }: InstallRequest, original: Workload): void {
  const { containers, initContainers = [] } = original.spec.template.spec;
  const isOurs = ({ name }: Container): boolean => name === AGENT_CONTAINER || name === REDIRECT_CONTAINER;
  if (readInstall(original).state === 'none' && ![...containers, ...initContainers].some(isOurs)) return;
  const name = workloadText({ kind, name: original.metadata.name });
  throw new InterceptorError(
    'TARGET_UNSUPPORTED',
    `${name} carries an agent without its annotation: what it was before is not known`,
    {
      hint: `apply its manifest again, or: kubectl rollout undo ${name}`,
    },
  );
}

/** What the agent gets a port for: in mode sidecar, while nobody takes traffic, no name, since a name is taken over at once. */
function wantedPorts(
  original: Workload,
  app: Container,
  { services, ports, mode }: InstallRequest,
  existing: InstallRecord | undefined,
): PodPort[] {
  const ofServices = allPorts(services, original, app.name);
  switch (mode.kind) {
    case 'sidecar': {
      const takesTraffic =
        ports.length > 0 || existing?.routes.some(({ targetName }) => targetName !== undefined) === true;
      return [
        ...(takesTraffic ? ofServices : ofServices.filter(({ targetName }) => targetName === undefined)),
        ...ports,
      ];
    }
    case 'replace':
      return [...ofServices.filter(({ container }) => container === app.name), ...declaredPorts([app]), ...ports];
    case 'redirect':
      return [...ofServices, ...declaredPorts([app]), ...ports];
    default:
      return mode satisfies never;
  }
}

/** What the agent listens on: a port of the app that several targets lead to once. */
function agentRoutes(routes: readonly RouteRecord[]): AgentRoute[] {
  const byPort = routes.map(
    ({ port, appPort, protocol }) => [`${port}/${protocol}`, { port, appPort, protocol }] as const,
  );
  return [...new Map(byPort).values()];
}

/** The agent's container ports besides the tunnel's; in the app's place the app's own, as they are declared. */
function agentPorts(
  app: Container,
  mode: InstallRecord['mode']['kind'],
  routes: readonly RouteRecord[],
): ContainerPort[] {
  const isNamed = (port: number): boolean =>
    routes.some((route) => route.port === port && route.targetName !== undefined);
  const ofRoutes = routes
    .filter(({ port, targetName }) => targetName !== undefined || !isNamed(port))
    .map((route) => {
      const alias = mode === 'sidecar' ? portAlias(route) : undefined;
      const name = route.targetName ?? alias;
      return {
        ...(name === undefined ? {} : { name }),
        containerPort: route.port,
        protocol: protocolName(route.protocol),
      };
    });
  if (mode !== 'replace') return ofRoutes;
  const declared = app.ports ?? [];
  const isDeclared = ({ containerPort, protocol }: ContainerPort): boolean =>
    declared.some((port) => port.containerPort === containerPort && (port.protocol ?? 'TCP') === protocol);
  return [...declared, ...ofRoutes.filter((port) => !isDeclared(port))];
}
