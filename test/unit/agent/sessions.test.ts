import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { CLAIM_GRACE_MS, EVICT_CLOSE_MS, HOLD_DETACHED_MS } from '../../../agent/limits.ts';
import { RequestFailure } from '../../../agent/request-failure.ts';
import type { Session, SessionCarrier } from '../../../agent/session.ts';
import { Sessions } from '../../../agent/sessions.ts';
import { silentLog } from '../../../src/log.ts';
import type { ControlMessage, RouteTo } from '../../../src/protocol/control.ts';
import { claimOf } from '../../integration/agent/support/claims.ts';

class Carrier implements SessionCarrier {
  readonly sent: ControlMessage[] = [];
  closed = false;
  sendControl(message: ControlMessage): void {
    this.sent.push(message);
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

const identity = (sessionId: string) => ({ sessionId, user: `user of ${sessionId}`, host: 'laptop' });

function newSessions(): Sessions<Carrier> {
  return new Sessions<Carrier>({
    ports: [
      { appPort: 8080, protocol: 'tcp' },
      { appPort: 8081, protocol: 'tcp' },
    ],
    log: silentLog,
  });
}

function join(sessions: Sessions<Carrier>, id: string) {
  const carrier = new Carrier();
  return { carrier, session: sessions.connect(identity(id), carrier) };
}

function route(sessions: Sessions<Carrier>, session: Session<Carrier>, appPort: number, to: RouteTo): void {
  sessions.route(session, { appPort, protocol: 'tcp' }, to);
}

function laptopFor(sessions: Sessions<Carrier>, appPort: number): Carrier | undefined {
  return sessions.claims.table({ appPort, protocol: 'tcp' }).whole?.carrier;
}

function refusal(action: () => void): RequestFailure {
  try {
    action();
  } catch (failure) {
    assert.ok(failure instanceof RequestFailure);
    return failure;
  }
  return assert.fail('was not refused');
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a claimed port goes to the laptop only once the session says so', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  assert.equal(laptopFor(sessions, 8080), undefined);
  route(sessions, session, 8080, 'laptop');
  assert.equal(laptopFor(sessions, 8080), carrier);
  route(sessions, session, 8080, 'app');
  assert.equal(laptopFor(sessions, 8080), undefined);
});

test('a claim that meets another session takes nothing and names the holder', () => {
  const sessions = newSessions();
  const { session: first } = join(sessions, 'a');
  const { session: second } = join(sessions, 'b');
  sessions.claim(first, claimOf([8081]));
  const failure = refusal(() => sessions.claim(second, claimOf([8080, 8081])));
  assert.equal(failure.code, 'TARGET_IN_USE');
  assert.equal(failure.holder?.user, 'user of a');
  assert.equal(failure.holder?.connected, true);
  assert.equal(refusal(() => route(sessions, second, 8080, 'laptop')).code, 'NOT_CLAIMED');
});

test('a port without a route cannot be claimed', () => {
  const sessions = newSessions();
  assert.equal(refusal(() => sessions.claim(join(sessions, 'a').session, claimOf([9]))).code, 'TARGET_NOT_FOUND');
});

test('a lost session leaves the app to answer at once, and its claims refuse others until the grace is over', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  route(sessions, session, 8080, 'laptop');
  sessions.lost(session, carrier);
  assert.equal(laptopFor(sessions, 8080), undefined);
  const { session: other } = join(sessions, 'b');
  vi.advanceTimersByTime(CLAIM_GRACE_MS - 1);
  const failure = refusal(() => sessions.claim(other, claimOf([8080])));
  assert.equal(failure.code, 'TARGET_IN_USE');
  assert.equal(failure.holder?.connected, false);
  vi.advanceTimersByTime(1);
  sessions.claim(other, claimOf([8080]));
  assert.equal(sessions.timers, 0);
});

test('a session that returns within the grace has its claims, and routes begin at the app', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  route(sessions, session, 8080, 'laptop');
  sessions.lost(session, carrier);
  const again = join(sessions, 'a');
  vi.advanceTimersByTime(CLAIM_GRACE_MS * 2);
  assert.equal(refusal(() => sessions.claim(join(sessions, 'b').session, claimOf([8080]))).code, 'TARGET_IN_USE');
  assert.equal(laptopFor(sessions, 8080), undefined);
  sessions.claim(again.session, claimOf([8080]));
  route(sessions, again.session, 8080, 'laptop');
  assert.equal(laptopFor(sessions, 8080), again.carrier);
});

test('a session that dials again while its old carrier seems alive takes its place', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  const again = join(sessions, 'a');
  assert.equal(carrier.closed, true);
  sessions.lost(session, carrier);
  assert.equal(sessions.connectedCount, 1);
  route(sessions, again.session, 8080, 'laptop');
  assert.equal(laptopFor(sessions, 8080), again.carrier);
});

test('a session inherits from its own dead ones, and they lose all they held', () => {
  const sessions = newSessions();
  const { session: dead, carrier: deadCarrier } = join(sessions, 'dead');
  sessions.claim(dead, claimOf([8080, 8081]));
  sessions.lost(dead, deadCarrier);
  const { session } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080], { replaces: ['dead', 'never seen'] }));
  sessions.claim(join(sessions, 'b').session, claimOf([8081]));
  assert.equal(sessions.timers, 0);
});

