import { InterceptorError } from '../../src/errors.ts';
import { readInstall } from './annotation.ts';
import { AGENT_CONTAINER, newInstallId } from './names.ts';
import { type Service, type Workload, workloadText } from './objects.ts';
import type { InstallPlan, InstallRequest } from './plan.ts';
import { planService } from './plan-service.ts';
import { planWorkload } from './plan-workload.ts';
import type { InstallRecord } from './record.ts';
import { requireFit } from './reuse.ts';

/**
 * What an install does to a workload as it is now: nothing where an agent is that fits, else the patch. Pure, but for the
 * install id where none is given.
 * @throws InterceptorError TARGET_IN_USE (an agent that does not fit), TARGET_UNSUPPORTED
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
  const { service } = request;
  if (state.state === 'installed') {
    const { record } = state;
    const warnings = requireFit(record, request);
    const container = workload.spec.template.spec.containers.find(({ name }) => name === AGENT_CONTAINER);
    return {
      action: 'reuse',
      workload: { before: workload, after: workload },
      service: servicePlan(service, request, record),
      passedPorts: passedPorts(record, request),
      record,
      container: container ?? { name: AGENT_CONTAINER },
      warnings,
    };
  }
  const plan = planWorkload(workload, request, request.installId ?? newInstallId(), createdAt);
  return {
    action: 'install',
    workload: { before: workload, after: plan.after },
    service: servicePlan(service, request, plan.record),
    passedPorts: passedPorts(plan.record, request),
    record: plan.record,
    container: plan.container,
    warnings: plan.warnings,
  };
}

function servicePlan(
  service: Service | undefined,
  request: InstallRequest,
  record: InstallRecord,
): InstallPlan['service'] {
  const after = service === undefined ? undefined : planService(service, request, record);
  return service === undefined || after === undefined ? undefined : { before: service, after };
}

function passedPorts({ routes }: InstallRecord, { ports }: InstallRequest): number[] {
  const asked = new Set(ports.map(({ appPort }) => appPort));
  return routes
    .filter(({ appPort, targetName }) => targetName === undefined && !asked.has(appPort))
    .flatMap(({ servicePorts }) => servicePorts);
}
