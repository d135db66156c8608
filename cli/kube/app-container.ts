import { InterceptorError } from '../../src/errors.ts';
import type { Container, PodTemplate } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { defaultContainer, portContainers, requireContainer } from './pod-ports.ts';
import type { InstallMode } from './record.ts';

/**
 * The app's container: the one that the user names, else the one that the first port leads to, else the pod's default one. Pure.
 * @param template without our agent
 * @throws InterceptorError USAGE_BAD_OPTION (no such container; one that cannot be replaced), USAGE_BAD_PORT (a port of another
 *   container than the replaced one), TARGET_UNSUPPORTED (the container is gone since the ports were chosen)
 */
export function requireAppContainer(
  template: PodTemplate,
  { container, ports, name: workload }: Pick<InstallRequest, 'container' | 'ports' | 'name'>,
  mode: InstallMode,
): Container {
  if (container !== undefined) requireContainer(template, container);
  const name = container ?? ports[0]?.container ?? defaultContainer(template);
  const app = portContainers(template).find((one) => one.name === name);
  if (app === undefined)
    throw new InterceptorError('TARGET_UNSUPPORTED', `"${workload}" has no container "${name}" any more`);
  if (mode.kind !== 'replace') return app;
  if (!template.spec.containers.includes(app))
    throw new InterceptorError('USAGE_BAD_OPTION', `container "${name}" is a sidecar among the init containers`, {
      hint: 'an ordinary container can be replaced: --container <name>',
    });
  const others = ports.find((port) => port.container !== name);
  if (others !== undefined)
    throw new InterceptorError(
      'USAGE_BAD_PORT',
      `port ${others.servicePort} is one of container "${others.container}", which stays: "${name}" is replaced`,
      { hint: `replace the other one: --container ${others.container}` },
    );
  return app;
}
