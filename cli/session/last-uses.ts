import type { AgentStatus, ControlError, Holder } from '../../src/protocol/control.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import { TAKE_OVER_IDLE_MS } from './in-use.ts';

/** Of an agent that is slower than this nothing is known; it checks again when it is claimed. */
const STATUS_TIMEOUT_MS = 3_000;

/**
 * How long ago sessions were used last, in ms by session id: the least that any agent says, each by its own clock (0: now).
 * Who was used nowhere, or is gone from the agent that says so, is not among them.
 */
export function lastUses(statuses: readonly Pick<AgentStatus, 'sessions'>[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { sessions } of statuses)
    for (const { sessionId, connected, lastSeenMs, lastActivityMs } of sessions) {
      if (!connected || lastActivityMs === undefined) continue;
      const agoMs = Math.max(0, lastSeenMs - lastActivityMs);
      uses.set(sessionId, Math.min(agoMs, uses.get(sessionId) ?? agoMs));
    }
  return uses;
}

/** Asks all agents. @returns as lastUses(), those only that are too recent for a take-over */
export async function recentUses(tunnels: readonly AgentTunnel[]): Promise<Map<string, number>> {
  const answers = await Promise.allSettled(
    tunnels.map((tunnel) => tunnel.control.request('status', {}, { timeoutMs: STATUS_TIMEOUT_MS })),
  );
  const statuses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  return new Map([...lastUses(statuses)].filter(([, agoMs]) => agoMs < TAKE_OVER_IDLE_MS));
}

/** A refusal of one agent, with its holders' use as it is on all of them. @param uses as lastUses() */
export function usedElsewhere(refusal: ControlError, holder: Holder, uses: ReadonlyMap<string, number>): ControlError {
  const others = refusal.others?.map((other) => ({ ...other, holder: withUse(other.holder, uses) }));
  return { ...refusal, holder: withUse(holder, uses), ...(others === undefined ? {} : { others }) };
}

function withUse(holder: Holder, uses: ReadonlyMap<string, number>): Holder {
  const agoMs = uses.get(holder.sessionId);
  if (agoMs === undefined) return holder;
  const lastSeenMs = holder.connected ? holder.lastSeenMs : Date.now();
  const lastActivityMs = Math.max(lastSeenMs - agoMs, holder.lastActivityMs ?? 0);
  return { ...holder, connected: true, lastSeenMs, lastActivityMs };
}
