import { InterceptorError } from '../../src/errors.ts';
import { contentHash } from './names.ts';
import { workloadText } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import type { InstallRecord } from './record.ts';

/** Why an installed agent does not serve a request; `text` completes "the agent of deployment/web …". */
export interface Misfit {
  readonly reason: 'no-traffic' | 'service' | 'container' | 'ports';
  readonly text: string;
}

/** Whether the installed agent serves the request as it is; its code's version is for the tunnel's handshake to judge. Pure. */
export function misfit(record: InstallRecord, request: InstallRequest): Misfit | undefined {
  if (request.service === undefined) return undefined; // who takes no traffic is served by every agent
  if (record.service === undefined)
    return { reason: 'no-traffic', text: 'takes no traffic: "intercept run" or "intercept shell" has brought it' };
  if (record.service !== request.service.metadata.name)
    return { reason: 'service', text: `was installed for service "${record.service}"` };
  for (const { appPort, targetName, container, servicePort } of request.ports) {
    if (container !== record.container)
      return { reason: 'container', text: `was installed for container "${record.container}", not "${container}"` };
    const route = record.routes.find((r) => r.appPort === appPort && r.targetName === targetName);
    if (route === undefined || !route.servicePorts.includes(servicePort))
      return { reason: 'ports', text: `does not serve port ${servicePort} of the Service as it is now` };
  }
  return undefined;
}

/** @throws InterceptorError TARGET_IN_USE when the installed agent does not serve the request */
export function requireFit(record: InstallRecord, request: InstallRequest): string[] {
  const found = misfit(record, request);
  const name = workloadText(request);
  const { user, host } = record.createdBy;
  if (found !== undefined)
    throw new InterceptorError(
      'TARGET_IN_USE',
      `the agent of ${name} ${found.text} (by ${user}@${host} at ${record.createdAt})`,
      {
        hint: `end ${found.reason === 'no-traffic' ? 'what runs with it' : 'that intercept'} first: intercept leave ${name} -n ${request.namespace}`,
      },
    );
  if (record.codeHash !== contentHash(request.agent.code))
    return [
      `the agent of ${name} is of another version of kube-intercept (installed by ${user}@${host}); to renew it: intercept leave ${name}`,
    ];
  return [];
}
