import type { Filter } from '../../src/http/filter.ts';
import type { AgentStatus, Holder, InterceptStatus } from '../../src/protocol/control.ts';
import type { InstallRecord, ServicePortRef } from '../kube/record.ts';
import { whoIs } from '../session/identity.ts';

/** What one session has of one port of the app, as all agents together tell it. */
export interface ListedIntercept {
  /** The Services that lead to it, and their ports; none where it is taken without a Service. */
  readonly services: readonly string[];
  readonly ports: readonly number[];
  readonly appPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** user@host. */
  readonly holder: string;
  readonly connected: boolean;
  /** The way to the laptop was lost a moment ago: what is open waits for it. */
  readonly reconnecting: boolean;
  /** Null: everything on the port. */
  readonly filter: Filter | null;
  readonly mirror: boolean;
  readonly to: InterceptStatus['to'];
  readonly since: string;
  /** When the last request or connection ended, now while one is open; null: none so far. */
  readonly lastActivity: string | null;
  readonly taken: number;
  readonly open: number;
  readonly dropped: number;
}

/** Every intercept on the ports of an install, each once however many pods tell of it. */
export function interceptsOf(
  { routes }: Pick<InstallRecord, 'routes'>,
  statuses: readonly AgentStatus[],
  nowMs = Date.now(),
): ListedIntercept[] {
  const found = new Map<string, ListedIntercept>();
  for (const { intercepts, sessions } of statuses)
    for (const intercept of intercepts) {
      const holder = sessions.find(({ sessionId }) => sessionId === intercept.sessionId);
      if (holder === undefined) continue;
      const { sessionId, appPort, protocol } = intercept;
      const key = `${sessionId} ${appPort}/${protocol}`;
      const leading = routes
        .filter((route) => route.appPort === appPort && route.protocol === protocol)
        .flatMap(({ servicePorts }) => servicePorts);
      const listed = listedIntercept(leading, intercept, holder, nowMs);
      const known = found.get(key);
      found.set(key, known === undefined ? listed : together(known, listed));
    }
  return [...found.values()];
}

function listedIntercept(
  leading: readonly ServicePortRef[],
  { appPort, protocol, filter, mirror, to, taken, open, dropped }: InterceptStatus,
  holder: Holder,
  nowMs: number,
): ListedIntercept {
  const { connected, sinceMs, lastSeenMs, lastActivityMs } = holder;
  // Of one that is connected, `lastSeen` is now by the agent's clock.
  const aheadMs = connected ? lastSeenMs - nowMs : 0;
  const time = (ms: number): string => new Date(ms - aheadMs).toISOString();
  return {
    services: [...new Set(leading.map(({ service }) => service))],
    ports: [...new Set(leading.map(({ port }) => port))],
    appPort,
    protocol,
    holder: whoIs(holder),
    connected,
    reconnecting: holder.reconnecting === true,
    filter: filter ?? null,
    mirror,
    to,
    since: time(sinceMs),
    lastActivity: lastActivityMs === undefined ? null : time(lastActivityMs),
    taken,
    open,
    dropped,
  };
}

/** One intercept as two pods tell of it. */
function together(one: ListedIntercept, other: ListedIntercept): ListedIntercept {
  const activities = [one.lastActivity, other.lastActivity].filter((time) => time !== null).sort();
  return {
    ...one,
    connected: one.connected || other.connected,
    reconnecting: one.reconnecting || other.reconnecting,
    to: one.to === 'laptop' ? one.to : other.to,
    since: one.since < other.since ? one.since : other.since,
    lastActivity: activities.at(-1) ?? null,
    taken: one.taken + other.taken,
    open: one.open + other.open,
    dropped: one.dropped + other.dropped,
  };
}
