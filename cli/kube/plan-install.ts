import { InterceptorError } from '../../src/errors.ts';
import { originalService, readInstall } from './annotation.ts';
import { gitOpsWarnings } from './gitops.ts';
import { AGENT_CONTAINER, newInstallId } from './names.ts';
import { type Workload, workloadText } from './objects.ts';
import type { InstallPlan, InstallRequest, ServicePlan } from './plan.ts';
import { planService } from './plan-service.ts';
import { planWorkload } from './plan-workload.ts';
import type { InstallRecord } from './record.ts';
import { inUse, misfit, reuseWarnings } from './reuse.ts';

/**
 * What an install does to a workload as it is now: nothing where an agent is that fits, else the patch; where one is that can be
 * extended, the patch that makes it serve this request too. Pure, but for the install id where none is given.
 * @throws InterceptorError TARGET_IN_USE (an agent that does not fit), TARGET_UNSUPPORTED, USAGE_BAD_OPTION, USAGE_BAD_PORT
 */
export function planInstall(workload: Workload, request: InstallRequest, createdAt: string): InstallPlan {
  const state = readInstall(workload);
  if (state.state === 'unreadable')
    throw new InterceptorError(
      'TARGET_IN_USE',
      `${workloadText(request)} has an agent of a version of kube-intercept that this one cannot read (${state.reason})`,
      {
        hint: 'use the newer version, or end the intercept with it',
      },
    );
  if (state.state === 'installed') {
    const { record } = state;
    const found = misfit(record, request);
    if (found === undefined) {
      const container = workload.spec.template.spec.containers.find(({ name }) => name === AGENT_CONTAINER);
      return {
        action: 'reuse',
        workload: { before: workload, after: workload },
        services: servicePlans(request, record),
        record,
        container: container ?? { name: AGENT_CONTAINER },
        warnings: reuseWarnings(record, request),
      };
    }
    if (!found.extendable) throw inUse(record, request, found);
    return planned('extend', workload, request, planWorkload(workload, request, record.installId, createdAt, record));
  }
  return planned(
    'install',
    workload,
    request,
    planWorkload(workload, request, request.installId ?? newInstallId(), createdAt),
  );
}

function planned(
  action: 'install' | 'extend',
  workload: Workload,
  request: InstallRequest,
  { after, record, container, warnings }: ReturnType<typeof planWorkload>,
): InstallPlan {
  const services = servicePlans(request, record);
  const through = request.services.filter(({ metadata }) =>
    request.ports.some((port) => port.service === metadata.name),
  );
  const reverting = action === 'install' ? gitOpsWarnings([workload, ...through]) : [];
  return {
    action,
    workload: { before: workload, after },
    services,
    record,
    container,
    warnings: [...warnings, ...reverting],
  };
}

/** The Services that the request takes traffic through, as far as they are changed. */
function servicePlans(request: InstallRequest, record: InstallRecord): ServicePlan[] {
  return request.services.flatMap((service) => {
    const asked = request.ports.filter((port) => port.service === service.metadata.name);
    const after = asked.length === 0 ? undefined : planService(service, request, record);
    if (after === undefined) return [];
    const original = originalService(service);
    const passed = (after.spec.ports ?? []).filter(
      ({ port, targetPort, protocol }) =>
        !asked.some((one) => one.servicePort === port && one.protocol === (protocol ?? 'TCP').toLowerCase()) &&
        original.spec.ports?.find((one) => one.port === port && one.protocol === protocol)?.targetPort !== targetPort,
    );
    return [{ before: service, after, passedPorts: passed.map(({ port }) => port) }];
  });
}
