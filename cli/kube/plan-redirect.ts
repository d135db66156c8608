import { CONFINED } from './agent-container.ts';
import type { ChangeList } from './change-list.ts';
import { asJson } from './changes.ts';
import { REDIRECT_CONTAINER } from './names.ts';
import type { Container, Workload } from './objects.ts';
import { containerPath, portUsers } from './plan-ports.ts';
import { portContainers } from './pod-ports.ts';
import type { RouteRecord } from './record.ts';
import { REDIRECT_PROGRAM } from './redirect-program.ts';

/** What it takes is some milliseconds of perl; both are set, as a quota may ask for them. */
const RESOURCES = { requests: { cpu: '10m', memory: '16Mi' }, limits: { cpu: '200m', memory: '64Mi' } };

/**
 * Adds the init container that redirects the app's ports to the agent's, for whoever calls the pod from outside. Probes and
 * hooks, which come from outside too, are pointed to spare ports that are redirected to the app.
 * @param freePort another port that nothing in the pod uses
 */
export function redirectPorts(
  list: ChangeList<Workload>,
  routes: readonly RouteRecord[],
  freePort: () => number,
  image: string,
): void {
  const { template } = list.object.spec;
  // routes of this mode have no names: one for each port of the app
  const rules = routes.map(({ protocol, appPort, port }) => `${protocol}:${appPort}:${port}`);
  const spare = new Map<number, number>();
  for (const container of portContainers(template)) {
    const path = containerPath(template, container);
    for (const user of portUsers(container)) {
      const port = numberOf(container, user.port);
      if (user.host !== undefined || !routes.some(({ appPort, protocol }) => protocol === 'tcp' && appPort === port))
        continue;
      if (port === undefined) continue;
      const aside = spare.get(port) ?? freePort();
      spare.set(port, aside);
      list.set([...path, ...user.path, 'port'], aside);
    }
  }
  for (const [appPort, aside] of spare) rules.push(`tcp:${aside}:${appPort}`);
  const path = ['spec', 'template', 'spec', 'initContainers', { match: { name: REDIRECT_CONTAINER } }];
  // first: what others' init containers do with the network does not depend on it, and a refusal shows at once
  list.own(path, asJson(redirectContainer(image, rules)), 0);
}

/** A name of a probe is looked for in its own container. */
function numberOf({ ports = [] }: Container, port: number | string): number | undefined {
  return typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.containerPort;
}

function redirectContainer(image: string, rules: readonly string[]): Container {
  return {
    name: REDIRECT_CONTAINER,
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['perl', '-e', REDIRECT_PROGRAM, ...rules],
    resources: RESOURCES,
    securityContext: {
      runAsNonRoot: false,
      runAsUser: 0,
      runAsGroup: 0,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      ...CONFINED,
    },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}