test('a claim that fails leaves the sessions it would have replaced alone', () => {
  const sessions = newSessions();
  const { session: dead } = join(sessions, 'dead');
  sessions.claim(dead, claimOf([8080]));
  sessions.claim(join(sessions, 'other').session, claimOf([8081]));
  refusal(() => sessions.claim(join(sessions, 'a').session, claimOf([8080, 8081], { replaces: ['dead'] })));
  route(sessions, dead, 8080, 'laptop');
});

test('eviction tells everyone but the caller, gives routes back at once and cuts who stays', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  route(sessions, session, 8080, 'laptop');
  const caller = join(sessions, 'leaver');
  const evicted = sessions.evict(caller.session, 'ann@desk');
  assert.deepEqual(
    evicted.map((holder) => holder.sessionId),
    ['a'],
  );
  assert.deepEqual(carrier.sent, [{ type: 'event', event: 'evicted', by: 'ann@desk' }]);
  assert.equal(laptopFor(sessions, 8080), undefined);
  assert.equal(refusal(() => sessions.claim(session, claimOf([8080]))).code, 'SESSION_NOT_FOUND');
  vi.advanceTimersByTime(EVICT_CLOSE_MS);
  assert.deepEqual([carrier.closed, caller.carrier.closed], [true, false]);
  assert.equal(sessions.timers, 0);
});

test('a visitor is not among the sessions, and does not end the idle time', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  sessions.lost(session, carrier);
  vi.advanceTimersByTime(CLAIM_GRACE_MS + 10_000);
  join(sessions, 'visitor');
  assert.deepEqual(sessions.status(), {
    sessions: [],
    intercepts: [],
    idleMs: CLAIM_GRACE_MS + 10_000,
  });
});

test('status shows who holds what, and a connected session means no idle time', () => {
  const sessions = newSessions();
  const { session } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  route(sessions, session, 8080, 'laptop');
  vi.advanceTimersByTime(5_000);
  join(sessions, 'visitor');
  const status = sessions.status();
  assert.equal(status.idleMs, 0);
  const [first] = status.intercepts;
  assert.deepEqual([first?.appPort, first?.to, first?.sessionId], [8080, 'laptop', 'a']);
  assert.equal(status.sessions.length, 1);
});

test('a session that claims no port disturbs nobody, counts as a user of the agent, and keeps that for the grace', () => {
  const sessions = newSessions();
  const holder = join(sessions, 'a').session;
  sessions.claim(holder, claimOf([8080]));
  const { session, carrier } = join(sessions, 'b');
  assert.deepEqual(
    sessions.status().sessions.map(({ sessionId }) => sessionId),
    ['a'],
  );
  sessions.claim(session, claimOf([]));
  assert.deepEqual(
    sessions.status().sessions.map(({ sessionId }) => sessionId),
    ['a', 'b'],
  );
  sessions.release(holder);
  assert.equal(sessions.status().idleMs, 0);
  sessions.lost(session, carrier);
  assert.deepEqual(
    sessions.status().sessions.map(({ sessionId }) => sessionId),
    ['b'],
  );
  vi.advanceTimersByTime(CLAIM_GRACE_MS + 1);
  assert.deepEqual(sessions.status().sessions, []);
});

test('a session that is away for a moment keeps its claims and its route, and callers have the app after the hold', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  route(sessions, session, 8080, 'laptop');
  const claim = sessions.claims.table({ appPort: 8080, protocol: 'tcp' }).whole;
  const where = () => [claim?.carrier, claim?.carrierOrSoon, sessions.status().intercepts[0]?.to];
  assert.deepEqual(where(), [carrier, carrier, 'laptop']);
  sessions.detached(session, carrier);
  assert.deepEqual(where(), [undefined, carrier, 'laptop']);
  vi.advanceTimersByTime(HOLD_DETACHED_MS);
  assert.deepEqual(where(), [undefined, undefined, 'app']);
  vi.advanceTimersByTime(CLAIM_GRACE_MS * 3);
  const { session: other } = join(sessions, 'b');
  assert.equal(refusal(() => sessions.claim(other, claimOf([8080]))).holder?.reconnecting, true);
  sessions.attached(session, carrier);
  assert.deepEqual(where(), [carrier, carrier, 'laptop']);
  assert.equal(sessions.timers, 0);
});

test('the grace of a claim begins when the laptop was last there, not when its tunnel is given up', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  sessions.detached(session, carrier);
  vi.advanceTimersByTime(CLAIM_GRACE_MS - 1_000);
  sessions.lost(session, carrier);
  vi.advanceTimersByTime(1_000);
  sessions.claim(join(sessions, 'b').session, claimOf([8080]));
  assert.equal(sessions.timers, 0);
});

test('who asks with take-over gets the claims of a session that is gone, not of one that is being waited for', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([8080]));
  sessions.detached(session, carrier);
  const heir = join(sessions, 'b').session;
  const takeOver = () => sessions.claim(heir, claimOf([8080], { takeOver: true }));
  assert.equal(refusal(takeOver).code, 'TARGET_IN_USE');
  vi.advanceTimersByTime(HOLD_DETACHED_MS);
  takeOver();
  assert.deepEqual(carrier.sent, [{ type: 'event', event: 'evicted', by: 'user of b@laptop', takeOver: true }]);
});

test('an agent whose only session is away is in use until its tunnel is given up', () => {
  const sessions = newSessions();
  const { session, carrier } = join(sessions, 'a');
  sessions.claim(session, claimOf([]));
  sessions.detached(session, carrier);
  vi.advanceTimersByTime(20_000);
  assert.equal(sessions.status().idleMs, 0);
  sessions.lost(session, carrier);
  assert.equal(sessions.status().idleMs, 20_000);
});
