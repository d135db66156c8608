import type { ControlMessage, Holder, SessionIdentity } from '../src/protocol/control.ts';
import { Reach } from './reach.ts';

/** What the sessions need of a tunnel; a Mux is one. */
export interface SessionCarrier {
  sendControl(message: ControlMessage): void;
  close(): Promise<void>;
}

/** One laptop session as the agent knows it: connected, away for a moment, or gone and within the grace of its claims. */
export interface Session<Carrier extends SessionCarrier> {
  readonly identity: SessionIdentity;
  readonly sinceMs: number;
  lastSeenMs: number;
  /** Its tunnel, also while that is detached from the laptop. */
  carrier: Carrier | undefined;
  /** Whether the tunnel leads to the laptop now. */
  readonly reach: Reach;
  /** It has claimed: ports, or with none of them the agent's presence (`run`), and is no mere visitor. */
  joined: boolean;
  /** Requests and connections of its intercepts that are under way. */
  openCount: number;
  /** Streams of its mirrors. */
  openCopies: number;
  /** When the last of them ended. */
  lastActivityMs: number | undefined;
}

export function newSession<Carrier extends SessionCarrier>(
  identity: SessionIdentity,
  carrier: Carrier,
  onReach: () => void = () => {},
): Session<Carrier> {
  const now = Date.now();
  return {
    identity,
    sinceMs: now,
    lastSeenMs: now,
    carrier,
    reach: new Reach(onReach),
    joined: false,
    openCount: 0,
    openCopies: 0,
    lastActivityMs: undefined,
  };
}

/** A session in the form of the control protocol. A connected one was last seen now. */
export function toHolder(session: Session<SessionCarrier>): Holder {
  const { identity, sinceMs, openCount, carrier, reach } = session;
  const connected = carrier !== undefined && reach.state === 'reachable';
  const lastActivityMs = openCount > 0 ? Date.now() : session.lastActivityMs;
  return {
    ...identity,
    sinceMs,
    lastSeenMs: connected ? Date.now() : session.lastSeenMs,
    connected,
    ...(carrier !== undefined && !connected ? { reconnecting: true } : {}),
    ...(lastActivityMs === undefined ? {} : { lastActivityMs }),
  };
}

/** A session in a log line. */
export function who(session: Session<SessionCarrier>): { session: string; user: string; host: string } {
  const { sessionId, user, host } = session.identity;
  return { session: sessionId, user, host };
}

/** `ann@desk`, as people and BY_FIELD name a session. */
export function userAtHost({ identity }: Session<SessionCarrier>): string {
  return `${identity.user}@${identity.host}`;
}
