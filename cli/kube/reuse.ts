import { InterceptorError } from '../../src/errors.ts';
import { contentHash } from './names.ts';
import { workloadText } from './objects.ts';
import type { InstallRequest } from './plan.ts';
import { routeOf } from './plan-ports.ts';
import type { InstallRecord } from './record.ts';

/** Why an installed agent does not serve a request; `text` completes "the agent of deployment/web …". */
export interface Misfit {
  readonly reason: 'mode' | 'container' | 'ports';
  readonly text: string;
  /** Whether the install can be extended to serve it; else somebody has to end what is there. */
  readonly extendable: boolean;
}

/** Whether the installed agent serves the request as it is; its code's version is for the tunnel's handshake to judge. Pure. */
export function misfit(record: InstallRecord, request: InstallRequest): Misfit | undefined {
  const { mode, ports } = request;
  const [first] = ports;
  // Who takes no traffic is served by every agent, and who takes a Service's also where the ports are redirected.
  const anyMode = mode.kind === 'sidecar' && (first === undefined || record.mode.kind === 'redirect');
  if (mode.kind !== record.mode.kind && !anyMode)
    return { reason: 'mode', text: MODE_TEXT[record.mode.kind], extendable: false };
  const container = request.container ?? first?.container;
  if (container !== undefined && container !== record.container)
    return {
      reason: 'container',
      text: `has the environment of container "${record.container}", not of "${container}"`,
      // one that takes no traffic was brought by a run, which has read the environment
      extendable: record.mode.kind === 'sidecar' && record.routes.length === 0,
    };
  const missing = ports.find((port) => routeOf(record, port) === undefined);
  if (missing === undefined) return undefined;
  return { reason: 'ports', text: `does not serve port ${missing.servicePort} as it is now`, extendable: true };
}

const MODE_TEXT = {
  sidecar: 'stands beside the app: neither replaces it nor redirects its ports',
  replace: 'replaces the app',
  redirect: "redirects the app's ports",
} as const;

/** Warnings about an agent that serves a request as it is. Pure. */
export function reuseWarnings(record: InstallRecord, request: InstallRequest): string[] {
  if (record.codeHash === contentHash(request.agent.code)) return [];
  const name = workloadText(request);
  const { user, host } = record.createdBy;
  return [
    `the agent of ${name} is of another version of kube-intercept (installed by ${user}@${host}); to renew it: intercept leave ${name}`,
  ];
}

/** TARGET_IN_USE: what is there, who brought it, and how to end it. */
export function inUse(record: InstallRecord, request: InstallRequest, { reason, text }: Misfit): InterceptorError {
  const name = workloadText(request);
  const { user, host } = record.createdBy;
  const end = `end that intercept first: intercept leave ${name} -n ${request.namespace}`;
  return new InterceptorError(
    'TARGET_IN_USE',
    `the agent of ${name} ${text} (by ${user}@${host} at ${record.createdAt})`,
    { hint: reason === 'container' ? `take --container ${record.container}, or ${end}` : end },
  );
}
