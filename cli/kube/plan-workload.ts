import { InterceptorError } from '../../src/errors.ts';
import type { AgentConfig } from '../../src/protocol/agent-config.ts';
import { agentContainer } from './agent-container.ts';
import { ANNOTATION_PATH, originalWorkload, readInstall, recordText } from './annotation.ts';
import { ChangeList } from './change-list.ts';
import { type Json, ownChange, storedChange } from './changes.ts';
import {
  AGENT_CONTAINER,
  CODE_VOLUME,
  CREDENTIALS_VOLUME,
  contentHash,
  DEFAULT_TUNNEL_PORT,
  objectNames,
} from './names.ts';
import { type Container, type Workload, workloadText } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { planRoutes, takeOverName } from './plan-ports.ts';
import { keepCountDuringRollout } from './plan-strategy.ts';
import { allPorts, defaultContainer, portContainers } from './ports.ts';
import type { InstallRecord } from './record.ts';

export interface WorkloadPlan {
  readonly after: Workload;
  readonly record: InstallRecord;
  readonly container: Container;
  readonly warnings: readonly string[];
}

/**
 * The workload with the agent in it, planned from its original, so that what an unfinished restore has left is planned
 * away too. Pure.
 * @param createdAt ISO 8601
 * @throws InterceptorError TARGET_UNSUPPORTED
 */
export function planWorkload(
  workload: Workload,
  request: InstallRequest,
  installId: string,
  createdAt: string,
): WorkloadPlan {
  const original = originalWorkload(workload);
  const template = original.spec.template;
  const name = workloadText({ kind: request.kind, name: original.metadata.name });
  if (readInstall(original).state !== 'none' || template.spec.containers.some((c) => c.name === AGENT_CONTAINER))
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${name} carries an agent without its annotation: what it was before is not known`,
      {
        hint: `apply its manifest again, or: kubectl rollout undo ${name}`,
      },
    );
  const appName = request.ports[0]?.container ?? defaultContainer(template);
  const app = portContainers(template).find((container) => container.name === appName);
  if (app === undefined)
    throw new InterceptorError('TARGET_UNSUPPORTED', `${name} has no container "${appName}" any more`);

  const ports = request.service === undefined ? [] : allPorts(request.service, original);
  const { tunnelPort, routes } = planRoutes(template, ports, request.agent.firstPort ?? DEFAULT_TUNNEL_PORT);
  const config: AgentConfig = {
    version: 1,
    tunnelPort,
    container: app.name,
    routes: routes.map(({ port, appPort }) => ({ port, appPort })),
  };
  const agentPorts = [
    { name: 'ki-tunnel', containerPort: tunnelPort },
    ...routes.map(({ port, targetName }) => ({
      ...(targetName === undefined ? {} : { name: targetName }),
      containerPort: port,
    })),
  ];
  const container = agentContainer(app, template, config, agentPorts, request.agent);
  const codeHash = contentHash(request.agent.code);
  const names = objectNames(request.name, codeHash, installId);

  const list = new ChangeList(original);
  const warnings = keepCountDuringRollout(request.kind, list);
  for (const { targetName } of routes) if (targetName !== undefined) takeOverName(list, targetName);
  const spec = ['spec', 'template', 'spec'];
  list.own([...spec, 'containers', { match: { name: AGENT_CONTAINER } }], asJson(container));
  for (const volume of [
    { name: CODE_VOLUME, configMap: { name: names.configMap, defaultMode: 0o444 } },
    { name: CREDENTIALS_VOLUME, secret: { secretName: names.secret, defaultMode: 0o444 } },
  ])
    list.own([...spec, 'volumes', { match: { name: volume.name } }], volume);

  const annotation = storedChange(ownChange(list.object, ANNOTATION_PATH, ''));
  const record: InstallRecord = {
    version: 1,
    installId,
    createdBy: { user: request.createdBy.user, host: request.createdBy.host },
    createdAt,
    image: request.agent.image,
    codeHash,
    service: request.service?.metadata.name,
    container: app.name,
    tunnelPort,
    routes,
    ...names,
    keepAgent: request.keepAgent,
    changes: [...list.changes.map(storedChange), annotation],
  };
  list.own(ANNOTATION_PATH, recordText(record, original));
  return { after: list.object, record, container, warnings };
}

function asJson(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
